"""Detection metrics of scores that separate outliers from inliers, with bootstrap intervals."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics

__all__ = ["Detection", "Interval", "auroc", "bootstrap", "detection"]


class Detection(NamedTuple):
    """Detection metrics of a score that is higher for outliers; outliers are the positives.

    Attributes:
        auroc: probability that an outlier's score is above an inlier's; 0.5 for random scores.
        auprc: average precision.
        auprc_chance: average precision of random scores: the share of outliers.
        fpr_at_95_tpr: false positive rate at a true positive rate of 95 %; 0.95 for random scores.
    """

    auroc: float
    auprc: float
    auprc_chance: float
    fpr_at_95_tpr: float


class Interval(NamedTuple):
    """Confidence interval of a metric."""

    low: float
    high: float


def auroc(inliers: ArrayLike, outliers: ArrayLike) -> float:
    """Area under the ROC curve: the probability that an outlier's score is above an inlier's.

    Args:
        inliers: scores of the inliers, `[n]`, higher meaning more out-of-distribution.
        outliers: scores of the outliers, `[m]`.

    Returns:
        A number between 0 and 1; a pair of equal scores counts as half.

    Raises:
        ValueError: if `inliers` or `outliers` is empty, or a score is NaN.

    References:
        Hanley and McNeil, The meaning and use of the area under a receiver operating characteristic curve (1982).
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    n, m = len(inliers), len(outliers)
    ranks = stats.rankdata(np.concatenate([inliers, outliers]))
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m))


def detection(inliers: ArrayLike, outliers: ArrayLike) -> Detection:
    """Detection metrics of a score: AUROC, average precision, and false positive rate at 95 % recall.

    Args:
        inliers: scores of the inliers, `[n]`, higher meaning more out-of-distribution.
        outliers: scores of the outliers, `[m]`; these are the positives.

    Returns:
        The area under the ROC curve, the average precision, the average precision of random scores, and the false
        positive rate. The latter is at a true positive rate of 95 %, or the next one above. A threshold never
        separates equal scores.

    Raises:
        ValueError: if `inliers` or `outliers` is empty, or a score is NaN.

    References:
        Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples in neural networks
        (2016), section 2.
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    labels = np.repeat([False, True], [len(inliers), len(outliers)])
    ranks = stats.rankdata(np.concatenate([inliers, outliers]))  # scikit-learn refuses infinite scores
    false_positives, true_positives, _ = metrics.roc_curve(labels, ranks, drop_intermediate=False)
    return Detection(
        auroc(inliers, outliers),
        float(metrics.average_precision_score(labels, ranks)),
        len(outliers) / len(labels),
        float(false_positives[np.argmax(true_positives >= 0.95)]),
    )


def bootstrap(
    inliers: ArrayLike,
    outliers: ArrayLike,
    *,
    metric: Callable[[np.ndarray, np.ndarray], float] = auroc,
    confidence: float = 0.95,
    num_resamples: int = 1_000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap confidence interval of a detection metric.

    Inliers and outliers are resampled separately. The interval covers the variation between test sets, not the
    variation between training runs.

    Args:
        inliers: scores of the inliers, `[n]`.
        outliers: scores of the outliers, `[m]`.
        metric: the metric, a function of the scores of inliers and of outliers.
        confidence: probability that the interval contains the metric's value in the population, between 0 and 1.
        num_resamples: number of bootstrap resamples.
        seed: random seed of the resamples.

    Returns:
        The lower and upper end of the interval.

    Raises:
        ValueError: if `inliers` or `outliers` has fewer than two scores, a score is NaN, or `confidence` is not between
            0 and 1.

    References:
        Efron and Tibshirani, An introduction to the bootstrap (1993), section 13.3.
    """
    inliers, outliers = _scores(inliers), _scores(outliers)
    if min(len(inliers), len(outliers)) < 2:
        raise ValueError(
            f"bootstrap needs two inliers and two outliers or more (got {len(inliers)} and {len(outliers)}); give more."
        )
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1 (got {confidence}); try confidence=0.95.")
    result = stats.bootstrap(
        (inliers, outliers),
        metric,
        n_resamples=num_resamples,
        confidence_level=confidence,
        vectorized=False,
        batch=50,  # resamples in memory at a time
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def _scores(scores: ArrayLike) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores) or np.isnan(scores).any():
        bad = int(np.isnan(scores).sum())
        raise ValueError(
            f"scores must be [n] with n >= 1 and without NaN (got shape {scores.shape}, {bad} NaN); "
            "flatten them, or replace NaN."
        )
    return scores
