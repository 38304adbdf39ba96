"""From scores to decisions whose errors are controlled: conformal p-values and a false discovery rate."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

__all__ = ["conformal_p_values", "benjamini_hochberg"]


def conformal_p_values(scores: ArrayLike, calibration: ArrayLike) -> np.ndarray:
    """Return p-values of the hypothesis that a row is an inlier like those held out for calibration.

    Where it is one, `p <= alpha` has at most the probability `alpha`, whatever the model and the score, and exactly
    that one where no scores are equal and `alpha * (n + 1)` is a whole number. That holds over new calibration rows
    too: for the same ones the share of false alarms is a draw of Beta(a, n + 1 - a), where a is level * (n + 1).

    Args:
        scores: of the rows in question, `[m]`, higher meaning more out of distribution.
        calibration: scores of inliers that neither the model nor the score has learned from, `[n]`.

    Returns:
        `(1 + number of calibration scores that are not below) / (n + 1)`, `[m]`: never 0, and equal scores count
        against an alarm.

    Raises:
        ValueError: if they are not one list each, there is no calibration score, or some are not numbers.

    References:
        Vovk, Gammerman and Shafer, Algorithmic learning in a random world (2005), section 2.2; Bates, Candes, Lei,
        Romano and Sesia, Testing for outliers with conformal p-values (2023), equation 3.
    """
    scores, calibration = np.asarray(scores), np.asarray(calibration)
    if scores.ndim != 1 or calibration.ndim != 1 or not len(calibration):
        raise ValueError(f"scores are {scores.shape} and calibration {calibration.shape}; give [m] and [n >= 1].")
    if np.isnan(scores).any() or np.isnan(calibration).any():
        bad = int(np.isnan(scores).sum()), int(np.isnan(calibration).sum())
        raise ValueError(
            f"{bad[0]} scores and {bad[1]} of the calibration are not numbers; a row without a score has no p-value, "
            "so decide what it means and give a number, such as inf for an alarm."
        )
    below = np.searchsorted(np.sort(calibration), scores, side="left")
    return (1 + len(calibration) - below) / (len(calibration) + 1)


def benjamini_hochberg(p_values: ArrayLike, *, alpha: float = 0.05) -> np.ndarray:
    """Tell which rows are outliers, so that at most a share `alpha` of those named is wrong, on average.

    Conformal p-values of one calibration set lean on each other in the way under which this rule still holds.

    Args:
        p_values: `[m]`.
        alpha: the false discovery rate.

    Returns:
        Whether each row is named, `[m]`.

    Raises:
        ValueError: if p-values are not between 0 and 1, or the level is not.

    References:
        Benjamini and Hochberg, Controlling the false discovery rate (1995), equation 1; Bates et al., Testing for
        outliers with conformal p-values (2023), theorem 2.
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not np.all((p_values >= 0) & (p_values <= 1)):
        raise ValueError(f"p-values are {p_values.shape}, and not all between 0 and 1; give [m] of conformal_p_values.")
    if not 0 < alpha < 1:
        raise ValueError(f"level is {alpha}; make it a share between 0 and 1, such as 0.05.")
    if not len(p_values):
        return np.zeros(0, bool)
    return stats.false_discovery_control(p_values) <= alpha * (1 + 1e-12)  # fractions that are equal but for rounding
