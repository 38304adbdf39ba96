"""Sliced Wasserstein distance of two samples."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics._validation import two_samples

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, num_projections: int = 200, order: float = 2.0, seed: int = 0
) -> float:
    """Sliced Wasserstein distance: mean over random directions of the distance of the projected samples.

    Args:
        x: the first sample, `[n, d]`.
        y: the second sample, `[m, d]`.
        num_projections: number of uniformly random directions; in one dimension a single direction is used.
        order: p, >= 1.
        seed: random seed of the directions.

    Returns:
        The p-th root of the mean over directions of the p-th power of the p-Wasserstein distance, in units of the data.

    Raises:
        ValueError: if a sample is empty, the widths differ, a number is not finite, or `order` or `num_projections` is
            below 1.

    References:
        Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein barycenters of measures (2015), section 3.
    """
    x, y = two_samples(x, y, least=1)
    if order < 1 or num_projections < 1:
        raise ValueError(
            f"`order` and `num_projections` must be at least 1 (got {order} and {num_projections}); try 2 and 200."
        )
    directions = np.random.default_rng(seed).normal(size=(x.shape[1], num_projections if x.shape[1] > 1 else 1))
    directions /= np.linalg.norm(directions, axis=0)
    a, b = (np.sort(rows @ directions, 0) for rows in (x, y))
    # Quantile functions of samples are step functions: both are constant between neighboring ends of their steps.
    ends = np.union1d(np.arange(1, len(x)) / len(x), np.arange(1, len(y)) / len(y))
    ends = np.concatenate([[0.0], ends, [1.0]])
    middles, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    one, other = (rows[(middles * len(rows)).astype(np.int64)] for rows in (a, b))
    return float((widths @ np.abs(one - other) ** order).mean() ** (1 / order))
