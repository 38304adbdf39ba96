"""Synthetic data whose law is known, drawn as the papers draw them."""

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
    """Points of a known law: one draw, of which the first rows are for training and the rest for testing.

    Attributes:
        n: points for training.
        test_n: points for testing.
        seed: of the draw.
    """

    n: int = 50_000
    test_n: int = 400_000
    seed: int = 0

    def tables(self) -> tuple[Points]:
        """Return the training points `[n, d]` as the one table."""
        return (self.points(self.n + self.test_n)[: self.n].astype(np.float32),)

    def test(self) -> Points:
        """Return the test points `[test_n, d]`."""
        return self.points(self.n + self.test_n)[self.n :].astype(np.float32)

    @abc.abstractmethod
    def points(self, count: int) -> Points:
        """Draw points `[count, d]` in double precision, the same for the same seed and count."""


@dataclasses.dataclass(frozen=True)
class Normal(Toy):
    """Standard normal points.

    Attributes:
        dimensions: d.
    """

    dimensions: int = 2

    def points(self, count: int) -> Points:
        """Draw points `[count, d]`."""
        return np.random.default_rng(self.seed).standard_normal((count, self.dimensions))


@dataclasses.dataclass(frozen=True)
class Cube(Toy):
    """Points uniformly between 0 and 1 in every dimension.

    Attributes:
        dimensions: d.
    """

    dimensions: int = 2

    def points(self, count: int) -> Points:
        """Draw points `[count, d]`."""
        return np.random.default_rng(self.seed).uniform(size=(count, self.dimensions))


@dataclasses.dataclass(frozen=True)
class SwissRoll(Toy):
    """The swiss roll of the extreme value paper's Table I: three-dimensional, noise 0.1, scaled by 0.5."""

    def points(self, count: int) -> Points:
        """Draw points `[count, 3]`."""
        from sklearn import datasets

        return datasets.make_swiss_roll(count, noise=0.1, random_state=self.seed)[0] * 0.5


@dataclasses.dataclass(frozen=True)
class PlanarSwissRoll(Toy):
    """The swiss roll of the maximum entropy generators paper: the two rolled dimensions, noise 0.25, divided by 7.5."""

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        from sklearn import datasets

        return datasets.make_swiss_roll(count, noise=0.25, random_state=self.seed)[0][:, [0, 2]] / 7.5


@dataclasses.dataclass(frozen=True)
class GaussianMixture(Toy):
    """Unit Gaussians around centres drawn uniformly from [-6, 6]^d, as the extreme value paper's code draws them.

    The centres, then each point's component, then the normals come from one legacy NumPy generator. The components
    are equally likely.

    Attributes:
        components: how many Gaussians.
        dimensions: d.
    """

    components: int = 1
    dimensions: int = 1

    def points(self, count: int) -> Points:
        """Draw points `[count, d]`."""
        generator = np.random.RandomState(self.seed)
        centres = generator.rand(self.components, self.dimensions) * 12 - 6
        component = generator.randint(self.components, size=count)
        return centres[component] + generator.randn(count, self.dimensions)


@dataclasses.dataclass(frozen=True)
class EightGaussians(Toy):
    """Eight narrow Gaussians on a circle of radius sqrt(2), as in the maximum entropy generators paper."""

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        angle = generator.integers(8, size=count) * (np.pi / 4)
        centres = 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
        return (centres + 0.02 * generator.standard_normal((count, 2))) / np.sqrt(2)


@dataclasses.dataclass(frozen=True)
class TwentyFiveGaussians(Toy):
    """Narrow Gaussians on a grid of five by five, as in the maximum entropy generators paper."""

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        centres = 2.0 * generator.integers(-2, 3, size=(count, 2))
        return (centres + 0.05 * generator.standard_normal((count, 2))) / np.sqrt(8)


@dataclasses.dataclass(frozen=True)
class TwoMoons(Toy):
    """Two interleaved half circles.

    Attributes:
        noise: standard deviation around them.
    """

    noise: float = 0.05

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        from sklearn import datasets

        return datasets.make_moons(count, noise=self.noise, random_state=self.seed)[0]


@dataclasses.dataclass(frozen=True)
class Rings(Toy):
    """Concentric rings of radii 1, 2, ..., equally likely.

    Attributes:
        rings: how many.
        noise: standard deviation of the radius.
    """

    rings: int = 4
    noise: float = 0.08

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        radius = generator.integers(1, self.rings + 1, count) + self.noise * generator.standard_normal(count)
        angle = generator.uniform(0, 2 * np.pi, count)
        return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


@dataclasses.dataclass(frozen=True)
class Checkerboard(Toy):
    """Uniform on the eight dark squares, each of side 2, of a board over [-4, 4]^2."""

    def points(self, count: int) -> Points:
        """Draw points `[count, 2]`."""
        generator = np.random.default_rng(self.seed)
        column = generator.integers(4, size=count)
        row = 2 * generator.integers(2, size=count) + column % 2  # dark where row and column are both even or odd
        return 2 * (np.stack([column, row], 1) + generator.uniform(size=(count, 2))) - 4
