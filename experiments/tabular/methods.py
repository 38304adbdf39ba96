"""`NegativeSamplingVAE` and `MEG` with their defaults as detectors of outliers in tables, next to untrained controls.

    python -m experiments.tabular.methods --folder PATH     # three splits: some ten minutes on one CPU core for `MEG`
    python -m experiments.tabular.methods --folder PATH --methods vae --output-dir experiments/results/tabular
                                                            # the committed table, without `MEG`: about two minutes
    python -m experiments.tabular.methods --folder PATH --quick                                    # a minute

The sets are the four of ADBench on which the settings of `Detector()` were chosen, split as in
`experiments.tabular.adbench`. On one further split of them, `bound` was chosen as the score of the VAE without
negatives. The aim: a mean AUROC above that of the same detector without training.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.tabular import adbench, adbench_data
from jaxgen import methods

METHODS = {"vae": methods.NegativeSamplingVAE(), "meg": methods.MEG()}
TITLES = {"vae": "`Detector(NegativeSamplingVAE())`", "meg": "`Detector(MEG())`"}
COLUMNS = [
    report.Column("auroc", "AUROC", 4),
    report.Column("untrained_auroc", "AUROC, untrained", 4),
    report.Column("auprc", "AUPRC", 4),
    report.Column("untrained_auprc", "AUPRC, untrained", 4),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Datasets, methods and number of seeds."""

    folder: pathlib.Path | None = None  # directory of the datasets' files, such as 4_breastw.npz
    sets: tuple[str, ...] = adbench_data.TUNING  # names of files
    methods: tuple[str, ...] = tuple(METHODS)  # methods with their defaults
    num_seeds: int = 3  # seeds of the split and of the detectors

    name = "tabular/methods"
    choices = {"sets": (*adbench_data.EVALUATED, *adbench_data.TUNING), "methods": tuple(METHODS)}
    small = {"sets": adbench_data.TUNING[:1], "methods": ("vae",)}

    def cells(self) -> Iterator[Cell]:
        """Each method on each dataset and seed, trained and untrained."""
        folder = adbench_data.checked(self.folder, self.sets)
        for method in self.methods:
            for name in self.sets:
                for seed in self.seeds:
                    measure = functools.partial(measured, method, folder, name, seed)
                    yield Cell(f"{method}-{name}", seed, measure)

    def tables(self, results: Results) -> list[report.Table]:
        """Both methods on each dataset, and their means."""
        rows = []
        for method in self.methods:
            names = [column.name for column in COLUMNS]
            values = {
                name: {column: [cell[column] for cell in results[f"{method}-{name}"]] for column in names}
                for name in self.sets
            }
            rows += [report.Row(f"{TITLES[method]}, {name}", values[name]) for name in self.sets]
            mean = {column: np.mean([values[name][column] for name in self.sets], 0).tolist() for column in names}
            rows.append(report.Row(f"{TITLES[method]}, mean", mean))
        return [report.Table("methods", "Other methods on four of ADBench's sets", COLUMNS, rows)]


def measured(method: str, folder: pathlib.Path, name: str, seed: int, directory: pathlib.Path) -> dict[str, float]:
    """Fit and evaluate a detector and its untrained control on one split."""
    split, own = adbench_data.split(folder, name, seed), METHODS[method]
    variants: dict[str, tuple[Any, dict[str, int]]] = {
        "": (own, {}),
        "untrained_": (dataclasses.replace(own, learning_rate=0.0), {"steps": 1}),  # type: ignore[type-var]
    }
    measures: dict[str, float] = {}
    for title, (variant, options) in variants.items():
        detector = jaxgen.Detector(variant, random_state=seed, **options).fit(split.train)
        evaluated = adbench.evaluated(-detector.score_samples(split.test), split.anomalous)
        measures |= {f"{title}{measure}": evaluated[measure] for measure in ("auroc", "auprc")}
    return measures


if __name__ == "__main__":
    experiment.main(Experiment)
