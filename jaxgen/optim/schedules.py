"""Learning-rate schedules as frozen dataclasses, so that a config can store them."""

import dataclasses
import math
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import optax

from jaxgen.types import Array, Int
from jaxgen.validation import check_positive

__all__ = ["Cosine", "Exponential", "Schedule", "check_called", "with_run_length"]


Schedule = Callable[[Int[Array, ""]], Array]
_ValueT = TypeVar("_ValueT")


@dataclasses.dataclass(frozen=True)
class Cosine:
    """Cosine decay to zero, with an optional linear warmup from zero.

    Attributes:
        peak: maximum learning rate, reached after the warmup.
        steps: step at which the learning rate reaches zero, warmup included. None: the number of steps of the run,
            filled in by `train` and `Config.resolved`.
        warmup: number of warmup steps, fewer than `steps`. None: a twentieth of `steps`, filled in together with them.
    """

    peak: float
    steps: int | None = None
    warmup: int | None = 0

    def with_run_length(self, steps: int) -> "Cosine":
        """Return the schedule with the fields that are None filled in for a run of `steps` steps."""
        if None not in (self.steps, self.warmup):
            return self
        whole = steps if self.steps is None else self.steps
        return dataclasses.replace(self, steps=whole, warmup=whole // 20 if self.warmup is None else self.warmup)

    def __post_init__(self) -> None:
        check_positive(peak=self.peak, **({} if self.steps is None else {"steps": self.steps}))
        warmup = 0 if self.warmup is None else self.warmup
        if not 0 <= warmup < (math.inf if self.steps is None else self.steps):
            raise ValueError(f"`warmup` must be between 0 and `steps` (got {self.warmup} and {self.steps}); try 0.")

    def __call__(self, count: Int[Array, ""]) -> Array:
        """Return the learning rate at step `count`.

        Raises:
            ValueError: if `steps` or `warmup` is None.
        """
        if self.steps is None or self.warmup is None:
            raise ValueError(_without_length(self, "`steps` and `warmup`", f"Cosine({self.peak}, steps=10_000)"))
        return optax.warmup_cosine_decay_schedule(
            0.0 if self.warmup else self.peak, self.peak, self.warmup, self.steps
        )(count)


@dataclasses.dataclass(frozen=True)
class Exponential:
    """Staircase exponential decay: multiplication by `factor` every `transition_steps` steps.

    Attributes:
        initial: initial learning rate.
        factor: decay factor.
        transition_steps: number of steps between two decays; one epoch in most papers. None: a tenth of the run, but at
            least one step, filled in by `train` and `Config.resolved`. The last tenth then has `initial * factor**9`.
    """

    initial: float
    factor: float
    transition_steps: int | None = None

    def with_run_length(self, steps: int) -> "Exponential":
        """Return the schedule with `transition_steps` filled in for a run of `steps` steps, if it is None."""
        if self.transition_steps is not None:
            return self
        return dataclasses.replace(self, transition_steps=max(-(-steps // 10), 1))

    def __post_init__(self) -> None:
        steps = {} if self.transition_steps is None else {"transition_steps": self.transition_steps}
        check_positive(initial=self.initial, factor=self.factor, **steps)

    def __call__(self, count: Int[Array, ""]) -> Array:
        """Return the learning rate at step `count`.

        Raises:
            ValueError: if `transition_steps` is None.
        """
        if self.transition_steps is None:
            example = f"Exponential({self.initial}, {self.factor}, transition_steps=1_000)"
            raise ValueError(_without_length(self, "`transition_steps`", example))
        return optax.exponential_decay(self.initial, self.transition_steps, self.factor, staircase=True)(count)


def with_run_length(value: _ValueT, steps: int) -> _ValueT:
    """Fill in the length of every schedule in a method that has none.

    Looks at the fields of dataclasses and at the elements of tuples, but not into networks.

    Args:
        value: a method, or any other value.
        steps: number of steps of the run.

    Returns:
        The value itself if there is nothing to fill in, else a changed copy.

    Raises:
        TypeError: if a field is the class of a schedule.
    """
    return _filled(value, steps)


def check_called(name: str, rate: Any) -> None:
    """Check that a learning rate is not the class of a schedule, such as `Cosine` in place of `Cosine(1e-3)`.

    Args:
        name: of the argument, for the error message.
        rate: a learning rate, or any other value.

    Raises:
        TypeError: if it is such a class.
    """
    if isinstance(rate, type) and hasattr(rate, "with_run_length"):
        example = {Cosine: "optim.Cosine(1e-3)", Exponential: "optim.Exponential(1e-3, 0.5)"}.get(rate)
        call = f"{rate.__name__}(...)" if example is None else example
        raise TypeError(
            f"`{name}` must be a number or a schedule (got the class {rate.__name__}); call the class, as {call}."
        )


def _filled(whole: Any, steps: int) -> Any:
    if isinstance(whole, type | nn.Module):
        return whole
    if hasattr(whole, "with_run_length"):
        return whole.with_run_length(steps)
    if type(whole) is tuple:
        parts = tuple(_filled(part, steps) for part in whole)
        return whole if all(map(operator.is_, parts, whole)) else parts
    if not dataclasses.is_dataclass(whole) or isinstance(whole, type):
        return whole
    fields = {field.name: getattr(whole, field.name) for field in dataclasses.fields(whole) if field.init}
    filled_fields = {name: _filled(field, steps) for name, field in fields.items()}
    for name, field in fields.items():
        check_called(name, field)
    changes = {name: field for name, field in filled_fields.items() if field is not fields[name]}
    return dataclasses.replace(whole, **changes) if changes else whole


def _without_length(schedule: Any, fields: str, example: str) -> str:
    return (
        f"{fields} of a schedule must be set before it is called (got {schedule}); `train` and `Config.resolved` take "
        f"them from the run, outside of a run write {example}."
    )
