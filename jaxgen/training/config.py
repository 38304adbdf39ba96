"""What is trained, on what, and for how long."""

import dataclasses
import numbers

from jaxgen.data.datasets import Dataset
from jaxgen.data.validation import check_dataset
from jaxgen.parallel import Layout
from jaxgen.types import Method

__all__ = ["Config"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One run: a method, its data, and how long.

    Attributes:
        method: what is trained; networks that it leaves open are chosen to fit the data.
        data: the tables it is trained on; `data.Arrays(x)` for your own.
        steps: how many steps, a multiple of `every`.
        batch_size: rows of a minibatch, over all devices.
        steps_per_call: steps between two looks from outside (progress, `callback`, checkpoints); they run as one
            program.
        num_seeds: how many models are trained side by side, from seeds 0, 1, ...
        seed: the root from which their keys are derived.
        shuffle: whether each epoch goes through the data in a new order.
        layout: how seeds and devices are used.
    """

    method: Method
    data: Dataset
    steps: int = 10_000
    batch_size: int = 200
    steps_per_call: int = 500
    num_seeds: int = 1
    seed: int = 0
    shuffle: bool = True
    layout: Layout = dataclasses.field(default_factory=Layout)

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "steps_per_call", "num_seeds"):
            value = getattr(self, name)
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name} is {value!r}; make it a whole number of at least 1.")
            object.__setattr__(self, name, int(value))
        if self.steps % self.steps_per_call:
            down = self.steps // self.steps_per_call * self.steps_per_call
            other = f"steps={down}" if down else f"steps_per_call={self.steps}"
            raise ValueError(
                f"steps ({self.steps}) is no multiple of steps_per_call ({self.steps_per_call}); use {other}, for one."
            )
        check_dataset("data", self.data)
        if not hasattr(self.method, "step") or isinstance(self.method, type):
            raise TypeError(f"method is {self.method!r}, which is no method; give one such as methods.EVL().")
