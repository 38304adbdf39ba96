"""How far samples are from data in the features of a classifier, and how sure and how varied it finds them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics.probabilities import checked_probabilities

__all__ = ["Score", "frechet_distance", "inception_score"]


class Score(NamedTuple):
    """A mean over splits and its standard deviation."""

    mean: float
    deviation: float


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Measure the squared Wasserstein distance of two normal laws with the features' means and covariances.

    It falls with the number of samples towards its limit, so that distances compare at one number only: with d
    features, few more than d samples on either side leave much of it to chance.

    Args:
        x: features `[n, d]`.
        y: features `[m, d]`.

    Returns:
        `|mean x - mean y|^2 + tr(Cx + Cy - 2 (Cx Cy)^(1/2))`, >= 0, in squared units of the features.

    Raises:
        ValueError: if they are no matrices of equal width with two rows at least, or hold a number that is not finite.

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
                f"frechet_distance got features of shapes {x.shape} and {y.shape}; give finite numbers [n, d] and "
                "[m, d], two rows of each at least."
            )
    mean_x, mean_y = x.mean(0), y.mean(0)
    # With Cx = A'A and Cy = B'B the eigenvalues of Cx Cy are the squared singular values of A B': no root of a matrix
    # that is not symmetric. The factors are brought to d rows first.
    factors = [np.asarray(np.linalg.qr(part / np.sqrt(len(part) - 1), mode="r")) for part in (x - mean_x, y - mean_y)]
    shared = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.sum(factor**2) for factor in factors)
    return float(max(np.sum((mean_x - mean_y) ** 2) + traces - 2 * shared, 0.0))


def inception_score(probabilities: ArrayLike, splits: int = 10) -> Score:
    """Measure how sure a classifier is of samples, and how varied it finds them: the exponential of what it is told.

    Args:
        probabilities: of each class, `[n, classes]`.
        splits: parts of equal size, in order, that are scored apart; rows that are left over are not scored.

    Returns:
        `exp(mean KL(p(class | sample) || p(class)))`, between 1 and the number of classes: its mean over the splits
        and their standard deviation.

    Raises:
        ValueError: if there are no splits, fewer rows than splits, or the rows are no probabilities.

    References:
        Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen, Improved techniques for training GANs (2016).
    """
    if splits < 1:
        raise ValueError(f"splits is {splits}; make it 1 at least.")
    probabilities = checked_probabilities("inception_score", probabilities, least=splits)
    size = len(probabilities) // splits
    parts = probabilities[: size * splits].reshape(splits, size, -1)
    marginal = parts.mean(1, keepdims=True)
    log_ratio = np.log(np.maximum(parts, 1e-300)) - np.log(np.maximum(marginal, 1e-300))
    scores = np.exp(np.mean(np.sum(parts * log_ratio, -1), 1))
    return Score(float(scores.mean()), float(scores.std()))
