"""Shapes in two and three dimensions on which densities are learned: toys of `jaxgen.data`, and noisy curves."""

import abc
import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from experiments.flows import toy_distributions
from jaxgen import data


class Shape(abc.ABC):
    """A distribution of points."""

    @abc.abstractmethod
    def draw(self, seed: int, n: int) -> Float[np.ndarray, "n d"]:
        """Draw points `[n, d]`."""

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"] | None:
        """Return log-densities `[n]`; None if they are not known in closed form or by quadrature."""
        return None


@dataclasses.dataclass(frozen=True)
class Labeled(Shape):
    """Points of a distribution of labeled points."""

    distribution: toy_distributions.ToyDistribution

    def draw(self, seed: int, n: int) -> Float[np.ndarray, "n d"]:
        """Draw points `[n, 2]`."""
        return self.distribution.draw(np.random.default_rng(seed), n)[0]

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return log-densities `[n]`."""
        return self.distribution.log_density(x)


@dataclasses.dataclass(frozen=True)
class Toy(Shape):
    """A toy of `jaxgen.data`."""

    toy: type[data.Toy]

    def draw(self, seed: int, n: int) -> Float[np.ndarray, "n d"]:
        """Draw points `[n, d]`."""
        return self.toy(seed=seed).points(n)


@dataclasses.dataclass(frozen=True)
class Gaussians(Toy):
    """A toy of equally likely Gaussians."""

    centers: Callable[[], Float[np.ndarray, "k d"]]  # `[k, d]`
    std: float  # standard deviation of each

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return log-densities `[n]`."""
        return _log_mixture(x, self.centers(), self.std)


class Rings(Toy):
    """The toy's four rings, whose radii are normally distributed."""

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return log-densities `[n]`."""
        radius = np.linalg.norm(x, axis=1, keepdims=True)
        return _log_mixture(radius, np.arange(1.0, 5.0)[:, None], 0.08) - np.log(2 * np.pi * radius[:, 0])


class Checkerboard(Toy):
    """The toy's eight squares of side 2."""

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return log-densities `[n]` of points in the squares."""
        return np.full(len(x), -np.log(32.0))


@dataclasses.dataclass(frozen=True)
class Curve(Shape):
    """A curve with a uniform parameter, and normal noise around it."""

    curve: Callable[[np.ndarray], np.ndarray]  # maps the parameter, `[n]` in [0, 1], to points `[n, d]`
    noise: float  # standard deviation of the noise

    def draw(self, seed: int, n: int) -> Float[np.ndarray, "n d"]:
        """Draw points `[n, d]`."""
        generator = np.random.default_rng(seed)
        points = self.curve(generator.uniform(size=n))
        return points + self.noise * generator.standard_normal(points.shape)

    def log_density(self, x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Return log-densities `[n]`, by the midpoint rule with 1,000 points, about as close as the noise."""
        return _log_mixture(x, self.curve((np.arange(1_000) + 0.5) / 1_000), self.noise)


def _log_mixture(x: np.ndarray, centers: np.ndarray, std: float) -> np.ndarray:
    normalizer = np.log(len(centers)) + x.shape[1] * np.log(std * np.sqrt(2 * np.pi))
    parts = [cdist(part, centers, "sqeuclidean") for part in np.array_split(x, max(1, len(x) // 1_000))]
    return np.concatenate([logsumexp(-0.5 * part / std**2, 1) for part in parts]) - normalizer


def _spirals(u: np.ndarray) -> np.ndarray:
    """Two interleaved spirals of one and a half turns."""
    along = np.sqrt(0.02 + 0.98 * (2 * u % 1)) * 3 * np.pi
    angle = along + np.pi * (u < 0.5)
    return along[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) / 5


def _helix(u: np.ndarray) -> np.ndarray:
    """Two turns of a helix of radius 1."""
    angle = 4 * np.pi * u
    return np.stack([np.cos(angle), np.sin(angle), 3 * u - 1.5], 1)


def _lissajous(u: np.ndarray) -> np.ndarray:
    """A closed curve in the plane that crosses itself."""
    angle = 2 * np.pi * u
    return 2 * np.stack([np.sin(3 * angle), np.sin(2 * angle)], 1)


def _trefoil(u: np.ndarray) -> np.ndarray:
    """A trefoil knot."""
    angle = 2 * np.pi * u
    across = np.cos(angle) - 2 * np.cos(2 * angle)
    return np.stack([np.sin(angle) + 2 * np.sin(2 * angle), across, -np.sin(3 * angle)], 1) / 2


def _eight() -> np.ndarray:
    angle = np.arange(8) * np.pi / 4
    return np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], 1)


def _twenty_five() -> np.ndarray:
    ticks = 2.0 * np.arange(-2, 3) / np.sqrt(8)
    return np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)


# Settings were chosen on the first half.
CHOOSING: dict[str, Shape] = {
    "two moons": Labeled(toy_distributions.TwoMoons()),
    "three Gaussians": Labeled(toy_distributions.ThreeGaussians()),
    "eight Gaussians": Gaussians(data.EightGaussians, _eight, 0.02 / np.sqrt(2)),
    "spirals": Curve(_spirals, 0.03),
    "helix": Curve(_helix, 0.05),
}
JUDGED: dict[str, Shape] = {
    "rings": Rings(data.Rings),
    "checkerboard": Checkerboard(data.Checkerboard),
    "25 Gaussians": Gaussians(data.TwentyFiveGaussians, _twenty_five, 0.05 / np.sqrt(8)),
    "swiss roll": Toy(data.SwissRoll),
    "Lissajous curve": Curve(_lissajous, 0.05),
    "trefoil": Curve(_trefoil, 0.05),
}
SHAPES = CHOOSING | JUDGED


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Training points of a shape."""

    shape: str  # its name
    n: int  # number of points
    seed: int  # random seed of the points

    def tables(self) -> tuple[Float[np.ndarray, "n d"]]:
        """Return one table: the points `[n, d]`."""
        return (SHAPES[self.shape].draw(self.seed, self.n).astype(np.float32),)
