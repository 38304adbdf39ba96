"""Toy distributions in the plane with classes and known densities, and several kinds of outliers of each."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from scipy.spatial import ConvexHull, Delaunay
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

Labeled: TypeAlias = tuple[np.ndarray, np.ndarray]  # points [n, 2], labels [n]
BOX = 6.0  # half the side of the square of uniform outliers


@dataclasses.dataclass(frozen=True)
class ToyDistribution(abc.ABC):
    """A distribution of labeled points in the plane; all classes are equally likely."""

    classes = 2

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator, n: int) -> Labeled:
        """Draw points `[n, 2]` and labels `[n]`."""

    @abc.abstractmethod
    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of points `[n, 2]` in each class, `[n, classes]`."""

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of points `[n, 2]`, `[n]`."""
        return logsumexp(self.class_log_density(x), 1) - np.log(self.classes)

    @functools.cached_property
    def reference(self) -> Labeled:
        """20,000 samples with a fixed seed, from which quantiles and the convex hull are computed."""
        return self.draw(np.random.default_rng(12_345), 20_000)

    def log_density_quantile(self, share: float) -> float:
        """Return the log-density that this share of samples lies below: the bound of the region of mass 1 - share."""
        return float(np.quantile(self.log_density(self.reference[0]), share))

    @functools.cached_property
    def accuracy(self) -> float:
        """Accuracy of the Bayes classifier on the reference samples."""
        x, labels = self.reference
        return float(np.mean(self.class_log_density(x).argmax(1) == labels))


class ThreeGaussians(ToyDistribution):
    """Three normal distributions of unit variance; their means form a triangle, at distance 2 from the origin."""

    classes = 3
    means = np.array([[0.0, 2.0], [-(3**0.5), -1.0], [3**0.5, -1.0]])

    def draw(self, generator: np.random.Generator, n: int) -> Labeled:
        """Draw points `[n, 2]` and labels `[n]`."""
        labels = generator.integers(3, size=n)
        return self.means[labels] + generator.standard_normal((n, 2)), labels

    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of points `[n, 2]` in each class, `[n, 3]`."""
        return np.stack([multivariate_normal(mean).logpdf(x) for mean in self.means], 1)


class TwoMoons(ToyDistribution):
    """Two interleaved half circles with normal noise, standardized to mean 0 and standard deviation 1.

    Attributes:
        noise: standard deviation of the noise before standardization.
    """

    noise = 0.05
    _angles = (np.arange(96) + 0.5) * np.pi / 96  # neighbors are two thirds of the noise apart

    def draw(self, generator: np.random.Generator, n: int) -> Labeled:
        """Draw points `[n, 2]` and labels `[n]`."""
        labels = generator.integers(2, size=n)
        on_arcs = self._arcs(generator.uniform(0, np.pi, n))[labels, np.arange(n)]
        x = on_arcs + self.noise * generator.standard_normal((n, 2))
        return (x - self._moments[0]) / self._moments[1], labels

    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of points `[n, 2]` in each class, `[n, 2]`, by a sum over 96 points of each arc."""
        mean, std = self._moments
        arcs = self._arcs(self._angles)
        parts = []
        for part in np.array_split(x * std + mean, max(1, len(x) // 1_000)):
            squared = ((part[:, None, None] - arcs[None]) ** 2).sum(-1)  # [n, 2, angles]
            parts.append(logsumexp(-0.5 * squared / self.noise**2, -1))
        log_normalizer = np.log(len(self._angles) * 2 * np.pi * self.noise**2)
        return np.concatenate(parts) - log_normalizer + np.log(std).sum()

    def _arcs(self, angle: np.ndarray) -> np.ndarray:
        """Return the points of both arcs at angles `[n]`, `[2, n, 2]`."""
        upper = np.stack([np.cos(angle), np.sin(angle)], -1)
        return np.stack([upper, np.array([1.0, 0.5]) - upper])

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        points = self._arcs(self._angles).reshape(-1, 2)
        return points.mean(0), np.sqrt(points.var(0) + self.noise**2)


DISTRIBUTIONS: dict[str, ToyDistribution] = {"three Gaussians": ThreeGaussians(), "two moons": TwoMoons()}


def _ring(distribution: ToyDistribution, generator: np.random.Generator, n: int) -> np.ndarray:
    angle, radius = generator.uniform(0, 2 * np.pi, n), 5 + 0.1 * generator.standard_normal(n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _gap(distribution: ToyDistribution, generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw uniformly within the convex hull of the region of mass 95 %; fewer than n points are in the hull."""
    x = distribution.reference[0]
    typical = x[distribution.log_density(x) > distribution.log_density_quantile(0.05)]
    hull = Delaunay(typical[ConvexHull(typical).vertices])
    points = generator.uniform(typical.min(0), typical.max(0), (n, 2))
    return points[hull.find_simplex(points) >= 0]


def _other(distribution: ToyDistribution, generator: np.random.Generator, n: int) -> np.ndarray:
    (other,) = (other for other in DISTRIBUTIONS.values() if other is not distribution)
    return other.draw(generator, n)[0]


OUTLIERS: dict[str, Callable[[ToyDistribution, np.random.Generator, int], np.ndarray]] = {
    "box": lambda distribution, generator, n: generator.uniform(-BOX, BOX, (n, 2)),
    "ring": _ring,
    "gap": _gap,
    "other": _other,
    "noise": lambda distribution, generator, n: 3 * generator.standard_normal((n, 2)),
}
