"""Metrics of anomaly scores, and the baseline detectors and bounds that models are compared with."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

import jaxgen
from experiments.common import report
from jaxgen import metrics

SCORES = {"score_norm": "norm of the gradient", "energy": "energy"}  # titles of the scores of an energy-based model
COLUMNS = [
    report.Column("precision", "precision", 4),
    report.Column("recall", "recall", 4),
    report.Column("f1", "F1", 4),
    report.Column("auroc", "AUROC", 4),
    report.Column("auprc", "AUPRC", 4),
    report.Column("share", "anomalies (chance AUPRC)", 3),
]
SVM_ROWS, PCA_ROWS = 10_000, 2_000  # training rows: both detectors hold a matrix of all pairs
PCA_COMPONENTS = 30
BATCH_SIZE = 4096  # test rows that kernel PCA scores at a time


def scores(result: jaxgen.Result, x: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
    """Return the scores `[n]` of samples `[n, ...]` by the first seed's model."""
    return {name: by_seed[0] for name, by_seed in result.scores(x, batch_size=batch_size).items()}


def evaluate(scores: np.ndarray, anomalous: np.ndarray, flagged: float) -> dict[str, float]:
    """Evaluate anomaly scores `[n]`; a higher score means more out of distribution.

    The share `flagged` of the samples with the highest scores is flagged, and more where scores are equal. `precision`,
    `recall` and `f1` are those of the flags, `auprc` is average precision, and `share` that of the anomalies.
    """
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        infinite = np.sum(~np.isfinite(scores))
        raise FloatingPointError(f"scores must be finite (got {infinite} of {len(scores)} that are not).")
    flags = scores >= np.quantile(scores, 1 - flagged)
    hits = np.sum(flags & anomalous)
    precision, recall = hits / flags.sum(), hits / anomalous.sum()
    detection = metrics.detection(scores[~anomalous], scores[anomalous])
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / max(precision + recall, 1e-12)),
        "auroc": detection.auroc,
        "auprc": detection.auprc,
        "share": detection.auprc_chance,
    }


def evaluate_energy(
    result: jaxgen.Result, x: np.ndarray, anomalous: np.ndarray, flagged: float, batch_size: int
) -> dict[str, Any]:
    """Evaluate each of the `SCORES` of an energy-based model on test samples."""
    by_name = scores(result, x, batch_size)
    return {name: evaluate(by_name[name], anomalous, flagged) for name in SCORES}


def mean_of(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean of each number over evaluations, nested dicts of the same keys."""
    return jax.tree.map(lambda *values: float(np.mean(values)), *evaluations)


@dataclasses.dataclass(frozen=True)
class Detector:
    """A baseline detector, or a bound that uses the labels."""

    title: str  # of its row in a table
    # Takes a random state, training rows, test rows and their labels, and returns a score for each test row.
    score: Callable[[np.random.RandomState, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _support(random: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    rows = random.permutation(len(x))[:SVM_ROWS]
    return -OneClassSVM(nu=0.1).fit(x[rows]).decision_function(test)


def _components(random: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Squared distance, in the kernel's feature space, from the span of the first components (Hoffmann, 2007)."""
    rows = x[random.permutation(len(x))[:PCA_ROWS]].astype(np.float64)
    gamma = 1 / (rows.shape[1] * max(rows.var(), 1e-12))
    pca = KernelPCA(PCA_COMPONENTS, kernel="rbf", gamma=gamma, random_state=random).fit(rows)
    mean = rbf_kernel(rows, rows, gamma).mean()
    distances = []
    for start in range(0, len(test), BATCH_SIZE):
        part = test[start : start + BATCH_SIZE].astype(np.float64)
        from_mean = 1 - 2 * rbf_kernel(part, rows, gamma).mean(1) + mean
        distances.append(from_mean - np.sum(pca.transform(part) ** 2, 1))
    return np.concatenate(distances)


FOREST = Detector(
    "isolation forest",
    lambda random, x, test, anomalous: -IsolationForest(random_state=random).fit(x).score_samples(test),
)
DETECTORS = {
    "forest": FOREST,
    "support": Detector("one-class SVM", _support),
    "components": Detector("kernel PCA", _components),
    "chance": Detector("at random (chance)", lambda random, x, test, anomalous: random.uniform(size=len(test))),
    "bound": Detector(
        "every anomaly first (bound)", lambda random, x, test, anomalous: anomalous + random.uniform(size=len(test)) / 2
    ),
}
