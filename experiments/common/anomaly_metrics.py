"""How well scores find anomalies, and the detectors and bounds that stand beside a model's."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import OneClassSVM

from experiments.common import report
from experiments.common.batching import in_parts
from jaxgen import data, metrics

__all__ = ["COLUMNS", "DETECTORS", "MEASURES", "PCA_ROWS", "SCORES", "SVM_ROWS", "Detector", "judged", "scores"]

SCORES = {"score_norm": "norm of the gradient", "energy": "energy"}  # of an energy, as tables call them
COLUMNS = [
    report.Column("precision", "precision", 4),
    report.Column("recall", "recall", 4),
    report.Column("f1", "F1", 4),
    report.Column("auroc", "AUROC", 4),
    report.Column("auprc", "AUPRC", 4),
    report.Column("share", "anomalies (chance AUPRC)", 3),
]
MEASURES = [column.name for column in COLUMNS]
SVM_ROWS, PCA_ROWS = 10_000, 2_000  # to learn from: both hold a matrix of all pairs
PCA_PARTS = 30  # principal components
CHUNK = 4096  # test rows at a time


def scores(method: Any, state: Any, x: np.ndarray, at_once: int) -> dict[str, np.ndarray]:
    """Score rows of a table, some at a time.

    Args:
        method: has `scores`.
        state: of one seed.
        x: rows `[n, ...]`, in bytes where they are images.
        at_once: rows that are scored together.

    Returns:
        Each of the method's scores, `[n]`.
    """
    return in_parts(_scored, method, state, x, at_once)


@functools.partial(jax.jit, static_argnums=0)  # one program for a method, however often it is asked
def _scored(method: Any, state: Any, rows: Any) -> dict[str, Any]:
    return method.scores(state, data.to_float(rows))


def judged(scores: np.ndarray, anomalous: np.ndarray, flagged: float) -> dict[str, float]:
    """Judge scores, of which higher means more out of distribution.

    Args:
        scores: `[n]`.
        anomalous: `[n]`.
        flagged: a row is flagged where its score is at least the quantile `1 - flagged` of all; ties may flag more.

    Returns:
        `precision`, `recall` and `f1` of the flags, `auroc`, `auprc` (average precision) and `share` of the anomalies.
    """
    scores = scores.astype(np.float64)
    if not np.isfinite(scores).all():
        raise FloatingPointError(f"{np.sum(~np.isfinite(scores))} of {len(scores)} scores are not finite.")
    flags = scores >= np.quantile(scores, 1 - flagged)
    hits = np.sum(flags & anomalous)
    precision, recall = hits / flags.sum(), hits / anomalous.sum()
    found = metrics.detection(scores[~anomalous], scores[anomalous])
    return {
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / max(precision + recall, 1e-12)),
        "auroc": found.auroc,
        "auprc": found.auprc,
        "share": found.chance,
    }


@dataclasses.dataclass(frozen=True)
class Detector:
    """Scores of test rows.

    Attributes:
        title: of its line in a table.
        score: takes a generator, training rows, test rows, and whether these are anomalies; returns scores.
    """

    title: str
    score: Callable[[np.random.RandomState, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _forest(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return -IsolationForest(random_state=chance).fit(x).score_samples(test)


def _support(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    rows = chance.permutation(len(x))[:SVM_ROWS]
    return -OneClassSVM(nu=0.1).fit(x[rows]).decision_function(test)


def _components(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """Return the squared distance, in the kernel's space, from the span of its first components (Hoffmann, 2007)."""
    rows = x[chance.permutation(len(x))[:PCA_ROWS]].astype(np.float64)
    gamma = 1 / (rows.shape[1] * max(rows.var(), 1e-12))
    pca = KernelPCA(PCA_PARTS, kernel="rbf", gamma=gamma, random_state=chance).fit(rows)
    mean = rbf_kernel(rows, rows, gamma).mean()
    found = []
    for at in range(0, len(test), CHUNK):
        part = test[at : at + CHUNK].astype(np.float64)
        from_mean = 1 - 2 * rbf_kernel(part, rows, gamma).mean(1) + mean
        found.append(from_mean - np.sum(pca.transform(part) ** 2, 1))
    return np.concatenate(found)


def _chance(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return chance.uniform(size=len(test))


def _bound(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return anomalous + chance.uniform(size=len(test)) / 2


DETECTORS = {
    "forest": Detector("isolation forest", _forest),
    "support": Detector("one-class SVM", _support),
    "components": Detector("kernel PCA", _components),
    "chance": Detector("at random (chance)", _chance),
    "bound": Detector("every anomaly first (bound)", _bound),
}
