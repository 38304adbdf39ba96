"""Tables and figure of the scores that were measured on ADBench's sets."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from experiments.common import report
from experiments.tabular import adbench_data, detectors

__all__ = ["METHODS", "Cell", "draw", "lines", "ranks", "summary", "told"]

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
Cell = Mapping[str, Mapping[str, float]]  # measures by method, of one set and seed


def ranks(auroc: Float[np.ndarray, "sets methods"]) -> Float[np.ndarray, "sets methods"]:
    """Return the rank of each method on each set, 1 for the best; equal ones share the mean of their ranks."""
    return stats.rankdata(-auroc, axis=1)


def told(method: str) -> str:
    """Return what a method is called in tables."""
    trained = method.removesuffix(detectors.UNTRAINED)
    return METHODS[trained] + method[len(trained) :]


def summary(found: Mapping[str, Sequence[Cell]], sets: Sequence[str]) -> list[report.Row]:
    """Return a line for each method, and for the controls, which are not ranked.

    Args:
        found: by set, a cell for each seed.
        sets: over which are means, ranks and counts.

    Returns:
        Lines with `auroc`, `auprc` and `share` of each seed; `below`, on how many sets the mean AUROC of the seeds is
        below 0.5; the mean `rank` by this AUROC, and the `place` among all methods by the mean rank.
    """
    values = lambda method, measure: np.array([[cell[method][measure] for cell in found[name]] for name in sets])
    mean_ranks = ranks(np.stack([values(method, "auroc").mean(1) for method in METHODS], 1)).mean(0)
    places = stats.rankdata(mean_ranks, method="min")
    ranked = {name: {"rank": [rank], "place": [at]} for name, rank, at in zip(METHODS, mean_ranks, places, strict=True)}
    rows = []
    for method in (*METHODS, *CONTROLS):
        line = {measure: values(method, measure).mean(0).tolist() for measure in ("auroc", "auprc", "share")}
        below = np.sum(values(method, "auroc").mean(1) < 0.5)
        rows.append(report.Row(told(method), {**line, "below": [below], **ranked.get(method, {})}))
    return rows


def lines(found: Mapping[str, Sequence[Cell]], measure: str) -> tuple[list[report.Column], list[report.Row]]:
    """Return a table's columns, one for each method, and its lines, one for each set, of `auroc` or `auprc`."""
    columns = [report.Column(method, told(method)) for method in METHODS]
    if measure == "auprc":
        columns.append(COLUMNS[2])
    rows = []
    for name, cells in found.items():
        values = {method: [cell[method][measure] for cell in cells] for method in METHODS}
        values["share"] = [cell["flow"]["share"] for cell in cells]
        rows.append(report.Row(name + " (for choosing)" * (name in adbench_data.TUNED), values))
    return columns, rows


def draw(path: pathlib.Path, found: Mapping[str, Sequence[Cell]]) -> None:
    """Draw the mean AUROC of each method on each set."""
    auroc = np.array([[np.mean([cell[m]["auroc"] for cell in cells]) for m in METHODS] for cells in found.values()])
    with report.figure(path, 1, 1, size=9) as axes:
        axis = axes[0, 0]
        shown = axis.imshow(auroc, vmin=0.5, vmax=1, aspect="auto", cmap="viridis")
        for (line, column), value in np.ndenumerate(auroc):
            colour = "black" if value > 0.75 else "white"
            axis.text(column, line, f"{value:.3f}", ha="center", va="center", fontsize="small", color=colour)
        axis.set_xticks(range(len(METHODS)), [told(method) for method in METHODS], rotation=30, ha="right")
        axis.set_yticks(range(len(found)), list(found))
        axis.figure.colorbar(shown, label="AUROC (chance 0.5)", extend="min")
