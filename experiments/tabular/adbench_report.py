"""Tables and figure of `tabular.adbench`."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import stats

from experiments.common import report
from experiments.tabular import adbench_data, detectors

__all__ = ["METHODS", "Measures", "by_dataset", "draw", "ranks", "summary", "titled"]

METHODS = {
    "flow": "flow, density",
    "discriminator": "discriminator of the flow's edge",
    "energy": "maximum entropy generator, energy's slope",
    "autoencoder": "negative-sampling VAE, bound",
    **{name: kind.title for name, kind in detectors.CLASSICAL.items()},
}
CONTROLS = [name + detectors.UNTRAINED for name in METHODS if name not in detectors.CLASSICAL]
COLUMNS = [
    report.Column("auroc", "AUROC, mean over sets", 4),
    report.Column("auprc", "AUPRC, mean over sets", 4),
    report.Column("share", "outliers (chance AUPRC)"),
    report.Column("rank", "mean rank in AUROC", 2),
    report.Column("place", "place by it", 0),
    report.Column("below", "sets with AUROC below 0.5", 0),
]
Measures: TypeAlias = Mapping[str, Mapping[str, float]]  # measures by method, of one dataset and seed


def ranks(auroc: Float[np.ndarray, "sets methods"]) -> Float[np.ndarray, "sets methods"]:
    """Rank the methods on each dataset, 1 for the best; ties share their mean rank."""
    return stats.rankdata(-auroc, axis=1)


def titled(method: str) -> str:
    """Title of a method or control in tables."""
    trained = method.removesuffix(detectors.UNTRAINED)
    return METHODS[trained] + method[len(trained) :]


def summary(cells: Mapping[str, Sequence[Measures]], names: Sequence[str]) -> list[report.Row]:
    """Summarize each method and control over datasets; controls are not ranked.

    Args:
        cells: by dataset, the measures of each seed.
        names: datasets of the means, ranks and counts.

    Returns:
        Rows with `auroc`, `auprc` and `share` of each seed; `below`, the number of datasets whose mean AUROC over
        seeds is below 0.5; the mean `rank` by this AUROC; and the `place` among all methods by the mean rank.
    """
    values = lambda method, measure: np.array([[cell[method][measure] for cell in cells[name]] for name in names])
    mean_ranks = ranks(np.stack([values(method, "auroc").mean(1) for method in METHODS], 1)).mean(0)
    places = stats.rankdata(mean_ranks, method="min")
    ranked = {name: {"rank": [rank], "place": [at]} for name, rank, at in zip(METHODS, mean_ranks, places, strict=True)}
    rows = []
    for method in (*METHODS, *CONTROLS):
        means = {measure: values(method, measure).mean(0).tolist() for measure in ("auroc", "auprc", "share")}
        below = np.sum(values(method, "auroc").mean(1) < 0.5)
        rows.append(report.Row(titled(method), {**means, "below": [below], **ranked.get(method, {})}))
    return rows


def by_dataset(cells: Mapping[str, Sequence[Measures]], measure: str) -> tuple[list[report.Column], list[report.Row]]:
    """Return the columns, one for each method, and rows, one for each dataset, of a table of `auroc` or `auprc`."""
    columns = [report.Column(method, titled(method)) for method in METHODS]
    if measure == "auprc":
        columns.append(COLUMNS[2])
    rows = []
    for name, seeds in cells.items():
        values = {method: [cell[method][measure] for cell in seeds] for method in METHODS}
        values["share"] = [cell["flow"]["share"] for cell in seeds]
        rows.append(report.Row(name + " (for tuning)" * (name in adbench_data.TUNING), values))
    return columns, rows


def draw(path: pathlib.Path, cells: Mapping[str, Sequence[Measures]]) -> None:
    """Draw the mean AUROC of each method on each dataset."""
    auroc = np.array([[np.mean([cell[m]["auroc"] for cell in seeds]) for m in METHODS] for seeds in cells.values()])
    with report.figure(path, 1, 1, size=9) as axes:
        axis = axes[0, 0]
        image = axis.imshow(auroc, vmin=0.5, vmax=1, aspect="auto", cmap="viridis")
        for (row, column), value in np.ndenumerate(auroc):
            color = "black" if value > 0.75 else "white"
            axis.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize="small", color=color)
        axis.set_xticks(range(len(METHODS)), [titled(method) for method in METHODS], rotation=30, ha="right")
        axis.set_yticks(range(len(cells)), list(cells))
        axis.figure.colorbar(image, label="AUROC (chance 0.5)", extend="min")
