"""Distances to nearest neighbors, and their blend with the scores of a model."""

import dataclasses

import numpy as np

from jaxgen.types import Float

__all__ = ["LocalNeighborBlend", "NeighborBlend", "neighbor_distances"]

NEIGHBOR_WEIGHT = 2 / 3  # of the neighbors in the blend; the model has the rest
LOCAL_NEIGHBOR_WEIGHT = 0.9  # the same of `LocalNeighborBlend`
SMALLEST_VARIANCE = 1e-6  # of a decorrelated direction, relative to the largest
SMALLEST_DISTANCE = 1e-6  # of a row to its neighbors, relative to the mean over rows


def neighbor_distances(
    rows: Float[np.ndarray, "m d"], x: Float[np.ndarray, "n d"] | None = None, *, num_neighbors: int
) -> Float[np.ndarray, " n"]:
    """Compute the mean distance to the nearest neighbors.

    Args:
        rows: the rows among which neighbors are searched, `[m, d]`, at least two.
        x: points `[n, d]`; None are the rows themselves, and a row is then not its own neighbor.
        num_neighbors: number of neighbors in the mean, at most the number of rows.

    Returns:
        Distances `[n]`.
    """
    return np.mean(_nearest(rows, x, num_neighbors)[0], 1)


@dataclasses.dataclass(frozen=True, eq=False)
class NeighborBlend:
    """Weighted mean of a model's score and distances to nearest neighbors, all on one scale.

    Neighbors are searched twice: among the rows as they are, and among decorrelated rows, whose covariance is the
    identity. The first misses outliers that only break a correlation, the second amplifies noise. The larger of both
    distances counts.

    The score and each distance are standardized by their median and interquartile range over training rows. They are
    then compressed by `sign(z) log(1 + |z|)`, so that none dominates far away from the data. The neighbors have two
    thirds of the weight.

    Attributes:
        rows: rows among which neighbors are searched, `[m, d]`.
        num_neighbors: number of neighbors in the mean distance.
        decorrelation: `rows @ decorrelation` have covariance 1 by the estimate of Ledoit and Wolf, `[d, d]`.
        score_scale: median and interquartile range of the model's scores of training rows.
        distance_scale: the same of the training rows' distances to each other.
        decorrelated_scale: the same of their distances after decorrelation.

    References:
        Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices (2004).
    """

    rows: Float[np.ndarray, "m d"]
    num_neighbors: int
    decorrelation: Float[np.ndarray, "d d"]
    score_scale: tuple[float, float]
    distance_scale: tuple[float, float]
    decorrelated_scale: tuple[float, float]

    @classmethod
    def fit(
        cls, rows: Float[np.ndarray, "m d"], scores: Float[np.ndarray, " m"], *, num_neighbors: int
    ) -> "NeighborBlend":
        """Measure all scales on training rows `[m, d]` and the model's scores of them, `[m]`."""
        matrix = _decorrelation(rows)
        plain, decorrelated = (neighbor_distances(x, num_neighbors=num_neighbors) for x in (rows, rows @ matrix))
        return cls(rows, num_neighbors, matrix, _scale(scores), _scale(plain), _scale(decorrelated))

    def __call__(self, x: Float[np.ndarray, "n d"], scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the blend of rows `[n, d]` and the model's scores of them, `[n]`; higher for outliers."""
        return NEIGHBOR_WEIGHT * self.distances(x) + (1 - NEIGHBOR_WEIGHT) * _compressed(scores, self.score_scale)

    def distances(self, x: Float[np.ndarray, "n d"] | None = None) -> Float[np.ndarray, " n"]:
        """Return the larger of both distances of rows `[n, d]` to their neighbors, standardized and compressed.

        Without `x`, they are the distances of the searched rows to each other.
        """
        plain = neighbor_distances(self.rows, x, num_neighbors=self.num_neighbors)
        rows = np.asarray(self.rows, np.float64) @ self.decorrelation
        points = None if x is None else np.asarray(x, np.float64) @ self.decorrelation
        decorrelated = neighbor_distances(rows, points, num_neighbors=self.num_neighbors)
        return np.maximum(_compressed(plain, self.distance_scale), _compressed(decorrelated, self.decorrelated_scale))


@dataclasses.dataclass(frozen=True, eq=False)
class LocalNeighborBlend:
    """Weighted mean of a model's score, distances to nearest neighbors, and distances relative to the neighbors' own.

    The relative distance of a point is its mean distance to its neighbors, divided by the mean of their mean distances
    to their own neighbors. It finds outliers near a dense class that are closer to it than rows of other classes are
    to each other. It needs no covariance, which has too many entries for images.

    All are standardized and compressed as in `NeighborBlend`. Each of the distances has a weight of 0.45, and the model
    of 0.1.

    Attributes:
        rows: rows among which neighbors are searched, `[m, d]`.
        num_neighbors: number of neighbors in the mean distance.
        own_distances: distance of each of the rows to its neighbors, `[m]`.
        score_scale: median and interquartile range of the model's scores of training rows.
        distance_scale: the same of the training rows' distances to each other.
        relative_scale: the same of their relative distances.

    References:
        Breunig, Kriegel, Ng and Sander, LOF: identifying density-based local outliers (2000), a similar ratio.
    """

    rows: Float[np.ndarray, "m d"]
    num_neighbors: int
    own_distances: Float[np.ndarray, " m"]
    score_scale: tuple[float, float]
    distance_scale: tuple[float, float]
    relative_scale: tuple[float, float]

    @classmethod
    def fit(
        cls, rows: Float[np.ndarray, "m d"], scores: Float[np.ndarray, " m"], *, num_neighbors: int
    ) -> "LocalNeighborBlend":
        """Measure all scales on training rows `[m, d]` and the model's scores of them, `[m]`."""
        distances, neighbors = _nearest(rows, None, num_neighbors)
        own = np.mean(distances, 1)
        relative = _relative(own, own, neighbors)
        return cls(rows, num_neighbors, own, _scale(scores), _scale(own), _scale(relative))

    def __call__(self, x: Float[np.ndarray, "n d"], scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Return the blend of rows `[n, d]` and the model's scores of them, `[n]`; higher for outliers."""
        model = _compressed(scores, self.score_scale)
        return LOCAL_NEIGHBOR_WEIGHT * self.distances(x) + (1 - LOCAL_NEIGHBOR_WEIGHT) * model

    def distances(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return the mean of the standardized and compressed distance, and of the relative one, of rows `[n, d]`."""
        distances, neighbors = _nearest(self.rows, x, self.num_neighbors)
        mean = np.mean(distances, 1)
        relative = _relative(mean, self.own_distances, neighbors)
        return (_compressed(mean, self.distance_scale) + _compressed(relative, self.relative_scale)) / 2


def _nearest(rows: np.ndarray, x: np.ndarray | None, num_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances to the nearest rows, and their numbers, `[n, k]` each; arguments of `neighbor_distances`."""
    from sklearn.neighbors import NearestNeighbors  # takes a second to import

    k = min(num_neighbors, len(rows) - (x is None))
    # If both have one dtype, scikit-learn searches in blocks of 256 rows; otherwise it holds 1 GiB of distances.
    points = None if x is None else np.asarray(x, np.float64)
    return NearestNeighbors(n_neighbors=k).fit(np.asarray(rows, np.float64)).kneighbors(points)


def _relative(distances: np.ndarray, own_distances: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """Return distances `[n]`, relative to the mean distance that their neighbors `[n, k]` have to their own."""
    # Repeated rows have distance zero.
    floor = max(SMALLEST_DISTANCE * np.mean(own_distances), np.finfo(np.float64).tiny)
    return distances / np.maximum(np.mean(own_distances[neighbors], 1), floor)


def _decorrelation(rows: np.ndarray) -> np.ndarray:
    """Return the matrix `[d, d]` that maps rows `[m, d]` to uncorrelated columns of standard deviation 1."""
    from sklearn.covariance import LedoitWolf

    variances, directions = np.linalg.eigh(LedoitWolf().fit(np.asarray(rows, np.float64)).covariance_)
    # Columns that depend on each other exactly have a direction of variance zero.
    floor = max(SMALLEST_VARIANCE * variances[-1], np.finfo(np.float64).tiny)
    return directions / np.sqrt(np.maximum(variances, floor))


def _scale(values: np.ndarray) -> tuple[float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    # Repeated rows have distance zero: then the standard deviation replaces an interquartile range of zero.
    return float(median), float(high - low or np.std(values) or 1.0)


def _compressed(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    z = (values - scale[0]) / scale[1]
    return np.sign(z) * np.log1p(np.abs(z))
