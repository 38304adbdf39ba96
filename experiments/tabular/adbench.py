"""ADBench's classical datasets: one-class detectors of this library and of scikit-learn, trained on inliers alone.

    python -m experiments.tabular.adbench --folder PATH      # five seeds: an hour on one CPU core
    python -m experiments.tabular.adbench --folder PATH --output-dir experiments/results/tabular   # committed tables
    python -m experiments.tabular.adbench --folder PATH --quick                        # a minute

The files are those of adbench/datasets/Classical in github.com/Minqi824/ADBench. Half of the inliers, at most 10,000,
are the training set. The test set is at most 10,000 of the other half, and all outliers. Each method has the same
settings on all datasets. The datasets glass, Pima, wine and breastw, with seeds of 100 and more, chose these settings.
`NAMED` was chosen as the main method before any of the other datasets was evaluated, on which the summary is based. The
aim: by its mean rank in AUROC the main method is first or second, and no method of this library has a mean AUROC below
0.5.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.tabular import adbench_data, adbench_report, detectors
from jaxgen import metrics

TITLE = "Anomalies in tables: ADBench's classical sets, learned from inliers alone"
NAMED = "flow"  # chosen before the evaluation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Datasets, number of seeds, and length."""

    folder: pathlib.Path | None = None
    """Directory of the datasets' files, such as 4_breastw.npz."""
    sets: tuple[str, ...] = adbench_data.EVALUATED
    """Names of files."""
    num_seeds: int = 5
    """Seeds, of the split and of the order of columns; 100 and more chose the settings. Networks have one root seed."""
    steps: int = 2_000
    """Training steps of every network."""

    name = "tabular/adbench"
    choices = {"sets": (*adbench_data.EVALUATED, *adbench_data.TUNING)}

    def reduced(self) -> "Experiment":
        """One seed of two of the datasets that chose the settings, 50 steps."""
        return dataclasses.replace(self, sets=adbench_data.TUNING[:2], num_seeds=1, steps=min(self.steps, 50))

    def cells(self) -> Iterator[Cell]:
        """Each group of methods on each dataset and seed."""
        folder = adbench_data.checked(self.folder, self.sets)
        for seed in self.seeds:
            for name in self.sets:
                split = adbench_data.split(folder, name, seed)
                for title, group in detectors.GROUPS.items():
                    config = group.config(split, self.steps)
                    measure = functools.partial(measured, group, config, split, seed)
                    yield Cell(f"{name}-{title}", seed, measure, config)

    def tables(self, results: Results) -> list[report.Table]:
        """The summary, and AUROC and AUPRC of every dataset."""
        cells = self._cells(results)
        names = [name for name in self.sets if name in adbench_data.EVALUATED] or list(self.sets)
        own = adbench_report.METHODS
        remark = (
            f"Named beforehand: {own[NAMED]}. Means, ranks and counts are over {len(names)} sets: {', '.join(names)}. "
            f"Ranks are of the mean AUROC over seeds, among {len(own)} methods; controls are not ranked. The training "
            f"set is at most {adbench_data.TRAIN_ROWS:,} inliers. The test set is at most {adbench_data.TEST_INLIERS:,}"
            " inliers of the other half, and all outliers. This limit raises the share of outliers of cover, http, "
            f"shuttle and smtp. {detectors.MEMBERS} networks are trained for {self.steps:,} steps, and their mean "
            "scores; the untrained control is one network."
        )
        summary = adbench_report.summary(cells, names)
        details = {"named": NAMED, "sets": names, "cells": cells}
        tables = [report.Table("adbench", TITLE, adbench_report.COLUMNS, summary, [remark], details=details)]
        for measure in ("auroc", "auprc"):
            columns, rows = adbench_report.by_dataset(cells, measure)
            tables.append(report.Table(f"adbench_{measure}", f"{TITLE}: {measure.upper()}", columns, rows))
        return tables

    def figures(self, results: Results) -> None:
        """The mean AUROC of each method on each dataset."""
        adbench_report.draw(self.results_directory / "adbench.png", self._cells(results))

    def _cells(self, results: Results) -> dict[str, list[adbench_report.Measures]]:
        """Measures by dataset, seed and method."""
        groups = {name: [results[f"{name}-{title}"] for title in detectors.GROUPS] for name in self.sets}
        join = lambda parts: {method: values for part in parts for method, values in part.items()}
        return {name: [join(parts) for parts in zip(*cells, strict=True)] for name, cells in groups.items()}


def measured(
    group: detectors.Group,
    config: jaxgen.Config | None,
    split: adbench_data.Split,
    seed: int,
    directory: pathlib.Path,
) -> dict[str, dict[str, float]]:
    """Train, score and evaluate the methods of a group, and their untrained controls, on one split."""
    scores = group.scores(config, split, seed, directory)
    return {method: evaluated(values, split.anomalous) for method, values in scores.items()}


def evaluated(scores: Float[np.ndarray, " m"], anomalous: Bool[np.ndarray, " m"]) -> dict[str, float]:
    """Evaluate scores, higher for anomalies.

    Args:
        scores: `[m]`.
        anomalous: whether each row is an anomaly, `[m]`.

    Returns:
        `auroc`, `auprc`, and `share`, the chance level of the latter.
    """
    detection = metrics.detection(scores[~anomalous], scores[anomalous])
    return {"auroc": detection.auroc, "auprc": detection.auprc, "share": detection.auprc_chance}


if __name__ == "__main__":
    experiment.main(Experiment)
