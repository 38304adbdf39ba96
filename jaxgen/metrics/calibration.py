"""Whether a classifier is right as often as it says."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics.probabilities import checked_probabilities

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
        ValueError: if there are no rows, not as many labels, no bins, or the rows are no probabilities.

    References:
        Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017), equation 3.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; make it 1 at least.")
    probabilities, labels = checked_probabilities("calibration_error", probabilities, least=1), np.asarray(labels)
    if labels.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities are {probabilities.shape} and labels {labels.shape}; give [n, k] and [n].")
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(place, confidence - right, bins)
    return float(np.abs(gaps).sum() / len(labels))
