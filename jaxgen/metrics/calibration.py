"""Whether a classifier is right as often as it says."""

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["calibration_error"]


def calibration_error(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = 15) -> float:
    """Return the expected calibration error: how far confidence and accuracy are apart, in bins of confidence.

    Args:
        probabilities: of each class, `[n, classes]`.
        labels: the true classes, `[n]`.
        bins: of equal width between 0 and 1.

    Returns:
        The mean over rows of the distance of their bin's mean confidence and accuracy, between 0 and 1.

    Raises:
        ValueError: if there are no rows, or not as many labels.

    References:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017), equation 3.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(f"probabilities are {probabilities.shape} and labels {labels.shape}; give [n, k] and [n].")
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(labels))
