"""Sample quality from a classifier: Fréchet distance of its features (FID) and Inception score."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics._validation import checked_probabilities

__all__ = ["MeanStd", "frechet_distance", "inception_score"]


class MeanStd(NamedTuple):
    """A score's mean and standard deviation over splits."""

    mean: float
    std: float


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Fréchet distance: squared 2-Wasserstein distance of normal distributions fitted to features.

    It is biased upward for small samples, so compare distances only at equal numbers of samples. With d features, few
    more than d samples on either side make it noisy.

    Args:
        x: features of the first sample, `[n, d]`.
        y: features of the second sample, `[m, d]`.

    Returns:
        `|mean x - mean y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2))`, >= 0, in squared units of the features.

    Raises:
        ValueError: if they are not matrices of equal width with two rows or more, or a number is not finite.

    References:
        Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, GANs trained by a two time-scale update rule converge to
        a local Nash equilibrium (2017), equation 6.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    for features in (x, y):
        if (
            features.ndim != 2
            or len(features) < 2
            or features.shape[1] != y.shape[-1]
            or not np.isfinite(features).all()
        ):
            raise ValueError(
                f"frechet_distance needs finite features [n, d] and [m, d] with n, m >= 2 (got shapes {x.shape} and "
                f"{y.shape}); give two rows or more of each, of the same width."
            )
    mean_x, mean_y = x.mean(0), y.mean(0)
    # With Cx = A'A and Cy = B'B the eigenvalues of Cx Cy are the squared singular values of A B'. This avoids the
    # square root of a matrix that is not symmetric. The QR factorization reduces A and B to at most d rows.
    factors = [np.asarray(np.linalg.qr(part / np.sqrt(len(part) - 1), mode="r")) for part in (x - mean_x, y - mean_y)]
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.sum(factor**2) for factor in factors)
    return float(max(np.sum((mean_x - mean_y) ** 2) + traces - 2 * shared, 0.0))


def inception_score(probabilities: ArrayLike, splits: int = 10) -> MeanStd:
    """Inception score: exponential of the mutual information of sample and predicted class.

    It is high if the classifier is certain of every sample, and the samples are spread over the classes.

    Args:
        probabilities: class probabilities of the samples, `[n, classes]`.
        splits: number of consecutive parts of equal size, scored separately; remaining rows are ignored.

    Returns:
        `exp(mean KL(p(class | sample) || p(class)))`, between 1 and the number of classes: its mean and its standard
        deviation over the splits.

    Raises:
        ValueError: if `splits` is below 1, there are fewer rows than splits, or the rows are not probabilities.

    References:
        Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, Improved techniques for training GANs (2016).
    """
    if splits < 1:
        raise ValueError(f"`splits` must be at least 1 (got {splits}); try splits=10.")
    probabilities = checked_probabilities("inception_score", probabilities, least=splits)
    size = len(probabilities) // splits
    parts = probabilities[: size * splits].reshape(splits, size, -1)
    marginal = parts.mean(1, keepdims=True)
    log_ratio = np.log(np.maximum(parts, 1e-300)) - np.log(np.maximum(marginal, 1e-300))
    scores = np.exp(np.mean(np.sum(parts * log_ratio, -1), 1))
    return MeanStd(float(scores.mean()), float(scores.std()))
