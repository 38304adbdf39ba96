"""Tables of 50 to 1,000 rows: the threshold of `Detector()` on Gaussian rows, and its AUROC next to other detectors.

    python -m experiments.tabular.small            # five seeds: about twenty minutes on one CPU core
    python -m experiments.tabular.small --output-dir experiments/results/tabular              # committed tables
    python -m experiments.tabular.small --quick                                               # a minute

The first table compares the threshold with the true quantile of the score, that of 20,000 fresh rows of the same
Gaussian. Both are measured from the score of a typical row, the median. The aim: a ratio between 1 / 1.5 and 1.5.
The second has five tables of scikit-learn and five synthetic ones. The aim: an AUROC within 0.02 of the best of the
other detectors, those of scikit-learn in `experiments.tabular.adbench`, all with their defaults.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.tabular import adbench, detectors, small_data

FRESH_ROWS = 20_000
THRESHOLDS = [
    report.Column("ratio", "threshold / true quantile"),
    report.Column("low", "least", 3),
    report.Column("high", "largest", 3),
    report.Column("rate", "false alarms at alpha 0.1"),
]
GROUPS = ("default", "scikit-learn")  # PyOD's AutoEncoder fails on fewer rows than its batch of 32
METHODS = [name for name in detectors.DETECTORS if not name.isupper() and name not in ("AutoEncoder", "DeepSVDD")]
COLUMNS = [
    report.Column("default", "`Detector()`"),
    report.Column("best", "best other"),
    report.Column("gap", "`Detector()` minus best other"),
    report.Column("untrained", "untrained flows"),
    *(report.Column(name, detectors.DETECTORS[name]) for name in METHODS if name != "default"),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Tables, sizes and number of seeds."""

    names: tuple[str, ...] = tuple(small_data.TABLES)  # names of tables
    rows: tuple[int, ...] = (50, 200, 1_000)  # numbers of rows of the Gaussian tables
    dimensions: tuple[int, ...] = (3, 10)  # numbers of their columns
    num_seeds: int = 5  # seeds of rows, splits and detectors

    name = "tabular/small"
    choices = {"names": tuple(small_data.TABLES)}
    small = {"names": ("iris, versicolor",), "rows": (200,), "dimensions": (3,)}

    def cells(self) -> Iterator[Cell]:
        """Each Gaussian table, and each group of detectors on each table, for each seed."""
        for dimensions in self.dimensions:
            for rows in self.rows:
                for seed in self.seeds:
                    measure = functools.partial(measured_threshold, rows, dimensions, seed)
                    yield Cell(_size(rows, dimensions), seed, measure, version=adbench.VERSION)
        for title in GROUPS:
            group = detectors.GROUPS[title]
            version = adbench.VERSION if title == "default" else 0
            for name in self.names:
                for seed in self.seeds:
                    evaluate = functools.partial(measured, group, name, seed)
                    yield Cell(f"{title}-{name}", seed, evaluate, version=version)

    def tables(self, results: Results) -> list[report.Table]:
        """The thresholds, and AUROC of every table."""
        sizes = [_size(rows, dimensions) for dimensions in self.dimensions for rows in self.rows]
        thresholds = [_threshold_row(size, results[size]) for size in sizes]
        remark = "`least` and `largest` are over seeds."
        return [
            report.Table("small_thresholds", "`Detector()` on Gaussian tables", THRESHOLDS, thresholds, [remark]),
            report.Table("small", "Small tables: AUROC", COLUMNS, [self._row(results, name) for name in self.names]),
        ]

    def _row(self, results: Results, name: str) -> report.Row:
        groups = [results[f"{title}-{name}"] for title in GROUPS]
        seeds = [{key: value for part in parts for key, value in part.items()} for parts in zip(*groups, strict=True)]
        values = {method: [seed[method]["auroc"] for seed in seeds] for method in (*METHODS, "untrained")}
        others = [method for method in METHODS if method != "default"]
        best = max(others, key=lambda method: np.mean(values[method]))  # by the mean over seeds
        values["best"] = values[best]
        values["gap"] = (np.array(values["default"]) - values[best]).tolist()
        return report.Row(name, values, note=f"the best other is {detectors.DETECTORS[best]}.")


def _size(rows: int, dimensions: int) -> str:
    return f"{rows:,} x {dimensions}"


def _threshold_row(title: str, cells: list[dict[str, float]]) -> report.Row:
    ratios = [cell["ratio"] for cell in cells]
    values = {"ratio": ratios, "rate": [cell["rate"] for cell in cells]}
    return report.Row(title, values | {"low": [min(ratios)], "high": [max(ratios)]})


def measured_threshold(rows: int, dimensions: int, seed: int, directory: pathlib.Path) -> dict[str, float]:
    """Fit to Gaussian rows, and compare the threshold with the quantile of fresh rows."""
    draw = small_data.gaussian(np.random.default_rng(seed), dimensions)
    fitted = jaxgen.Detector(random_state=seed).fit(draw(rows))
    scores = -fitted.score_samples(draw(FRESH_ROWS))
    median, quantile = np.quantile(scores, [0.5, 1 - fitted.alpha])
    rate = np.mean(-scores < fitted.offset_)
    return {"ratio": float((-fitted.offset_ - median) / (quantile - median)), "rate": float(rate)}


def measured(group: detectors.Group, name: str, seed: int, directory: pathlib.Path) -> dict[str, dict[str, float]]:
    """Fit and evaluate the detectors of a group on one split of a table."""
    split = small_data.split(name, seed)
    return {method: adbench.evaluated(scores, split.anomalous) for method, scores in group(split, seed).items()}


if __name__ == "__main__":
    experiment.main(Experiment)
