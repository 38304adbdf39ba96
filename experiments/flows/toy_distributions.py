"""Laws in the plane with classes whose density is known, and outliers of several kinds to be told from them."""

import abc
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from scipy.spatial import ConvexHull, Delaunay
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

__all__ = ["LAWS", "STRANGE", "Law", "Moons", "Three"]

Labelled = tuple[np.ndarray, np.ndarray]  # rows [n, 2], labels [n]
BOX = 6.0  # half the side of the square from which rows are drawn uniformly


@dataclasses.dataclass(frozen=True)
class Law(abc.ABC):
    """A law of rows in the plane and of their classes, which are equally likely."""

    classes = 2

    @abc.abstractmethod
    def draw(self, generator: np.random.Generator, n: int) -> Labelled:
        """Draw rows `[n, 2]` and labels `[n]`."""

    @abc.abstractmethod
    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of rows `[n, 2]` in each class, `[n, classes]`."""

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of rows, `[n]`."""
        each = self.class_log_density(x)
        return logsumexp(each, 1) - np.log(self.classes)

    @functools.cached_property
    def known(self) -> Labelled:
        """Draws of the law, always the same, from which its quantiles and its hull are taken."""
        return self.draw(np.random.default_rng(12_345), 20_000)

    def bound(self, share: float) -> float:
        """Return the log-density below which such a share of the rows lie: the edge of the region of 1 - share."""
        return float(np.quantile(self.log_density(self.known[0]), share))

    @functools.cached_property
    def accuracy(self) -> float:
        """Share of the classes that are found by who knows the law."""
        x, labels = self.known
        return float(np.mean(self.class_log_density(x).argmax(1) == labels))


class Three(Law):
    """Three normal laws of deviation 1 around the corners of a triangle, two from the origin."""

    classes = 3
    centres = np.array([[0.0, 2.0], [-(3**0.5), -1.0], [3**0.5, -1.0]])

    def draw(self, generator: np.random.Generator, n: int) -> Labelled:
        """Draw rows `[n, 2]` and labels `[n]`."""
        labels = generator.integers(3, size=n)
        return self.centres[labels] + generator.standard_normal((n, 2)), labels

    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of rows `[n, 2]` in each class, `[n, 3]`."""
        return np.stack([multivariate_normal(centre).logpdf(x) for centre in self.centres], 1)


class Moons(Law):
    """Two interleaved half circles with normal noise, shifted and scaled to mean 0 and deviation 1.

    Attributes:
        noise: deviation before scaling.
    """

    noise = 0.05
    _angles = (np.arange(96) + 0.5) * np.pi / 96  # two thirds of the noise apart

    def draw(self, generator: np.random.Generator, n: int) -> Labelled:
        """Draw rows `[n, 2]` and labels `[n]`."""
        labels = generator.integers(2, size=n)
        places = self._arcs(generator.uniform(0, np.pi, n))[labels, np.arange(n)]
        rows = places + self.noise * generator.standard_normal((n, 2))
        return (rows - self._moments[0]) / self._moments[1], labels

    def class_log_density(self, x: np.ndarray) -> np.ndarray:
        """Return the log-density of rows `[n, 2]` in each class, `[n, 2]`, by a sum over places of an arc."""
        mean, deviation = self._moments
        arcs = self._arcs(self._angles)
        found = []
        for rows in np.array_split(x * deviation + mean, max(1, len(x) // 1_000)):
            square = ((rows[:, None, None] - arcs[None]) ** 2).sum(-1)  # [n, 2, places]
            found.append(logsumexp(-0.5 * square / self.noise**2, -1))
        normaliser = np.log(len(self._angles) * 2 * np.pi * self.noise**2)
        return np.concatenate(found) - normaliser + np.log(deviation).sum()

    def _arcs(self, angle: np.ndarray) -> np.ndarray:
        """Return where both arcs are at angles `[n]`, `[2, n, 2]`."""
        upper = np.stack([np.cos(angle), np.sin(angle)], -1)
        return np.stack([upper, np.array([1.0, 0.5]) - upper])

    @functools.cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        places = self._arcs(self._angles).reshape(-1, 2)
        return places.mean(0), np.sqrt(places.var(0) + self.noise**2)


LAWS: dict[str, Law] = {"three Gaussians": Three(), "two moons": Moons()}


def _ring(law: Law, generator: np.random.Generator, n: int) -> np.ndarray:
    angle, radius = generator.uniform(0, 2 * np.pi, n), 5 + 0.1 * generator.standard_normal(n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _gap(law: Law, generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw uniformly within the hull of typical rows."""
    x = law.known[0]
    typical = x[law.log_density(x) > law.bound(0.05)]
    hull = Delaunay(typical[ConvexHull(typical).vertices])
    rows = generator.uniform(typical.min(0), typical.max(0), (n, 2))
    return rows[hull.find_simplex(rows) >= 0]


def _other(law: Law, generator: np.random.Generator, n: int) -> np.ndarray:
    (other,) = (other for other in LAWS.values() if other is not law)
    return other.draw(generator, n)[0]


STRANGE: dict[str, Callable[[Law, np.random.Generator, int], np.ndarray]] = {
    "box": lambda law, generator, n: generator.uniform(-BOX, BOX, (n, 2)),
    "ring": _ring,
    "gap": _gap,
    "other": _other,
    "noise": lambda law, generator, n: 3 * generator.standard_normal((n, 2)),
}
