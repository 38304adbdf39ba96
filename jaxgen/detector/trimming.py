"""Removal of suspected outliers from training rows."""

import functools
import math

import numpy as np

from jaxgen.neighbors import NeighborBlend, neighbor_distances
from jaxgen.types import Bool, Float

__all__ = ["suspected_inliers"]

NEIGHBOR_SHARE = 0.2  # of the references; outliers in a cluster smaller than this do not hide each other
MAX_REFERENCES = 1_000  # rows searched, which bounds time and memory; the neighbors grow with them


def suspected_inliers(
    rows: Float[np.ndarray, "n d"], fraction: float, *, decorrelate: bool = True
) -> Bool[np.ndarray, " n"]:
    """Find all rows but the fraction that is farthest from the others.

    The distance is that of `NeighborBlend`, with a fifth of the rows as neighbors, or the plain one of these two. At
    least two rows are kept.

    Args:
        rows: scaled training rows in a random order.
        fraction: share of the rows to remove, rounded up.
        decorrelate: whether distances after decorrelation count; its matrix is `[d, d]`, too large for images.

    Returns:
        Whether each row is kept, `[n]`.
    """
    references = rows[:MAX_REFERENCES]
    count = min(max(3, math.ceil(NEIGHBOR_SHARE * len(references))), len(references) - 1)
    measure = (
        NeighborBlend.fit(references, np.zeros(len(references)), num_neighbors=count).distances
        if decorrelate
        else functools.partial(neighbor_distances, references, num_neighbors=count)
    )
    distances = measure()
    if len(rows) > len(references):
        distances = np.concatenate([distances, measure(rows[len(references) :])])
    removed = min(math.ceil(fraction * len(rows)), len(rows) - 2)
    kept = np.ones(len(rows), bool)
    kept[np.argsort(distances, kind="stable")[len(rows) - removed :]] = False
    return kept
