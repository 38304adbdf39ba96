"""Synthetic conditional data: inputs with random outcomes that can be sampled without limit."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

__all__ = ["DoublePendulum", "NoisyRing", "ConditionalToy"]


@dataclasses.dataclass(frozen=True)
class ConditionalToy(abc.ABC):
    """Base class of conditional datasets: pairs of an input and a random outcome.

    Attributes:
        n: number of training pairs.
        seed: random seed of the training pairs.
    """

    n: int = 50_000
    seed: int = 0

    def tables(self) -> tuple[tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n d"]]]:
        """Return one table: a pair of inputs `[n, k]` and outcomes `[n, d]`."""
        generator = np.random.default_rng(self.seed)
        inputs = self.inputs(generator, self.n)
        return ((inputs.astype(np.float32), self.outcomes(generator, inputs, 1)[:, 0].astype(np.float32)),)

    @abc.abstractmethod
    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count k"]:
        """Sample inputs `[count, k]`."""

    @abc.abstractmethod
    def outcomes(
        self, generator: np.random.Generator, condition: Float[np.ndarray, "b k"], count: int
    ) -> Float[np.ndarray, "b count d"]:
        """Sample `count` outcomes for each input `[b, k]`: `[b, count, d]`."""


@dataclasses.dataclass(frozen=True)
class NoisyRing(ConditionalToy):
    """Second coordinate of a noisy point on the unit circle, conditional on its first coordinate.

    The first coordinate x is the cosine of a uniform angle. The second is + or - sqrt(1 - x^2), with equal probability,
    plus normal noise. So the conditional distribution has two modes, which meet at both ends.

    Attributes:
        noise: standard deviation of the noise.
    """

    noise: float = 0.1

    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 1"]:
        """Sample cosines of uniform angles, `[count, 1]`."""
        return np.cos(generator.uniform(0, np.pi, (count, 1)))

    def outcomes(
        self, generator: np.random.Generator, condition: Float[np.ndarray, "b 1"], count: int
    ) -> Float[np.ndarray, "b count 1"]:
        """Sample second coordinates `[b, count, 1]`."""
        shape = (len(condition), count)
        side = generator.choice([-1.0, 1.0], shape)
        height = side * np.sqrt(1 - condition**2) + self.noise * generator.standard_normal(shape)
        return height[..., None]


@dataclasses.dataclass(frozen=True)
class DoublePendulum(ConditionalToy):
    """Position of the end of a double pendulum after a fixed time, conditional on its initial angle.

    Both rods have length 1 and end in a mass of 1, gravity is 9.81, and the pendulum starts at rest. The input is the
    first rod's angle from straight down in radians, uniform in [pi / 2, pi]. The second rod points in the same
    direction. Both angles get independent normal noise, which the chaotic motion amplifies.

    Attributes:
        seconds: simulated time, in seconds.
        spread: standard deviation of the noise of both initial angles, in radians.
        step: time step of the fourth-order Runge-Kutta integration, in seconds.
    """

    seconds: float = 3.0
    spread: float = 0.05
    step: float = 0.01

    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 1"]:
        """Sample initial angles `[count, 1]`, in radians."""
        return generator.uniform(np.pi / 2, np.pi, (count, 1))

    def outcomes(
        self, generator: np.random.Generator, condition: Float[np.ndarray, "b 1"], count: int
    ) -> Float[np.ndarray, "b count 2"]:
        """Sample positions `[b, count, 2]` of the second mass, relative to the pivot, with up positive."""
        shape = (2, len(condition), count)
        angles = condition[None] + self.spread * generator.standard_normal(shape)
        state = np.concatenate([angles, np.zeros(shape)])
        for _ in range(round(self.seconds / self.step)):
            state = _runge_kutta(state, self.step)
        first, second = state[:2]
        return np.stack([np.sin(first) + np.sin(second), -np.cos(first) - np.cos(second)], -1)


GRAVITY = 9.81  # m / s^2


def _rates(state: np.ndarray) -> np.ndarray:
    """Equations of motion: time derivatives of both angles and both angular velocities, `[4, ...]`."""
    first, second, first_rate, second_rate = state
    cosine, sine = np.cos(first - second), np.sin(first - second)
    # The two angular accelerations solve a linear 2 x 2 system.
    rhs_first = -(second_rate**2) * sine - 2 * GRAVITY * np.sin(first)
    rhs_second = first_rate**2 * sine - GRAVITY * np.sin(second)
    determinant = 2 - cosine**2
    first_acceleration = (rhs_first - cosine * rhs_second) / determinant
    second_acceleration = (2 * rhs_second - cosine * rhs_first) / determinant
    return np.stack([first_rate, second_rate, first_acceleration, second_acceleration])


def _runge_kutta(state: np.ndarray, step: float) -> np.ndarray:
    """Return the state after one time step of the classical fourth-order Runge-Kutta method."""
    a = _rates(state)
    b = _rates(state + step / 2 * a)
    c = _rates(state + step / 2 * b)
    d = _rates(state + step * c)
    return state + step / 6 * (a + 2 * b + 2 * c + d)
