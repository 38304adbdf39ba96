"""Checks of the arguments that several metrics take: class probabilities, and two samples to compare."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.numerics.kernels import sample_sizes

__all__ = ["checked_probabilities", "two_samples"]


def checked_probabilities(name: str, probabilities: ArrayLike, *, least: int) -> np.ndarray:
    """Return class probabilities as an array in double precision.

    Args:
        name: the metric, for the error message.
        probabilities: class probabilities, `[n, classes]`.
        least: the minimum number of rows.

    Returns:
        The probabilities, `[n, classes]`.

    Raises:
        ValueError: if there are fewer rows, or a row has a negative entry or does not sum to 1.
    """
    rows = np.asarray(probabilities, np.float64)
    fits = rows.ndim == 2 and len(rows) >= max(least, 1) and rows.shape[1] and rows.min() >= 0
    if not fits or not np.abs(rows.sum(-1) - 1).max() <= 1e-3:
        raise ValueError(
            f"{name} needs class probabilities [n, classes] with n >= {max(least, 1)} (got shape {rows.shape}); "
            "give rows of non-negative numbers that sum to 1."
        )
    return rows


def two_samples(x: ArrayLike, y: ArrayLike, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two samples of the same space as arrays in double precision.

    Args:
        x: the first sample, `[n, d]`.
        y: the second sample, `[m, d]`.
        least: the minimum number of rows of each.

    Returns:
        Both samples, `[n, d]` and `[m, d]`.

    Raises:
        ValueError: if a sample has fewer rows, they are not matrices of the same width, or a number is not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    sample_sizes(x, y, least=least)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        bad = int((~np.isfinite(x)).sum()), int((~np.isfinite(y)).sum())
        raise ValueError(
            f"all numbers must be finite (got {bad[0]} in `x` and {bad[1]} in `y` that are not finite); "
            "fix or drop their rows."
        )
    return x, y
