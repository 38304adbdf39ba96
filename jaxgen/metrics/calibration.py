"""Calibration of classifiers: expected calibration error."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics._validation import checked_probabilities
from jaxgen.validation import check_labels

__all__ = ["expected_calibration_error"]


def expected_calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: mean difference of confidence and accuracy over bins of confidence.

    Args:
        probabilities: class probabilities, `[n, classes]`.
        labels: the true classes, `[n]`.
        bins: number of bins of equal width between 0 and 1.

    Returns:
        The mean over rows of `|confidence - accuracy|` of the row's bin, between 0 and 1.

    Raises:
        ValueError: if there are no rows or no bins, the number of labels differs, the rows are not probabilities, or a
            label is not a whole number from 0 to `classes - 1`.

    References:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017), equation 3.
    """
    if bins < 1:
        raise ValueError(f"`bins` must be at least 1 (got {bins}); try bins=15.")
    probabilities, labels = (
        checked_probabilities("expected_calibration_error", probabilities, least=1),
        np.asarray(labels),
    )
    if labels.shape != probabilities.shape[:1]:
        raise ValueError(
            f"`labels` must be [n] for probabilities [n, classes] (got {labels.shape} and {probabilities.shape}); "
            "give one label for each row."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"`labels` must be integers (got dtype {labels.dtype}); number the classes from 0.")
    check_labels(labels, probabilities.shape[1])
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    bin_of_row = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of_row, confidence - correct, bins)
    return float(np.abs(gaps).sum() / len(labels))
