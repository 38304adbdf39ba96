"""Anomalies in tables: what learned from inliers alone, on ADBench's classical sets, beside scikit-learn's detectors.

    python -m experiments.tabular.adbench --folder PATH      # five seeds: an hour on one CPU core
    python -m experiments.tabular.adbench --folder PATH --output-dir experiments/results      # the tables there
    python -m experiments.tabular.adbench --folder PATH --quick                        # a minute

The files are those of adbench/datasets/Classical in github.com/Minqi824/ADBench. Half of the inliers are learned from,
at most 10,000; of the other half at most 10,000, and all outliers, are tested. Every method has the same settings
on all sets. They were chosen on glass, Pima, wine and breastw, on seeds 100 and above, and `NAMED` was named, before
any of the other sets was looked at; the judgement is on these others. The bar: by its mean rank in AUROC the named
method is first or second, and none of this library's has a mean AUROC below 0.5.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tyro
from jaxtyping import Bool, Float

from experiments.common import cache, report
from experiments.tabular import adbench_data, adbench_report, detectors
from jaxgen import metrics
from jaxgen.data.validation import fingerprint

TITLE = "Anomalies in tables: ADBench's classical sets, learned from inliers alone"
NAMED = "flow"  # before the judgement


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which sets, how many seeds, how long."""

    folder: pathlib.Path | None = None
    """Where the sets' files are, such as 4_breastw.npz."""
    sets: tuple[str, ...] = adbench_data.JUDGED
    """Names of files."""
    num_seeds: int = 5
    """How many seeds, of the split and of the order of columns; networks are drawn from one root."""
    first_seed: int = 0
    """The first of them; those from 100 on were for choosing settings."""
    steps: int = 2_000
    """Training steps of every network."""
    quick: bool = False
    """A minute: one seed of two sets for choosing, 50 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/tabular/adbench")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/tabular/adbench")
    """Where the tables and the figure go."""


def measured(experiment: Experiment, folder: pathlib.Path, name: str, seed: int) -> dict[str, dict[str, float]]:
    """Train, score and judge every method, and its untrained control, on one set and seed.

    Returns:
        By method `auroc`, `auprc` and `share`, the chance level of the latter.
    """
    split = adbench_data.split(folder, name, seed)
    rows = fingerprint((split.train, split.test, split.anomalous))
    found: dict[str, dict[str, float]] = {}
    for title, group in detectors.GROUPS.items():
        settings = group.settings(len(split.train), split.train.shape[1], experiment.steps)
        identity = {"rows": rows, "seed": seed, "steps": experiment.steps, "settings": settings}
        where = cache.place(experiment.cache_dir, f"{name}-{title}-{seed}", identity).with_suffix(".json")

        def compute(group: detectors.Group = group) -> dict[str, Any]:
            scores = group.scores(split, seed, experiment.steps)
            return {method: judged(score, split.anomalous) for method, score in scores.items()}

        found |= cache.remembered(where, identity, compute)
    return found


def judged(scores: Float[np.ndarray, " m"], anomalous: Bool[np.ndarray, " m"]) -> dict[str, float]:
    """Judge scores `[m]` of rows that are anomalous or not, `[m]`; higher is for anomalies."""
    found = metrics.detection(scores[~anomalous], scores[anomalous])
    return {"auroc": found.auroc, "auprc": found.auprc, "share": found.chance}


def run(experiment: Experiment) -> report.Table:
    """Measure every cell, print the tables, and write them with the figure."""
    known = (*adbench_data.JUDGED, *adbench_data.TUNED)
    if unknown := set(experiment.sets) - set(known):
        raise SystemExit(f"there are no sets {sorted(unknown)}; choose from {', '.join(known)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            sets=adbench_data.TUNED[:2],
            num_seeds=1,
            steps=min(experiment.steps, 50),
            cache_dir=runs,
            output_dir=runs,
        )
    folder = adbench_data.present(experiment.folder, experiment.sets)
    found: dict[str, list[adbench_report.Cell]] = {}
    for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
        for name in experiment.sets:
            print(f"{name}, seed {seed}", flush=True)
            found.setdefault(name, []).append(measured(experiment, folder, name, seed))
    meant = [name for name in experiment.sets if name in adbench_data.JUDGED] or experiment.sets
    own = adbench_report.METHODS
    remarks = [
        f"Named beforehand: {own[NAMED]}. Means, ranks and counts are over {len(meant)} sets: {', '.join(meant)}. "
        f"Ranks are of the mean AUROC of the seeds, among {len(own)} methods; controls are not ranked. At most "
        f"{adbench_data.ROWS:,} inliers are learned from, and of the other half at most {adbench_data.CAP:,} "
        "tested, with all "
        "outliers: less than there are of cover, http, shuttle and smtp, whose share of outliers it raises. Networks "
        f"are trained {experiment.steps:,} steps, {detectors.MEMBERS} side by side, and their mean scores; of the "
        "untrained one.",
    ]
    summary = adbench_report.summary(found, meant)
    table = report.Table("anomaly_tabular", TITLE, adbench_report.COLUMNS, summary, remarks)
    table.write(experiment.output_dir, {"named": NAMED, "sets": list(meant), "cells": found})
    for measure in ("auroc", "auprc"):
        columns, rows = adbench_report.lines(found, measure)
        by_set = report.Table(f"anomaly_tabular_{measure}", f"{TITLE}: {measure.upper()}", columns, rows)
        by_set.write(experiment.output_dir, {})
    adbench_report.draw(experiment.output_dir / "anomaly_tabular.png", found)
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
