"""Inputs with many outcomes: data whose conditional law is known, or can be drawn from as often as one likes."""

import abc
import dataclasses

import numpy as np
from jaxtyping import Float

__all__ = ["DoublePendulum", "NoisyRing", "Outcomes"]


@dataclasses.dataclass(frozen=True)
class Outcomes(abc.ABC):
    """Pairs of an input and an outcome that the input leaves open.

    Attributes:
        n: pairs for training.
        seed: of the draw.
    """

    n: int = 50_000
    seed: int = 0

    def tables(self) -> tuple[tuple[Float[np.ndarray, "n k"], Float[np.ndarray, "n d"]]]:
        """Return inputs `[n, k]` and outcomes `[n, d]` as the one table, a pair."""
        generator = np.random.default_rng(self.seed)
        given = self.inputs(generator, self.n)
        return ((given.astype(np.float32), self.outcomes(generator, given, 1)[:, 0].astype(np.float32)),)

    @abc.abstractmethod
    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count k"]:
        """Draw inputs `[count, k]`."""

    @abc.abstractmethod
    def outcomes(
        self, generator: np.random.Generator, given: Float[np.ndarray, "b k"], count: int
    ) -> Float[np.ndarray, "b count d"]:
        """Draw outcomes `[b, count, d]` of each input `[b, k]`."""


@dataclasses.dataclass(frozen=True)
class NoisyRing(Outcomes):
    """The second coordinate of a point near the unit circle, given its first: two branches that meet at both ends.

    The first is the cosine of a uniform angle; the second lies at the circle's height there, above or below, with
    normal noise.

    Attributes:
        noise: standard deviation.
    """

    noise: float = 0.1

    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 1"]:
        """Draw cosines of uniform angles, `[count, 1]`."""
        return np.cos(generator.uniform(0, np.pi, (count, 1)))

    def outcomes(
        self, generator: np.random.Generator, given: Float[np.ndarray, "b 1"], count: int
    ) -> Float[np.ndarray, "b count 1"]:
        """Draw heights `[b, count, 1]`."""
        shape = (len(given), count)
        side = generator.choice([-1.0, 1.0], shape)
        height = side * np.sqrt(1 - given**2) + self.noise * generator.standard_normal(shape)
        return height[..., None]


@dataclasses.dataclass(frozen=True)
class DoublePendulum(Outcomes):
    """Where the end of a double pendulum is after a fixed time, given the angle from which it was let go.

    Both rods have length 1 and end in a mass of 1, gravity is 9.81, and the pendulum starts at rest. The input is
    the angle of the first rod from straight down, uniform between a quarter and half a turn, in radians; the second
    rod goes on in its direction. Both angles are off by normal noise, which the motion tears apart.

    Attributes:
        seconds: how long it swings.
        spread: standard deviation of both starting angles, in radians.
        step: of the integration (Runge and Kutta's of fourth order), in seconds.
    """

    seconds: float = 3.0
    spread: float = 0.05
    step: float = 0.01

    def inputs(self, generator: np.random.Generator, count: int) -> Float[np.ndarray, "count 1"]:
        """Draw angles `[count, 1]`."""
        return generator.uniform(np.pi / 2, np.pi, (count, 1))

    def outcomes(
        self, generator: np.random.Generator, given: Float[np.ndarray, "b 1"], count: int
    ) -> Float[np.ndarray, "b count 2"]:
        """Draw places `[b, count, 2]` of the second mass, the first pivot being the origin and up positive."""
        shape = (2, len(given), count)
        angles = given[None] + self.spread * generator.standard_normal(shape)
        state = np.concatenate([angles, np.zeros(shape)])
        for _ in range(round(self.seconds / self.step)):
            state = _runge_kutta(state, self.step)
        first, second = state[:2]
        return np.stack([np.sin(first) + np.sin(second), -np.cos(first) - np.cos(second)], -1)


GRAVITY = 9.81


def _rates(state: np.ndarray) -> np.ndarray:
    """The equations of motion: the two angular accelerations solve a linear system of two rows."""
    first, second, rate, other = state
    cosine, sine = np.cos(first - second), np.sin(first - second)
    push = -(other**2) * sine - 2 * GRAVITY * np.sin(first)
    pull = rate**2 * sine - GRAVITY * np.sin(second)
    scale = 2 - cosine**2
    return np.stack([rate, other, (push - cosine * pull) / scale, (2 * pull - cosine * push) / scale])


def _runge_kutta(state: np.ndarray, step: float) -> np.ndarray:
    a = _rates(state)
    b = _rates(state + step / 2 * a)
    c = _rates(state + step / 2 * b)
    d = _rates(state + step * c)
    return state + step / 6 * (a + 2 * b + 2 * c + d)
