"""Checks of a detector's rows: messages for paths and text, and the checks of scikit-learn."""

import os
from typing import Any

import numpy as np
from sklearn.utils.validation import validate_data

__all__ = ["check_not_a_path", "validated_rows"]


def check_not_a_path(X: Any) -> None:
    """Check that rows are not the path of a file.

    Args:
        X: rows, or anything else.

    Raises:
        TypeError: if they are a path.
    """
    if isinstance(X, str | os.PathLike):
        raise TypeError(
            f"`X` must be rows [n, d] or a data frame (got the path {os.fspath(X)[:60]!r}); read the file first, for "
            "example by pandas.read_csv(path)."
        )


def validated_rows(detector: Any, X: Any, *, reset: bool = True, ensure_min_samples: int = 1) -> np.ndarray:
    """Return the numbers that pass scikit-learn's checks, `[n, d]`.

    Args:
        detector: stores width and column names if `reset` is True; otherwise the rows are compared with these.
        X: rows `[n, d]`, not a data frame with other columns than numbers.
        reset: whether the rows are those of `fit`.
        ensure_min_samples: the smallest number of rows.

    Returns:
        The rows in double precision.

    Raises:
        ValueError: if they hold text, are not finite, are too few, or have another width than those of `fit`.
        TypeError: if they hold objects that are neither numbers nor text.
    """
    try:
        return validate_data(detector, X, dtype=np.float64, reset=reset, ensure_min_samples=ensure_min_samples)
    except ValueError as error:
        text = _first_text(X)
        if text is None:
            raise
        remedy = "give text columns as a pandas DataFrame" if reset else "give numbers, as in `fit`"
        raise ValueError(f"`X` must hold numbers (got the text {text[:60]!r}); {remedy}.") from error


def _first_text(X: Any) -> str | None:
    """Return the first cell that is text but not a number, or None."""
    try:
        cells = np.asarray(X, object).ravel()
    except ValueError:  # rows of unequal lengths
        return None
    return next((str(cell) for cell in cells if isinstance(cell, str) and not _is_number(cell)), None)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
