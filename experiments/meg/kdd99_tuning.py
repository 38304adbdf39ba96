"""Settings of the scaled trainings of `meg.kdd99`, chosen on a validation half of the training rows.

    python -m experiments.meg.kdd99_tuning --output-dir experiments/results/meg   # both tables: an hour on one core
    python -m experiments.meg.kdd99_tuning --quick                     # a minute

The training half of the split is halved again. Energies are trained on the attacks of one half, and evaluated with the
labels of the other, whose normal connections no training uses. None of its rows is a test row, with two exceptions:
repetitions, unless rows are distinct, and normal connections, if a test set has all of them. Seeds begin at 100, which
no table of `meg.kdd99` has. The two settings with the highest mean F1 of the energy are trained with as many further
seeds. The better of the two by all its seeds is taken, and stands in `experiments.meg.kdd99_protocols`.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import jaxgen
from experiments.common import anomaly_metrics, experiment, report
from experiments.common.experiment import Cell, Results
from experiments.meg import kdd99_protocols
from experiments.meg.kdd99_protocols import CANDIDATES, Training

TITLE = "Settings of KDD99, by the energy on the validation half of the training rows"
COLUMNS = [column for column in anomaly_metrics.COLUMNS if column.name in ("f1", "auroc", "auprc")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Trainings, candidates, and number of seeds."""

    trainings: tuple[str, ...] = tuple(CANDIDATES)  # trainings, a table each
    num_candidates: int | None = None  # number of settings to try, the first ones; by default all
    max_epochs: int | None = None  # most epochs of a training; by default those of each setting
    num_seeds: int = 3  # seeds of the training; the two best settings have twice as many
    first_seed: int = 100  # the first of them

    name = "meg/kdd99_tuning"
    choices = {"trainings": CANDIDATES}
    small = {"trainings": ("distinct",), "num_candidates": 2, "max_epochs": 1}

    def candidates(self, name: str) -> list[Training]:
        """Settings of one of the trainings."""
        shortened = lambda kind: kind.epochs if self.max_epochs is None else min(kind.epochs, self.max_epochs)
        return [dataclasses.replace(kind, epochs=shortened(kind)) for kind in CANDIDATES[name][: self.num_candidates]]

    def cells(self) -> Iterator[Cell]:
        """The first seeds of all settings."""
        for name in self.trainings:
            for number in range(len(self.candidates(name))):
                yield from self._cells(name, number, self.seeds)

    def followup_cells(self, results: Results) -> Iterator[Cell]:
        """Further seeds of the two best settings."""
        for name in self.trainings:
            for number in self._best_two(name, results):
                yield from self._cells(name, number, range(self.seeds.stop, self.seeds.stop + self.num_seeds))

    def _cells(self, name: str, number: int, seeds: Sequence[int]) -> Iterator[Cell]:
        validation = kdd99_protocols.on_validation_split(self.candidates(name)[number])
        for seed in seeds:
            config = kdd99_protocols.configure(validation, seed, validation.epochs)
            config = dataclasses.replace(config, steps_per_call=config.steps)
            yield Cell(f"{name}-{number}", seed, functools.partial(measure, config, validation), config)

    def _best_two(self, name: str, results: Results) -> list[int]:
        """The two settings with the highest mean F1 over the first seeds, the best one last."""
        mean = lambda number: mean_f1(results[f"{name}-{number}"][: self.num_seeds])
        return sorted(range(len(self.candidates(name))), key=mean)[-2:]

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each training."""
        return [self._table(name, results) for name in self.trainings]

    def _table(self, name: str, results: Results) -> report.Table:
        candidates = self.candidates(name)
        titles = [f"lambda {kind.penalty:g}, {kind.epochs} epochs, rate {kind.cosine_rate:g}" for kind in candidates]
        rows = [report.Row.of(title, results[f"{name}-{number}"], COLUMNS) for number, title in enumerate(titles)]
        taken = max(reversed(self._best_two(name, results)), key=lambda number: mean_f1(results[f"{name}-{number}"]))
        remarks = (
            f"Taken: {titles[taken]}, the best by mean F1 of the settings with further seeds. Lambda is the weight of "
            "the penalty. The number of steps is that of the given epochs through all training rows. The rate decays "
            "along half a cosine. Seeds are those of the training."
        )
        details = {"settings": [jaxgen.to_json(kind) for kind in candidates]}
        return report.Table(f"kdd99_tuning_{name}", f"{TITLE}: {name}", COLUMNS, rows, [remarks], details=details)


def measure(config: jaxgen.Config, training: Training, directory: pathlib.Path) -> dict[str, Any]:
    """Train, and evaluate the energy after the last step on the validation rows."""
    result = jaxgen.train(config, checkpoint_dir=directory)
    rows, anomalous = training.connections.test()
    scores = anomaly_metrics.scores(result, rows, kdd99_protocols.SCORE_BATCH_SIZE)
    return anomaly_metrics.evaluate(scores["energy"], anomalous, kdd99_protocols.FLAGGED)


def mean_f1(cells: Sequence[dict[str, Any]]) -> float:
    """Mean F1 over seeds."""
    return float(np.mean([cell["f1"] for cell in cells]))


if __name__ == "__main__":
    experiment.main(Experiment)
