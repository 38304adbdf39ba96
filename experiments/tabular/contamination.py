"""Outliers among the training rows: what they cost `Detector()` and scikit-learn's detectors on ADBench's sets.

    python -m experiments.tabular.contamination --folder PATH    # three splits: a quarter of an hour on one CPU core
    python -m experiments.tabular.contamination --folder PATH --output-dir experiments/results/tabular  # committed
    python -m experiments.tabular.contamination --folder PATH --quick                                    # a minute

5 % of the training rows of `tabular.adbench` are replaced by outliers, or by half of the outliers if these are fewer.
The test rows are the same with and without them. The way of trimming and its fraction were chosen on the four sets for
tuning, on scikit-learn's digits and breast cancer, and on made-up clusters. The aim: a loss of less than 0.03.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.tabular import adbench_data, detectors
from experiments.tabular.adbench import evaluated
from experiments.tabular.adbench_report import titled

SHARE = 0.05  # of outliers among the training rows
TRIMMED = 2 * SHARE  # `trim_fraction`
OTHERS = ("neighbor", "local", "forest", "support", "gaussian")  # scikit-learn's
TITLES = {
    **{f"{name} mixed": detectors.DETECTORS[name] for name in ("default", *OTHERS)},
    "trimmed mixed": f"`Detector(trim_fraction={TRIMMED})`",
    "trimmed clean": "the same, clean rows",
}
COLUMNS = [
    report.Column("default clean", "`Detector()`, clean rows"),
    *(report.Column(name, title) for name, title in TITLES.items()),
]
VERSION = 1  # of the default of `Detector`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Datasets and number of splits."""

    folder: pathlib.Path | None = None  # directory of the datasets' files, such as 4_breastw.npz
    sets: tuple[str, ...] = (*adbench_data.EVALUATED, *adbench_data.TUNING)  # names of files
    num_seeds: int = 3  # seeds of the split and of the detectors

    name = "tabular/contamination"
    choices = {"sets": (*adbench_data.EVALUATED, *adbench_data.TUNING)}
    small = {"sets": adbench_data.TUNING[:2]}

    def cells(self) -> Iterator[Cell]:
        """All detectors on each dataset and seed, with and without outliers among the training rows."""
        folder = adbench_data.checked(self.folder, self.sets)
        for name in self.sets:
            for seed in self.seeds:
                yield Cell(name, seed, functools.partial(measured, folder, name, seed), version=VERSION)

    def tables(self, results: Results) -> list[report.Table]:
        """AUROC of `Detector()` with clean rows, and differences to the same detector with clean rows."""
        rows = {name: _differences(results[name]) for name in self.sets}
        others = [rows[name] for name in self.sets if name in adbench_data.EVALUATED] or list(rows.values())
        mean = {column.name: np.mean([row[column.name] for row in others], 0).tolist() for column in COLUMNS}
        found = [report.Row(titled(name), row) for name, row in rows.items()]
        found.append(report.Row(f"mean of the {len(others)} that chose no setting", mean))
        title = f"Change of the AUROC if {SHARE:.0%} of the training rows are outliers"
        remark = "The last two columns are differences to `Detector()` with clean rows."
        return [report.Table("contamination", title, COLUMNS, found, [remark])]


def measured(folder: pathlib.Path, name: str, seed: int, directory: pathlib.Path) -> dict[str, float]:
    """Compute the AUROC of detectors fitted to inliers, and with some replaced by outliers, on the same test rows."""
    found: dict[str, float] = {}
    for kind, split in zip(("clean", "mixed"), adbench_data.contaminated(folder, name, seed, SHARE), strict=True):
        scores = detectors.scikit_learn(split, seed)
        for title, fraction in (("default", 0.0), ("trimmed", TRIMMED)):
            fitted = jaxgen.Detector(trim_fraction=fraction, random_state=seed).fit(split.train)
            scores[title] = -fitted.score_samples(split.test)
        found |= {f"{title} {kind}": evaluated(values, split.anomalous)["auroc"] for title, values in scores.items()}
    return found


def _differences(cells: list[dict[str, float]]) -> dict[str, list[float]]:
    """Return the values of a row, one for each seed."""
    clean = lambda name: "default clean" if name.startswith("trimmed") else f"{name.split()[0]} clean"
    found = {"default clean": [cell["default clean"] for cell in cells]}
    return found | {name: [cell[name] - cell[clean(name)] for cell in cells] for name in TITLES}


if __name__ == "__main__":
    experiment.main(Experiment)
