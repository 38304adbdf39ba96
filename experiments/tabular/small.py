"""Tables of 50 to 1,000 rows: the threshold of `Detector()` on Gaussian rows, and its AUROC next to other detectors.

    python -m experiments.tabular.small            # five seeds: about twenty minutes on one CPU core
    python -m experiments.tabular.small --output-dir experiments/results/tabular              # committed tables
    python -m experiments.tabular.small --quick                                               # a minute

The first table compares the threshold with the true quantile of the score, that of 20,000 fresh rows of the same
Gaussian. Both are measured from the score of a typical row, the median. The aim: a ratio between 1 / 1.5 and 1.5.
The second has five tables of scikit-learn and five synthetic ones. The aim: an AUROC within 0.02 of the best of the
other detectors. They are those of `experiments.tabular.adbench`, all with their defaults.
The third has the time of two fits in one process, on 1,000 x 10 rows. The aim: less than PyOD's AutoEncoder.
"""

import dataclasses
import functools
import json
import pathlib
import subprocess
import sys
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
TIMES = [
    report.Column("first", "first fit, processor s", 1),
    report.Column("second", "second fit, processor s", 2),
]
TIMED = {"`Detector()`": "jaxgen.Detector", "PyOD's AutoEncoder": "pyod.models.auto_encoder.AutoEncoder"}
TIMING = """
import importlib, json, time
import numpy as np
rows = np.random.default_rng({seed}).normal(size=(1_000, 10))
module, _, name = "{path}".rpartition(".")
seconds = []
for _ in range(2):
    start = time.process_time()
    getattr(importlib.import_module(module), name)().fit(rows)
    seconds.append(time.process_time() - start)
print(json.dumps(seconds))
"""
COLUMNS = [
    report.Column("default", "`Detector()`"),
    report.Column("best", "best other"),
    report.Column("gap", "`Detector()` minus best other"),
    report.Column("untrained", "untrained flows"),
    *(report.Column(name, title) for name, title in detectors.DETECTORS.items() if name != "default"),
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
        for title, path in TIMED.items():
            for seed in self.seeds:
                yield Cell(title, seed, functools.partial(measured_time, path, seed), version=adbench.VERSION)
        for title, group in detectors.GROUPS.items():
            version = adbench.VERSION if title == "default" else 0
            for name in self.names:
                for seed in self.seeds:
                    evaluate = functools.partial(measured, group, name, seed)
                    yield Cell(f"{title}-{name}", seed, evaluate, version=version)

    def tables(self, results: Results) -> list[report.Table]:
        """The thresholds, AUROC of every table, and times."""
        sizes = [_size(rows, dimensions) for dimensions in self.dimensions for rows in self.rows]
        thresholds = [_threshold_row(size, results[size]) for size in sizes]
        times = [report.Row.of(title, results[title], TIMES) for title in TIMED]
        remark = "`least` and `largest` are over seeds."
        included = "Processor time in a busy machine; a first fit includes the imports."
        return [
            report.Table("small_thresholds", "`Detector()` on Gaussian tables", THRESHOLDS, thresholds, [remark]),
            report.Table("small", "Small tables: AUROC", COLUMNS, [self._row(results, name) for name in self.names]),
            report.Table("small_times", "Two fits of 1,000 x 10 in one process", TIMES, times, [included]),
        ]

    def _row(self, results: Results, name: str) -> report.Row:
        groups = [results[f"{title}-{name}"] for title in detectors.GROUPS]
        seeds = [{key: value for part in parts for key, value in part.items()} for parts in zip(*groups, strict=True)]
        values = {method: [seed[method]["auroc"] for seed in seeds] for method in (*detectors.DETECTORS, "untrained")}
        others = [method for method in detectors.DETECTORS if method != "default"]
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


def measured_time(path: str, seed: int, directory: pathlib.Path) -> dict[str, float]:
    """Measure the processor time of two fits in a process of its own, `first` and `second`."""
    program = TIMING.format(seed=seed, path=path)
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return dict(zip(("first", "second"), json.loads(completed.stdout.splitlines()[-1]), strict=True))


def measured(group: detectors.Group, name: str, seed: int, directory: pathlib.Path) -> dict[str, dict[str, float]]:
    """Fit and evaluate the detectors of a group on one split of a table."""
    split = small_data.split(name, seed)
    return {method: adbench.evaluated(scores, split.anomalous) for method, scores in group(split, seed).items()}


if __name__ == "__main__":
    experiment.main(Experiment)
