"""Settings of the scaled trainings of `meg.kdd99`, chosen on rows held out of the training half.

    python -m experiments.meg.kdd99_tuning --output-dir experiments/results   # the tables there: an hour on one core
    python -m experiments.meg.kdd99_tuning --quick                     # a minute

The training half of the split is halved in turn. Energies learn from the attacks of one half, and are judged with the
labels of the other, whose normal connections no training sees. No row of it is one of the tests', but for repetitions
where rows are not distinct, and for normal connections where a test has all of them. Seeds begin at 100, which
no table of `meg.kdd99` has. The two settings with the highest mean F1 of the energy are judged with as many further
seeds, and the better of both by all of its seeds is taken, and stands in `experiments.meg.kdd99_protocols`.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments.common import anomaly_metrics, cache, report
from experiments.meg import kdd99_protocols
from jaxgen.serialization.config_json import to_json

TITLE = "Settings of KDD99, by the energy on rows held out of the training half"
COLUMNS = [column for column in anomaly_metrics.COLUMNS if column.name in ("f1", "auroc", "auprc")]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which trainings, how many seeds."""

    trainings: tuple[str, ...] = tuple(kdd99_protocols.CANDIDATES)
    """Each has a table."""
    num_seeds: int = 3
    """How many seeds of the training; the two best settings have twice as many."""
    first_seed: int = 100
    """The first of them."""
    quick: bool = False
    """A minute: two settings of the rows without repetition, two seeds of an epoch each."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/kdd99_tuning")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/kdd99_tuning")
    """Where the tables go."""


def judged(experiment: Experiment, name: str, training: kdd99_protocols.Training, seed: int) -> dict[str, Any]:
    """Train by a setting, and judge the energy after the last step on the rows that were held out."""
    training = kdd99_protocols.held_out(training)
    config = kdd99_protocols.configure(training, seed, training.epochs)
    config = dataclasses.replace(config, steps_per_call=config.steps)
    identity = {"config": to_json(config), "flagged": kdd99_protocols.FLAGGED}
    where = cache.place(experiment.cache_dir, f"{name}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        result = jaxgen.train(config)
        rows, anomalous = training.connections.test()
        scores = anomaly_metrics.scores(result.config.method, result.state_of(0), rows, kdd99_protocols.ROWS)
        return anomaly_metrics.judged(scores["energy"], anomalous, kdd99_protocols.FLAGGED)

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def tabulated(experiment: Experiment, name: str, candidates: Sequence[kdd99_protocols.Training]) -> report.Table:
    """Judge every setting of a training, print its table, and write it."""
    titles = [f"lambda {kind.penalty:g}, {kind.epochs} epochs, rate {kind.falling:g}" for kind in candidates]
    found: list[list[dict[str, Any]]] = [[] for _ in candidates]
    mean = lambda place: np.mean([cell["f1"] for cell in found[place]])
    asked, begin = list(range(len(candidates))), experiment.first_seed
    for _ in range(2):
        for place in asked:
            print(f"{name}: {titles[place]}", flush=True)
            seeds = range(begin, begin + experiment.num_seeds)
            found[place] += [judged(experiment, name, candidates[place], seed) for seed in seeds]
        asked, begin = sorted(asked, key=mean)[-2:], begin + experiment.num_seeds
    rows = [report.Row.of(title, cells, COLUMNS) for title, cells in zip(titles, found, strict=True)]
    remarks = (
        f"Taken: {titles[asked[-1]]}, the best by mean F1 of those that were judged with further seeds. Lambda is the "
        "penalty's weight, epochs are as many steps as so many passes through all training rows make, the rate falls "
        "along half a cosine. Seeds are those of the training."
    )
    table = report.Table(f"meg_kdd99_settings_{name}", f"{TITLE}: {name}", COLUMNS, rows, [remarks])
    table.write(experiment.output_dir, {"settings": [to_json(training) for training in candidates]})
    return table


def run(experiment: Experiment) -> list[report.Table]:
    """Judge every setting of every training."""
    candidates = kdd99_protocols.CANDIDATES
    if unknown := set(experiment.trainings) - set(candidates):
        raise SystemExit(f"there are no trainings {sorted(unknown)}; choose from {', '.join(candidates)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment, trainings=("distinct",), num_seeds=1, cache_dir=runs, output_dir=runs
        )
        candidates = {"distinct": [dataclasses.replace(kind, epochs=1) for kind in candidates["distinct"][:2]]}
    return [tabulated(experiment, name, candidates[name]) for name in experiment.trainings]


if __name__ == "__main__":
    run(tyro.cli(Experiment))
