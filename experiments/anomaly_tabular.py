"""Anomalies in tables: what learned from inliers alone, on ADBench's classical sets, beside scikit-learn's detectors.

    python -m experiments.anomaly_tabular --folder PATH                          # five seeds of all sets: an hour
    python -m experiments.anomaly_tabular --folder PATH --out experiments/results      # the tables there
    python -m experiments.anomaly_tabular --folder PATH --quick                  # a minute

The files are those of adbench/datasets/Classical in github.com/Minqi824/ADBench. Half of the inliers are learned from,
at most 10,000; of the other half at most 10,000, and all outliers, are tested. Every method has the same settings
on all sets. They were chosen on glass, Pima, wine and breastw, on seeds 100 and above, and `NAMED` was named, before
any of the other sets was looked at; the judgement is on these others. The bar: by its mean rank in AUROC the named
method is first or second, and none of this library's has a mean AUROC below 0.5.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tyro
from jaxtyping import Bool, Float
from scipy import stats

from experiments import adbench, report, tabular, trials
from jaxgen import metrics
from jaxgen.data.tables import fingerprint

TITLE = "Anomalies in tables: ADBench's classical sets, learned from inliers alone"
NAMED = "flow"  # before the judgement
METHODS = {
    "flow": "flow, density",
    "discriminator": "discriminator of the flow's edge",
    "energy": "maximum entropy generator, norm of the energy's gradient",
    "autoencoder": "negative-sampling VAE, bound",
    **{name: kind.title for name, kind in tabular.CLASSICAL.items()},
}
OWN = [name for name in METHODS if name not in tabular.CLASSICAL]
COLUMNS = [
    report.Column("auroc", "AUROC, mean over sets", 4),
    report.Column("auprc", "AUPRC, mean over sets", 4),
    report.Column("share", "outliers (chance AUPRC)"),
    report.Column("rank", "mean rank in AUROC", 2),
    report.Column("place", "place by it", 0),
    report.Column("below", "sets with AUROC below 0.5", 0),
]
Cell = Mapping[str, Mapping[str, float]]  # measures by method, of one set and seed


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which sets, how many seeds, how long."""

    folder: pathlib.Path | None = None
    """Where the sets' files are, such as 4_breastw.npz."""
    sets: tuple[str, ...] = (*adbench.JUDGED, *adbench.TUNED)
    """Names of files."""
    seeds: int = 5
    """How many seeds, of split and training alike."""
    first: int = 0
    """The first of them; those from 100 on were for choosing settings."""
    steps: int = 2_000
    """Training steps of every network."""
    quick: bool = False
    """A minute: one seed of two sets for choosing, 50 steps."""
    runs: pathlib.Path = pathlib.Path("runs/anomaly_tabular")
    """Where cells are kept."""
    out: pathlib.Path = pathlib.Path("runs/anomaly_tabular")
    """Where the tables and the figure go."""


def measured(experiment: Experiment, folder: pathlib.Path, name: str, seed: int) -> dict[str, dict[str, float]]:
    """Train, score and judge every method, and its untrained control, on one set and seed.

    Returns:
        By method `auroc`, `auprc` and `share`, the chance level of the latter.
    """
    split = adbench.split(folder, name, seed)
    rows = fingerprint((split.train, split.test, split.anomalous))
    found: dict[str, dict[str, float]] = {}
    for title, group in tabular.GROUPS.items():
        settings = group.settings(len(split.train), split.train.shape[1], experiment.steps)
        identity = {"rows": rows, "seed": seed, "steps": experiment.steps, "settings": settings}
        where = trials.place(experiment.runs, f"{name}-{title}-{seed}", identity).with_suffix(".json")

        def compute(group: tabular.Group = group) -> dict[str, Any]:
            scores = group.scores(split, seed, experiment.steps)
            return {method: judged(score, split.anomalous) for method, score in scores.items()}

        found |= trials.remembered(where, identity, compute)
    return found


def judged(scores: Float[np.ndarray, " m"], anomalous: Bool[np.ndarray, " m"]) -> dict[str, float]:
    """Judge scores `[m]` of rows that are anomalous or not, `[m]`; higher is for anomalies."""
    found = metrics.detection(scores[~anomalous], scores[anomalous])
    return {"auroc": found.auroc, "auprc": found.auprc, "share": found.chance}


def ranks(auroc: Float[np.ndarray, "sets methods"]) -> Float[np.ndarray, "sets methods"]:
    """Return the rank of each method on each set, 1 for the best; equal ones share the mean of their ranks."""
    return stats.rankdata(-auroc, axis=1)


def summary(found: Mapping[str, Sequence[Cell]], named: Sequence[str]) -> list[report.Row]:
    """Return a line for each method, and for the controls, which are not ranked.

    Args:
        found: by set, a cell for each seed.
        named: sets over which are means.
    """
    values = lambda method, measure: np.array([[cell[method][measure] for cell in found[name]] for name in named])
    mean_ranks = ranks(np.stack([values(method, "auroc").mean(1) for method in METHODS], 1)).mean(0)
    places = stats.rankdata(mean_ranks, method="min")
    rows = []
    for method in (*METHODS, *(method + tabular.UNTRAINED for method in OWN)):
        auroc = values(method, "auroc")
        line = {measure: values(method, measure).mean(0).tolist() for measure in ("auroc", "auprc", "share")}
        line["below"] = [float(np.sum(auroc.mean(1) < 0.5))]
        if method in METHODS:
            place = list(METHODS).index(method)
            line |= {"rank": [float(mean_ranks[place])], "place": [float(places[place])]}
        rows.append(report.Row(told(method), line))
    return rows


def told(method: str) -> str:
    """Return what a method is called in tables."""
    trained = method.removesuffix(tabular.UNTRAINED)
    return METHODS[trained] + method[len(trained) :] + " (named beforehand)" * (method == NAMED)


def lines(found: Mapping[str, Sequence[Cell]], measure: str) -> tuple[list[report.Column], list[report.Row]]:
    """Return a table's columns, one for each method, and its lines, one for each set, of one measure."""
    columns = [report.Column(method, told(method)) for method in METHODS]
    rows = []
    for name, cells in found.items():
        values = {method: [cell[method][measure] for cell in cells] for method in METHODS}
        share = [cell[NAMED]["share"] for cell in cells]
        rows.append(report.Row(name + " (for choosing)" * (name in adbench.TUNED), values | {"share": share}))
    return columns + [COLUMNS[2]] * (measure == "auprc"), rows


def run(experiment: Experiment) -> report.Table:
    """Measure every cell, print the tables, and write them with the figure."""
    if unknown := set(experiment.sets) - {*adbench.JUDGED, *adbench.TUNED}:
        raise SystemExit(f"there are no sets {sorted(unknown)}; choose from {', '.join(Experiment.sets)}.")
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment, sets=adbench.TUNED[:2], seeds=1, steps=min(experiment.steps, 50), runs=runs, out=runs
        )
    folder = adbench.present(experiment.folder, experiment.sets)
    found: dict[str, list[Cell]] = {}
    for seed in range(experiment.first, experiment.first + experiment.seeds):
        for name in experiment.sets:
            print(f"{name}, seed {seed}", flush=True)
            found.setdefault(name, []).append(measured(experiment, folder, name, seed))
    named = [name for name in experiment.sets if name in adbench.JUDGED] or experiment.sets
    remarks = [
        f"Means, ranks and counts are over {len(named)} sets: {', '.join(named)}. Ranks are of the mean AUROC of "
        f"{experiment.seeds} seeds among the {len(METHODS)} methods; controls are not ranked. At most "
        f"{adbench.ROWS:,} inliers are learned from, and of the other half at most {adbench.CAP:,} tested, which "
        "shortens the tests of cover, http and smtp and raises their share of outliers; all outliers are tested. "
        f"Networks are trained {experiment.steps:,} steps, {tabular.MEMBERS} side by side whose mean scores.",
    ]
    table = report.Table("anomaly_tabular", TITLE, COLUMNS, summary(found, named), remarks)
    print(f"\n{table}\n")
    table.write(experiment.out, {"named": NAMED, "sets": list(named), "cells": found})
    for measure in ("auroc", "auprc"):
        by_set = report.Table(f"anomaly_tabular_{measure}", f"{TITLE}: {measure.upper()}", *lines(found, measure))
        print(f"{by_set}\n")
        by_set.write(experiment.out, {})
    draw(experiment.out / "anomaly_tabular.png", found)
    print(f"written: {experiment.out / 'anomaly_tabular'}*.{{json,md,png}}")
    return table


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


if __name__ == "__main__":
    run(tyro.cli(Experiment))
