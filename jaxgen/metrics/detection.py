"""How well a score tells outliers from inliers, and how sure that is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics

__all__ = ["Detection", "Interval", "auroc", "bootstrap", "detection"]


class Detection(NamedTuple):
    """Measures of a score, which is higher for outliers."""

    auroc: float  # probability that an outlier's score is above an inlier's; chance is 0.5
    auprc: float  # average precision
    chance: float  # of the average precision: the share of outliers
    fpr: float  # share of the inliers that is flagged where 95 % of the outliers are; chance is 0.95


class Interval(NamedTuple):
    """Where a measure lies with so much confidence."""

    low: float
    high: float


def auroc(inliers: ArrayLike, outliers: ArrayLike) -> float:
    """Return the area under the ROC curve: the probability that an outlier's score is above an inlier's.

    Args:
        inliers: scores of those, `[n]`, higher meaning more out of distribution.
        outliers: scores of those, `[m]`.

    Returns:
        Between 0 and 1, an equal pair counting as half.

    Raises:
        ValueError: if there are no scores of either, or some are not numbers.

    References:
        Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic curve (1982).
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    n, m = len(inliers), len(outliers)
    ranks = stats.rankdata(np.concatenate([inliers, outliers]))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def detection(inliers: ArrayLike, outliers: ArrayLike) -> Detection:
    """Measure how well a score tells outliers from inliers, without a threshold; outliers are the positives.

    Args:
        inliers: scores of those, `[n]`, higher meaning more out of distribution.
        outliers: scores of those, `[m]`.

    Returns:
        Area under the ROC curve, average precision, its chance level, and the false positive rate at a true positive
        rate of 95 % or the next above. Equal scores are flagged together.

    Raises:
        ValueError: if there are no scores of either, or some are not numbers.

    References:
        Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples in neural networks
        (2016), section 2.
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    labels = np.repeat([False, True], [len(inliers), len(outliers)])
    ranks = stats.rankdata(np.concatenate([inliers, outliers]))  # scikit-learn refuses infinite scores
    flagged, found, _ = metrics.roc_curve(labels, ranks, drop_intermediate=False)
    return Detection(
        auroc(inliers, outliers),
        float(metrics.average_precision_score(labels, ranks)),
        len(outliers) / len(labels),
        float(flagged[np.argmax(found >= 0.95)]),
    )


def bootstrap(
    inliers: ArrayLike,
    outliers: ArrayLike,
    *,
    measure: Callable[[np.ndarray, np.ndarray], float] = auroc,
    confidence: float = 0.95,
    repeats: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Return a percentile bootstrap interval of a measure, for which inliers and outliers are drawn apart.

    It tells how far another test set may lead elsewhere; what another training would is not in it.

    Args:
        inliers: scores `[n]`.
        outliers: scores `[m]`.
        measure: takes the scores of inliers and of outliers.
        confidence: that the measure's value for all inliers and outliers there are lies within.
        repeats: of the draws.
        seed: of the draws.

    Returns:
        The interval's ends.

    Raises:
        ValueError: if there are fewer than two scores of either, some are not numbers, or confidence is not a share.

    References:
        Efron and Tibshirani, An introduction to the bootstrap (1993), section 13.3.
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    if min(len(inliers), len(outliers)) < 2:
        raise ValueError(f"there are {len(inliers)} and {len(outliers)} scores; give two of each at least.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; make it a share between 0 and 1, such as 0.95.")
    found = stats.bootstrap(
        (inliers, outliers),
        measure,
        n_resamples=repeats,
        confidence_level=confidence,
        vectorized=False,
        batch=50,  # draws that are held at a time
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(float(found.confidence_interval.low), float(found.confidence_interval.high))


def _scores(scores: ArrayLike) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        told = f"{np.isnan(scores).sum()} of {scores.size} are not numbers" if scores.size else "there are none"
        raise ValueError(f"scores have shape {scores.shape}, and {told}; give [n] numbers.")
    return scores
