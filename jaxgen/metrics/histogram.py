"""Histograms on a grid and their divergences, as in the paper on extreme value losses."""

import dataclasses
import numbers

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

__all__ = ["Grid", "Histogram", "fisher_distance", "kl_divergence", "mass_off_support"]

Histogram = Float[np.ndarray, " cells"]

# Cells that a histogram may have: 2^27 of them take a gibibyte.
_MOST_CELLS = 2**27
# Mass added to every cell of the model: the paper's constant.
_EMPTY = 1e-32


@dataclasses.dataclass(frozen=True)
class Grid:
    """Regular grid over a cube, with the same edges in every dimension.

    Attributes:
        bins: number of cells along each dimension.
        low: lower edge, in the units of the data.
        high: upper edge, in the units of the data, above `low`.
    """

    bins: int = 20
    low: float = -12.0
    high: float = 12.0

    def __post_init__(self) -> None:
        """Check the cells.

        Raises:
            ValueError: if `bins` is not a whole number of at least 1, or the edges are not finite and in order.
        """
        if not isinstance(self.bins, numbers.Integral) or self.bins < 1:
            raise ValueError(f"`bins` must be a whole number of at least 1 (got {self.bins!r}); try bins=20.")
        if not 0 < self.high - self.low < np.inf:
            raise ValueError(f"`low` must be below `high`, both finite (got {self.low} and {self.high}); try -1 and 1.")

    def __call__(self, x: ArrayLike, weights: ArrayLike | None = None) -> Histogram:
        """Compute the share of points in each cell; points outside count in the nearest cell at the edge.

        Args:
            x: points `[n, d]`.
            weights: non-negative weight of each point, `[n]`; None gives all the same weight.

        Returns:
            Shares `[bins ** d]`, which sum to 1.

        Raises:
            ValueError: if `x` is not a matrix of finite numbers, a weight is negative or not finite, or all weights
                are 0; if the grid has too many cells.
        """
        points = np.asarray(x, np.float64)
        if points.ndim != 2 or points.size == 0 or not np.isfinite(points).all():
            raise ValueError(
                f"`x` must be finite points [n, d] (got shape {points.shape}); reshape it, or drop its NaN and inf."
            )
        if self.bins ** points.shape[1] > _MOST_CELLS:
            raise ValueError(
                f"a histogram must have at most {_MOST_CELLS} cells (got {self.bins} bins in {points.shape[1]} "
                "dimensions); use fewer bins, or project the points."
            )
        scaled = np.clip((points - self.low) * (self.bins / (self.high - self.low)), 0, self.bins - 1)
        cells = np.ravel_multi_index(tuple(scaled.astype(np.int64).T), (self.bins,) * points.shape[1])
        masses = None if weights is None else np.asarray(weights, np.float64)
        if masses is not None and masses.shape != points.shape[:1]:
            raise ValueError(f"`weights` must be [{len(points)}] (got shape {masses.shape}); give one for each point.")
        if masses is not None and masses.min() < 0:
            raise ValueError(f"`weights` must not be negative (got a minimum of {masses.min()}); give weights >= 0.")
        sample_sizes = np.bincount(cells, masses, self.bins ** points.shape[1]).astype(np.float64)
        if not 0 < sample_sizes.sum() < np.inf:
            raise ValueError(
                f"`weights` must have a positive finite sum (got {sample_sizes.sum()} for {len(points)} points); "
                "give finite weights, at least one of them positive."
            )
        return sample_sizes / sample_sizes.sum()


def kl_divergence(test: Histogram, model: Histogram) -> float:
    """KL(test || model) over the cells with test data: how badly the model covers the test data.

    This is the estimator of the paper's released code. The model is restricted to the cells with test data, `1e-32` is
    added to each, and the shares are normalized again. Three consequences follow:

    - Model mass in other cells has no effect (see `mass_off_support`).
    - Test mass in a cell without model mass costs about 73.7 nats per unit.
    - A model without mass in any of these cells counts as uniform over them. Its divergence is the logarithm of their
      number minus the entropy of the test data.

    Args:
        test: shares of the test data, `[cells]`.
        model: shares of the model's samples, `[cells]`, on the same grid.

    Returns:
        The divergence in nats, >= 0.

    Raises:
        ValueError: if the histograms have different shapes, or are not shares that sum to 1.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equation 8, with p the test data.
    """
    test, model = _checked(test, model)
    support = test > 0
    restricted = model[support] / max(model[support].sum(), _EMPTY) + _EMPTY
    return float(np.sum(test[support] * np.log(test[support] / (restricted / restricted.sum()))))


def fisher_distance(test: Histogram, model: Histogram) -> float:
    """Geodesic distance of two histograms under the Fisher information metric: `2 arccos(sum sqrt(p q))`.

    Args:
        test: shares of the test data, `[cells]`.
        model: shares of the model's samples, `[cells]`, on the same grid.

    Returns:
        The distance in radians, between 0 and pi.

    Raises:
        ValueError: if the histograms have different shapes, or are not shares that sum to 1.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equation 9, which has a misprint: with
        `1 - sum` two equal histograms would have the distance pi. The paper's released code has the form used here.
    """
    test, model = _checked(test, model)
    return float(2 * np.arccos(np.clip(np.sum(np.sqrt(test * model)), 0.0, 1.0)))


def mass_off_support(test: Histogram, model: Histogram) -> float:
    """Share of the model's mass in cells without test data, which has no effect on `kl_divergence`.

    Args:
        test: shares of the test data, `[cells]`.
        model: shares of the model's samples, `[cells]`, on the same grid.

    Returns:
        A share between 0 and 1.

    Raises:
        ValueError: if the histograms have different shapes, or are not shares that sum to 1.
    """
    test, model = _checked(test, model)
    return float(model[test == 0].sum())


def _checked(test: ArrayLike, model: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both histograms in double precision: in float16, the mass added to each cell would be 0."""
    test, model = np.asarray(test, np.float64), np.asarray(model, np.float64)
    if test.shape != model.shape:
        raise ValueError(
            f"histograms must have the same shape (got {test.shape} and {model.shape}); count both on the same grid."
        )
    for name, shares in {"test": test, "model": model}.items():
        if not (np.all(shares >= 0) and abs(shares.sum() - 1) <= 1e-3):
            raise ValueError(
                f"`{name}` must hold shares >= 0 that sum to 1 (got a sum of {shares.sum():g}); divide counts by their "
                "sum."
            )
    return test, model
