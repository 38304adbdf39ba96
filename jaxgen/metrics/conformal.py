"""Conformal p-values, and the Benjamini-Hochberg procedure for the false discovery rate."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

__all__ = ["conformal_p_values", "benjamini_hochberg"]


def conformal_p_values(scores: ArrayLike, calibration: ArrayLike) -> np.ndarray:
    """Split conformal p-values of the hypothesis that a row has the distribution of the calibration set.

    For such a row `p <= alpha` has at most the probability `alpha`, for any model and any score. It has exactly that
    probability if all scores differ and `alpha * (n + 1)` is a whole number. These probabilities are averages over
    calibration sets. For one fixed set the false positive rate has the distribution Beta(a, n + 1 - a), with
    `a = alpha * (n + 1)`.

    Args:
        scores: scores of the rows to test, `[m]`, higher meaning more out-of-distribution.
        calibration: scores of the calibration set, `[n]`: inliers that neither the model nor the score was fitted on.

    Returns:
        `(1 + number of calibration scores that are not below) / (n + 1)`, `[m]`. It is never 0, and ties make it
        larger.

    Raises:
        ValueError: if an array is not one-dimensional, there is no calibration score, or a score is NaN.

    References:
        Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), section 2.2; Bates, Candes, Lei,
        Romano and Sesia, Testing for outliers with conformal p-values (2023), equation 3.
    """
    scores, calibration = np.asarray(scores), np.asarray(calibration)
    if scores.ndim != 1 or calibration.ndim != 1 or not len(calibration):
        raise ValueError(
            f"`scores` must be [m] and `calibration` [n] with n >= 1 (got {scores.shape} and {calibration.shape}); "
            "flatten them, or give calibration scores."
        )
    if np.isnan(scores).any() or np.isnan(calibration).any():
        bad = int(np.isnan(scores).sum()), int(np.isnan(calibration).sum())
        raise ValueError(
            f"scores must not be NaN (got {bad[0]} in `scores` and {bad[1]} in `calibration`); "
            "replace NaN, for example by inf to treat a row as an outlier."
        )
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return (1 + len(calibration) - below) / (len(calibration) + 1)


def benjamini_hochberg(p_values: ArrayLike, *, alpha: float = 0.05) -> np.ndarray:
    """Benjamini-Hochberg procedure: reject hypotheses with a false discovery rate of at most `alpha`.

    Conformal p-values that share a calibration set are dependent, but positively so, and the bound still holds.

    Args:
        p_values: `[m]`.
        alpha: bound on the expected share of inliers among the rejected rows, between 0 and 1.

    Returns:
        Whether each row is rejected (called an outlier), `[m]`.

    Raises:
        ValueError: if the p-values or `alpha` are not between 0 and 1.

    References:
        Benjamini and Hochberg, Controlling the false discovery rate (1995), equation 1; Bates et al., Testing for
        outliers with conformal p-values (2023), theorem 2.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError(
            f"`p_values` must be [m] with numbers between 0 and 1 (got shape {p_values.shape}); "
            "give the output of conformal_p_values."
        )
    if not 0 < alpha < 1:
        raise ValueError(f"`alpha` must be between 0 and 1 (got {alpha}); try alpha=0.05.")
    if not len(p_values):
        return np.zeros(0, bool)
    return stats.false_discovery_control(p_values) <= alpha * (1 + 1e-12)  # equal fractions may differ by rounding
