"""Tables and figure of `tabular.adbench`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import stats

from experiments.common import report
from experiments.tabular import adbench_data
from experiments.tabular.detectors import CONTROLS, DETECTORS

TITLE = "Outliers in tables: ADBench's classical sets, learned from inliers alone"
MEASURES = {"auroc": "AUROC", "auprc": "AUPRC"}
SAME_SCORE = {"KNN": "neighbor"}  # ranked as one detector, or it would be counted twice
COLUMNS = [
    report.Column("auroc", "AUROC, mean over sets", 4),
    report.Column("auroc_rank", "mean rank in AUROC", 2),
    report.Column("auprc", "AUPRC, mean over sets", 4),
    report.Column("auprc_rank", "mean rank in AUPRC", 2),
    report.Column("below", "sets with AUROC below 0.5", 0),
]
DIFFERENCES = [
    report.Column("auroc", "AUROC", 4),
    report.Column("auroc_gain", "AUROC, difference", 4),
    report.Column("auprc", "AUPRC", 4),
    report.Column("auprc_gain", "AUPRC, difference", 4),
]
Measures: TypeAlias = Mapping[str, Mapping[str, float]]  # measures by detector, of one dataset and seed
Cells: TypeAlias = Mapping[str, Sequence[Measures]]  # by dataset, of each seed


def ranks(values: Float[np.ndarray, "sets methods"]) -> Float[np.ndarray, "sets methods"]:
    """Rank the detectors on each dataset, 1 for the best; values equal to four digits share the better rank."""
    return stats.rankdata(-np.round(values, 4), axis=1, method="min")


def summary(cells: Cells, names: Sequence[str]) -> list[report.Row]:
    """Summarize each detector and control over datasets; controls are not ranked."""
    values = lambda method, measure: np.array([[cell[method][measure] for cell in cells[name]] for name in names])
    ranked = [method for method in DETECTORS if method not in SAME_SCORE]
    mean_ranks = {}
    for measure in MEASURES:
        over_seeds = np.stack([values(method, measure).mean(1) for method in ranked], 1)
        mean_ranks[measure] = dict(zip(ranked, ranks(over_seeds).mean(0), strict=True))
    rows = []
    for method, title in (DETECTORS | CONTROLS).items():
        found = {measure: values(method, measure).mean(0).tolist() for measure in MEASURES}
        found["below"] = [int(np.sum(values(method, "auroc").mean(1) < 0.5))]
        if method in DETECTORS:
            found |= {f"{measure}_rank": [mean_ranks[measure][SAME_SCORE.get(method, method)]] for measure in MEASURES}
        rows.append(report.Row(title, found))
    return rows


def by_dataset(cells: Cells, measure: str) -> tuple[list[report.Column], list[report.Row]]:
    """Return the columns, one for each detector, and rows, one for each dataset, of a table of `auroc` or `auprc`."""
    columns = [report.Column(method, title) for method, title in DETECTORS.items()]
    if measure == "auprc":
        columns.append(report.Column("share", "outliers (chance AUPRC)"))
    rows = []
    for name, seeds in cells.items():
        values = {method: [cell[method][measure] for cell in seeds] for method in DETECTORS}
        values["share"] = [cell["default"]["share"] for cell in seeds]
        rows.append(report.Row(titled(name), values))
    return columns, rows


def differences(cells: Cells, ours: str, other: str) -> list[report.Row]:
    """Measures of one of the detectors on each dataset, and how much higher they are than those of another one.

    The mean over the datasets that chose no setting is the last row.
    """
    rows = {}
    for name, seeds in cells.items():
        values = {measure: np.array([cell[ours][measure] for cell in seeds]) for measure in MEASURES}
        base = {measure: np.array([cell[other][measure] for cell in seeds]) for measure in MEASURES}
        rows[name] = values | {f"{measure}_gain": values[measure] - base[measure] for measure in MEASURES}
    judged = [rows[name] for name in cells if name in adbench_data.EVALUATED] or list(rows.values())
    mean = {column.name: np.mean([row[column.name] for row in judged], 0) for column in DIFFERENCES}
    lists = lambda row: {name: values.tolist() for name, values in row.items()}
    each = [report.Row(titled(name), lists(row)) for name, row in rows.items()]
    return [*each, report.Row(f"mean of the {len(judged)} that chose no setting", lists(mean))]


def tables(cells: Cells) -> list[report.Table]:
    """Return all tables of `tabular.adbench`."""
    judged = [name for name in cells if name in adbench_data.EVALUATED] or list(cells)
    count = len(DETECTORS) - len(SAME_SCORE)
    remark = (
        f"Means and ranks are over {len(judged)} sets that chose no setting: {', '.join(judged)}. Ranks are of the "
        f"mean over seeds, among {count} detectors: PyOD's KNN has the score of the distance to neighbor 5, and its "
        "rank. Values equal to four digits share the better rank. Controls are not ranked. At most "
        f"{adbench_data.MOST_ROWS:,} training rows, test inliers and test outliers. `Detector()` holds out a fifth of "
        "its training rows to calibrate; the others learn from all."
    )
    found = [
        report.Table("adbench", TITLE, COLUMNS, summary(cells, judged), [remark]),
        report.Table("adbench_all", f"{TITLE}: all {len(cells)} sets", COLUMNS, summary(cells, list(cells))),
    ]
    for measure, title in MEASURES.items():
        columns, rows = by_dataset(cells, measure)
        found.append(report.Table(f"adbench_{measure}", f"{TITLE}: {title}", columns, rows))
    title = "`Detector()`, and its difference to the same with untrained flows"
    found.append(report.Table("adbench_untrained", title, DIFFERENCES, differences(cells, "default", "untrained")))
    return found


def titled(name: str) -> str:
    """Return the title of a dataset's row."""
    return name + " (for tuning)" * (name in adbench_data.TUNING)


def draw(path: pathlib.Path, cells: Cells) -> None:
    """Draw the mean AUROC of each detector on each dataset."""
    auroc = np.array([[np.mean([cell[m]["auroc"] for cell in seeds]) for m in DETECTORS] for seeds in cells.values()])
    with report.figure(path, 1, 1, size=11) as axes:
        axis = axes[0, 0]
        image = axis.imshow(auroc, vmin=0.5, vmax=1, aspect="auto", cmap="viridis")
        for (row, column), value in np.ndenumerate(auroc):
            color = "black" if value > 0.75 else "white"
            axis.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize="small", color=color)
        titles = [title.strip("*`") for title in DETECTORS.values()]
        axis.set_xticks(range(len(DETECTORS)), titles, rotation=30, ha="right")
        axis.set_yticks(range(len(cells)), [titled(name) for name in cells])
        axis.figure.colorbar(image, label="AUROC (chance 0.5)", extend="min")
