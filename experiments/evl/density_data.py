"""Normal data with exact cell masses, the exponent of a density, and the exact optimum of guesses."""

import dataclasses

import numpy as np
from scipy import stats

from jaxgen import data, metrics, samplers

RATIO = 10.0  # the fitted region: where p is at least a tenth of its maximum
TOLERANCE, CORRECTIONS = 1e-4, 200  # of the exact optimum: of the gains, and the most corrections of q


@dataclasses.dataclass(frozen=True)
class Hills(data.Toy):
    """One standard normal, or two of unit width side by side along the first axis, in proportion 7 : 3."""

    n: int = 200_000
    test_n: int = 40_000
    dimensions: int = 1  # d
    apart: float = 0.0  # distance of the two centers; 0 makes them one standard normal

    def points(self, count: int) -> np.ndarray:
        """Sample points `[count, d]`."""
        generator = np.random.default_rng(self.seed)
        side = np.where(generator.uniform(size=count) < 0.7, -0.5, 0.5)
        x = generator.standard_normal((count, self.dimensions))
        x[:, 0] += side * self.apart
        return x

    def masses(self, grid: metrics.Grid) -> np.ndarray:
        """Return the exact mass of each cell of a grid `[bins ** d]`, where cells at its edge include all beyond."""
        edges = np.linspace(grid.low, grid.high, grid.bins + 1)
        edges[[0, -1]] = -np.inf, np.inf
        along = lambda center: np.diff(stats.norm.cdf(edges - center))
        first = 0.7 * along(-0.5 * self.apart) + 0.3 * along(0.5 * self.apart)
        return first if self.dimensions == 1 else np.outer(first, along(0.0)).ravel()


def fitted(masses: np.ndarray) -> np.ndarray:
    """Return a mask `[cells]` of the cells in which the exponent is fitted."""
    return masses > masses.max() / RATIO


def empty(shares: np.ndarray, masses: np.ndarray) -> bool:
    """Return whether a density leaves part of the fitted region nearly empty, so that no exponent can be fitted."""
    inside = shares[fitted(masses)]
    return bool(inside.min() < inside.max() / RATIO**2)


def slope(shares: np.ndarray, count: int, masses: np.ndarray) -> float:
    """Fit the exponent: the slope of log q on log p over the cells where p is large, weighted by their mass.

    `shares` are those of `count` guesses in each cell, and `masses` those of the data, exactly.
    """
    inside = fitted(masses)
    log_p, weight = np.log(masses[inside]), masses[inside]
    log_q = log_density(shares[inside], count)
    centered = log_p - np.average(log_p, weights=weight)
    return float(np.sum(weight * centered * log_q) / np.sum(weight * centered**2))


def log_density(shares: np.ndarray, count: int) -> np.ndarray:
    """Return log q up to a constant, with half a guess added to each cell, which keeps empty cells finite."""
    return np.log(shares * count + 0.5)


def optimum(
    masses: np.ndarray, places: np.ndarray, guesses: int, power: float, *, start: np.ndarray | None = None
) -> np.ndarray:
    """Return the density of independent guesses with the smallest expected distance to the nearest, on a lattice.

    The mean over targets x of E min |x - y|^r is a convex function of the density q. Its gradient at y is minus the
    gain of one more guess there, which is equal wherever q > 0 and nowhere larger; where it is too large, q is raised.
    The change of log q over two such corrections is extrapolated.

    References:
        Varadhan and Roland, Simple and globally convergent methods for accelerating the convergence of any EM
        algorithm (2008), scheme SqS3.
    """
    apart = np.sqrt(sum((axis[:, None] - axis[None]) ** 2 for axis in places.T))
    order = np.argsort(apart, 1, kind="stable")
    rank = np.argsort(order, 1)
    reach = np.take_along_axis(apart, order, 1) ** power
    side = apart[0, 1]
    inside = side * (np.random.default_rng(0).uniform(size=(2, 100_000, places.shape[1])))
    reach[:, 0] = np.mean(np.sqrt(np.sum((inside[0] - inside[1]) ** 2, -1)) ** power)  # two points of one cell
    step = np.diff(reach, axis=1)
    exponent = samplers.zador_exponent(places.shape[1], power)

    def gain(log_q: np.ndarray) -> np.ndarray:
        """Gain of one more guess at each place, in units of the mean gain."""
        beyond = np.maximum(1 - np.cumsum(np.exp(log_q)[order], 1), 0)[:, :-1]  # mass farther than each neighbour
        gains = np.zeros_like(apart)
        gains[:, :-1] = np.cumsum((step * beyond ** (guesses - 1))[:, ::-1], 1)[:, ::-1]
        total = masses @ np.take_along_axis(gains, rank, 1)
        return total / np.sum(np.exp(log_q) * total)

    corrected = lambda log_q: _normalized(log_q + exponent * np.log(np.maximum(gain(log_q), 1e-300)))
    log_q = _normalized(np.log(masses if start is None else start))  # not the expected density, which is to be tested
    for _ in range(CORRECTIONS):
        if np.max(gain(log_q)) < 1 + TOLERANCE:
            return np.exp(log_q)
        once = corrected(log_q)
        change = once - log_q
        bend = corrected(once) - once - change
        weight = np.exp(once)
        reached = max(1.0, np.sqrt(np.sum(weight * change**2) / np.sum(weight * bend**2)))
        log_q = corrected(_normalized(log_q + 2 * reached * change + reached**2 * bend))
    raise RuntimeError(
        f"the optimum must be found within {CORRECTIONS} corrections (it was not); pass a nearer `start`."
    )


def _normalized(log_q: np.ndarray) -> np.ndarray:
    """Normalize shares to sum to 1, none below e^-600, from which corrections could not raise it again."""
    log_q = np.maximum(log_q - np.max(log_q), -600.0)
    return log_q - np.log(np.sum(np.exp(log_q)))
