"""What measures ask of a classifier's probabilities."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["checked_probabilities"]


def checked_probabilities(name: str, probabilities: ArrayLike, *, least: int) -> np.ndarray:
    """Return rows of probabilities as an array.

    Args:
        name: of the measure.
        probabilities: of each class, `[n, classes]`.
        least: rows that there must be.

    Returns:
        The same, `[n, classes]`, in double precision.

    Raises:
        ValueError: if there are fewer rows, or a row holds a negative number or does not sum to 1.
    """
    rows = np.asarray(probabilities, np.float64)
    fits = rows.ndim == 2 and len(rows) >= max(least, 1) and rows.shape[1] and rows.min() >= 0
    if not fits or not np.abs(rows.sum(-1) - 1).max() <= 1e-3:
        raise ValueError(
            f"{name} got probabilities of shape {rows.shape}; give rows that sum to 1, of numbers that are not "
            f"negative, and {max(least, 1)} of them at least."
        )
    return rows
