"""Learning-rate schedules that a config can name."""

import dataclasses
from collections.abc import Callable
from typing import Any

import optax

from jaxgen.types import Array, Int

__all__ = ["Cosine", "Exponential", "Schedule"]


Schedule = Callable[[Int[Array, ""]], Array]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """A learning rate that falls to zero along half a cosine.

    Attributes:
        peak: the first learning rate.
        steps: where it reaches zero.
        warmup: steps of linear rise from zero before it.
    """

    peak: float
    steps: int
    warmup: int = 0

    def __call__(self, count: Int[Array, ""]) -> Any:
        """Return the learning rate at a step."""
        return optax.warmup_cosine_decay_schedule(
            0.0 if self.warmup else self.peak, self.peak, self.warmup, self.steps
        )(count)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """A learning rate multiplied by the same factor after every so many steps.

    Attributes:
        initial: the first learning rate.
        factor: what it is multiplied with.
        transition_steps: after so many steps, at once: an epoch's length in most papers.
    """

    initial: float
    factor: float
    transition_steps: int

    def __call__(self, count: Int[Array, ""]) -> Any:
        """Return the learning rate at a step."""
        return optax.exponential_decay(self.initial, self.transition_steps, self.factor, staircase=True)(count)
