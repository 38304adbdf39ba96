"""Learning-rate schedules as frozen dataclasses, so that a config can store them."""

import dataclasses
from collections.abc import Callable

import optax

from jaxgen.types import Array, Int
from jaxgen.validation import check_positive

__all__ = ["Cosine", "Exponential", "Schedule"]


Schedule = Callable[[Int[Array, ""]], Array]


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Cosine decay to zero, with an optional linear warmup from zero.

    Attributes:
        peak: maximum learning rate, reached after the warmup.
        steps: step at which the learning rate reaches zero, warmup included.
        warmup: number of warmup steps, fewer than `steps`.
    """

    peak: float
    steps: int
    warmup: int = 0

    def __post_init__(self) -> None:
        check_positive(peak=self.peak, steps=self.steps)
        if not 0 <= self.warmup < self.steps:
            raise ValueError(f"`warmup` must be between 0 and `steps` (got {self.warmup} and {self.steps}); try 0.")

    def __call__(self, count: Int[Array, ""]) -> Array:
        """Return the learning rate at step `count`."""
        return optax.warmup_cosine_decay_schedule(
            0.0 if self.warmup else self.peak, self.peak, self.warmup, self.steps
        )(count)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Staircase exponential decay: multiplication by `factor` every `transition_steps` steps.

    Attributes:
        initial: initial learning rate.
        factor: decay factor.
        transition_steps: number of steps between two decays; one epoch in most papers.
    """

    initial: float
    factor: float
    transition_steps: int

    def __post_init__(self) -> None:
        check_positive(initial=self.initial, factor=self.factor, transition_steps=self.transition_steps)

    def __call__(self, count: Int[Array, ""]) -> Array:
        """Return the learning rate at step `count`."""
        return optax.exponential_decay(self.initial, self.transition_steps, self.factor, staircase=True)(count)
