"""How far apart two samples are on lines through the space."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.metrics.samples import two_samples

__all__ = ["sliced_wasserstein"]


def sliced_wasserstein(
    x: ArrayLike, y: ArrayLike, *, projections: int = 200, order: float = 2.0, seed: int = 0
) -> float:
    """Measure how far apart two samples are: the mean Wasserstein distance of their projections upon lines.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        projections: directions, drawn uniformly; in one dimension one is all there are.
        order: p, >= 1.
        seed: of the directions.

    Returns:
        The p-th root of the mean over directions of the p-th power of the distance, in units of the data.

    Raises:
        ValueError: if there are no rows of either, widths differ, a number is not finite, or order or projections are
            below 1.

    References:
        Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein barycenters of measures (2015), section 3.
    """
    x, y = two_samples(x, y, least=1)
    if order < 1 or projections < 1:
        raise ValueError(f"order is {order} and projections {projections}; make both 1 or more.")
    directions = np.random.default_rng(seed).normal(size=(x.shape[1], projections if x.shape[1] > 1 else 1))
    directions /= np.linalg.norm(directions, axis=0)
    a, b = (np.sort(rows @ directions, 0) for rows in (x, y))
    # Quantile functions are steps, between all of whose ends both are constant.
    ends = np.union1d(np.arange(1, len(x)) / len(x), np.arange(1, len(y)) / len(y))
    ends = np.concatenate([[0.0], ends, [1.0]])
    middles, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    one, other = (rows[(middles * len(rows)).astype(np.int64)] for rows in (a, b))
    return float((widths @ np.abs(one - other) ** order).mean() ** (1 / order))
