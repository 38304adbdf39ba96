"""Synthetic data with known distributions, sampled as in the papers' code."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

__all__ = [
    "Checkerboard",
    "Cube",
    "EightGaussians",
    "GaussianMixture",
    "Normal",
    "PlanarSwissRoll",
    "Rings",
    "SwissRoll",
    "Toy",
    "TwentyFiveGaussians",
    "TwoMoons",
]

Points = Float[np.ndarray, "n d"]


@dataclasses.dataclass(frozen=True)
class Toy(abc.ABC):
    """Base class of synthetic datasets: one sample, split into training points and test points.

    Attributes:
        n: number of training points, the first ones of the sample.
        test_n: number of test points, the remaining ones.
        seed: random seed of the sample.
    """

    n: int = 50_000
    test_n: int = 400_000
    seed: int = 0

    def tables(self) -> tuple[Points]:
        """Return one table: the training points `[n, d]`."""
        return (self.points(self.n + self.test_n)[: self.n].astype(np.float32),)

    def test(self) -> Points:
        """Return the test points `[test_n, d]`."""
        return self.points(self.n + self.test_n)[self.n :].astype(np.float32)

    @abc.abstractmethod
    def points(self, count: int) -> Points:
        """Sample points `[count, d]` in double precision; equal for equal seed and count."""


@dataclasses.dataclass(frozen=True)
class Normal(Toy):
    """Standard normal distribution.

    Attributes:
        dimensions: d, number of dimensions.
    """

    dimensions: int = 2

    def points(self, count: int) -> Points:
        """Sample points `[count, d]`."""
        return np.random.default_rng(self.seed).standard_normal((count, self.dimensions))


@dataclasses.dataclass(frozen=True)
class Cube(Toy):
    """Uniform distribution on the unit cube [0, 1]^d.

    Attributes:
        dimensions: d, number of dimensions.
    """

    dimensions: int = 2

    def points(self, count: int) -> Points:
        """Sample points `[count, d]`."""
        return np.random.default_rng(self.seed).uniform(size=(count, self.dimensions))


@dataclasses.dataclass(frozen=True)
class SwissRoll(Toy):
    """Swiss roll of the extreme value paper (Table I): three-dimensional, noise 0.1, scaled by 0.5."""

    def points(self, count: int) -> Points:
        """Sample points `[count, 3]`."""
        from sklearn import datasets

        return datasets.make_swiss_roll(count, noise=0.1, random_state=self.seed)[0] * 0.5


@dataclasses.dataclass(frozen=True)
class PlanarSwissRoll(Toy):
    """Two-dimensional swiss roll of the maximum entropy generators paper: noise 0.25, divided by 7.5."""

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        from sklearn import datasets

        return datasets.make_swiss_roll(count, noise=0.25, random_state=self.seed)[0][:, [0, 2]] / 7.5


@dataclasses.dataclass(frozen=True)
class GaussianMixture(Toy):
    """Mixture of unit Gaussians with centers uniform in [-6, 6]^d, as in the extreme value paper's code.

    The centers, each point's component and the normal noise are sampled in this order from one legacy NumPy generator.
    All components have equal weight.

    Attributes:
        components: number of Gaussians.
        dimensions: d, number of dimensions.
    """

    components: int = 1
    dimensions: int = 1

    def points(self, count: int) -> Points:
        """Sample points `[count, d]`."""
        generator = np.random.RandomState(self.seed)
        centers = generator.rand(self.components, self.dimensions) * 12 - 6
        component = generator.randint(self.components, size=count)
        return centers[component] + generator.randn(count, self.dimensions)


@dataclasses.dataclass(frozen=True)
class EightGaussians(Toy):
    """Eight narrow Gaussians on a circle of radius sqrt(2), as in the maximum entropy generators paper."""

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        angle = generator.integers(8, size=count) * (np.pi / 4)
        centers = 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
        return (centers + 0.02 * generator.standard_normal((count, 2))) / np.sqrt(2)


@dataclasses.dataclass(frozen=True)
class TwentyFiveGaussians(Toy):
    """Mixture of narrow Gaussians on a 5 x 5 grid, as in the maximum entropy generators paper."""

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        centers = 2.0 * generator.integers(-2, 3, size=(count, 2))
        return (centers + 0.05 * generator.standard_normal((count, 2))) / np.sqrt(8)


@dataclasses.dataclass(frozen=True)
class TwoMoons(Toy):
    """Two interleaved half circles.

    Attributes:
        noise: standard deviation of the noise.
    """

    noise: float = 0.05

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        from sklearn import datasets

        return datasets.make_moons(count, noise=self.noise, random_state=self.seed)[0]


@dataclasses.dataclass(frozen=True)
class Rings(Toy):
    """Concentric rings of radii 1, 2, ..., with equal weight.

    Attributes:
        rings: number of rings.
        noise: standard deviation of the radius.
    """

    rings: int = 4
    noise: float = 0.08

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        radius = generator.integers(1, self.rings + 1, count) + self.noise * generator.standard_normal(count)
        angle = generator.uniform(0, 2 * np.pi, count)
        return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


@dataclasses.dataclass(frozen=True)
class Checkerboard(Toy):
    """Uniform distribution on the eight dark squares, each of side 2, of a checkerboard over [-4, 4]^2."""

    def points(self, count: int) -> Points:
        """Sample points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        column = generator.integers(4, size=count)
        row = 2 * generator.integers(2, size=count) + column % 2  # a square is dark if row + column is even
        return 2 * (np.stack([column, row], 1) + generator.uniform(size=(count, 2))) - 4
