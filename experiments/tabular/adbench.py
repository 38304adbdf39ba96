"""ADBench's classical datasets: `Detector()` next to detectors of scikit-learn and PyOD, all with their defaults.

    python -m experiments.tabular.adbench --folder PATH        # five splits: about an hour on one CPU core
    python -m experiments.tabular.adbench --folder PATH --output-dir experiments/results/tabular   # committed tables
    python -m experiments.tabular.adbench --folder PATH --quick                                    # a minute

The files are those of adbench/datasets/Classical in github.com/Minqi824/ADBench; `benchmark` is the extra with PyOD.
The training set is half of the inliers. The test set is the other half, and the outliers. Each is at most 2,000 rows, a
random subset of larger ones. Nothing is chosen for a single dataset. The settings of `Detector()` were chosen on glass,
Pima, wine and breastw; the summary is over the 13 other sets. The aim: first by mean rank in AUROC and in AUPRC, and
better than the same detector with untrained flows.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float

from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.tabular import adbench_data, adbench_report, detectors
from jaxgen import metrics

VERSION = 2  # of the default of `Detector`: a change of it must be measured again


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Datasets and number of splits."""

    folder: pathlib.Path | None = None  # directory of the datasets' files, such as 4_breastw.npz
    sets: tuple[str, ...] = (*adbench_data.EVALUATED, *adbench_data.TUNING)  # names of files
    num_seeds: int = 5  # seeds of the split and of the detectors; 100 and more chose the settings

    name = "tabular/adbench"
    choices = {"sets": (*adbench_data.EVALUATED, *adbench_data.TUNING)}
    small = {"sets": adbench_data.TUNING[:2]}

    def cells(self) -> Iterator[Cell]:
        """Each group of detectors on each dataset and seed."""
        folder = adbench_data.checked(self.folder, self.sets)
        for title, group in detectors.GROUPS.items():
            for name in self.sets:
                for seed in self.seeds:
                    measure = functools.partial(measured, group, folder, name, seed)
                    yield Cell(f"{title}-{name}", seed, measure, version=VERSION if title == "default" else 0)

    def tables(self, results: Results) -> list[report.Table]:
        """The summary, AUROC and AUPRC of every dataset, and the untrained control."""
        return adbench_report.tables(self._cells(results))

    def figures(self, results: Results) -> None:
        """The mean AUROC of each detector on each dataset."""
        adbench_report.draw(self.results_directory / "adbench.png", self._cells(results))

    def _cells(self, results: Results) -> dict[str, list[adbench_report.Measures]]:
        """Measures by dataset, seed and detector."""
        groups = {name: [results[f"{title}-{name}"] for title in detectors.GROUPS] for name in self.sets}
        join = lambda parts: {method: values for part in parts for method, values in part.items()}
        return {name: [join(parts) for parts in zip(*cells, strict=True)] for name, cells in groups.items()}


def measured(
    group: detectors.Group, folder: pathlib.Path, name: str, seed: int, directory: pathlib.Path
) -> dict[str, dict[str, float]]:
    """Fit and evaluate the detectors of a group on one split."""
    split = adbench_data.split(folder, name, seed)
    return {method: evaluated(scores, split.anomalous) for method, scores in group(split, seed).items()}


def evaluated(scores: Float[np.ndarray, " m"], anomalous: Bool[np.ndarray, " m"]) -> dict[str, float]:
    """Evaluate scores, higher for anomalies."""
    detection = metrics.detection(scores[~anomalous], scores[anomalous])
    return {"auroc": detection.auroc, "auprc": detection.auprc, "share": detection.auprc_chance}


if __name__ == "__main__":
    experiment.main(Experiment)
