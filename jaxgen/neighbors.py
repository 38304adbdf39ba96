"""Distances to nearest neighbors, and their blend with the scores of a model."""

import dataclasses

import numpy as np

from jaxgen.types import Float

__all__ = ["NeighborBlend", "neighbor_distances"]

NEIGHBOR_WEIGHT = 2 / 3  # of the neighbors in the blend; the model has the rest


def neighbor_distances(
    rows: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"] | None = None, *, num_neighbors: int
) -> Float[np.ndarray, " n"]:
    """Compute the mean distance to the nearest neighbors.

    Args:
        rows: the rows among which neighbors are searched, `[m, d]`, at least two.
        x: points `[n, d]`; None are the rows themselves, and a row is then not its own neighbor.
        num_neighbors: number of neighbors in the mean, reduced to the number of rows that there are.

    Returns:
        Distances `[n]`.
    """
    from sklearn.neighbors import NearestNeighbors  # takes a second to import

    k = min(num_neighbors, len(rows) - (x is None))
    # Of equal dtypes, scikit-learn searches in blocks of 256 rows; of others, it holds 1 GiB of distances.
    points = None if x is None else np.asarray(x, np.float64)
    distances, _ = NearestNeighbors(n_neighbors=k).fit(np.asarray(rows, np.float64)).kneighbors(points)
    return np.mean(distances, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class NeighborBlend:
    """Weighted mean of a model's score and the distance to nearest neighbors, both on one scale.

    Each of the two is standardized by its median and interquartile range over training rows. It is then compressed by
    `sign(z) log(1 + |z|)`, so that neither dominates far away from the data. The neighbors have two thirds of the
    weight.

    Attributes:
        rows: rows among which neighbors are searched, `[m, d]`.
        num_neighbors: number of neighbors in the mean distance.
        score_scale: median and interquartile range of the model's scores of training rows.
        distance_scale: the same of the training rows' distances to each other.
    """

    rows: Float[np.ndarray, "m d"]
    num_neighbors: int
    score_scale: tuple[float, float]
    distance_scale: tuple[float, float]

    @classmethod
    def fit(
        cls, rows: Float[np.ndarray, "m d"], scores: Float[np.ndarray, " m"], *, num_neighbors: int
    ) -> "NeighborBlend":
        """Measure both scales on training rows `[m, d]` and the model's scores of them, `[m]`."""
        distances = neighbor_distances(rows, num_neighbors=num_neighbors)
        return cls(rows, num_neighbors, _scale(scores), _scale(distances))

    def __call__(self, x: Float[np.ndarray, "n d"], scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the blend of rows `[n, d]` and the model's scores of them, `[n]`; higher for outliers."""
        distances = neighbor_distances(self.rows, x, num_neighbors=self.num_neighbors)
        near, model = _compressed(distances, self.distance_scale), _compressed(scores, self.score_scale)
        return NEIGHBOR_WEIGHT * near + (1 - NEIGHBOR_WEIGHT) * model


def _scale(values: np.ndarray) -> tuple[float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    # Repeated rows have distance zero: then the standard deviation replaces an interquartile range of zero.
    return float(median), float(high - low or np.std(values) or 1.0)


def _compressed(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    z = (values - scale[0]) / scale[1]
    return np.sign(z) * np.log1p(np.abs(z))
