"""Config of a training run: method, data, number of steps, seeds and devices."""

import dataclasses
import numbers
from typing import Any, Generic, TypeVar

import numpy as np

from jaxgen.data.datasets import Dataset
from jaxgen.data.validation import check_dataset, checked, row_specs
from jaxgen.parallel import Layout
from jaxgen.training.description import as_text
from jaxgen.types import Method

__all__ = ["Config", "MethodT", "check_config", "check_method"]

_DEFINITIONS = {"resolve": "resolve(self, *row_specs), which may return self", "init": "init(self, key, *rows)"}

MethodT = TypeVar("MethodT", bound=Method, covariant=True)


@dataclasses.dataclass(frozen=True)
class Config(Generic[MethodT]):
    """Config of a training run, generic in its method: `Config(methods.EVL(), ...)` is a `Config[EVL]`.

    Attributes:
        method: the training method; networks left as None are chosen to fit the data, and schedules without a length,
            such as `optim.Cosine(1e-3)`, end with the run.
        data: the training data; `data.Arrays(x)` wraps arrays.
        steps: number of training steps, a multiple of `steps_per_call`.
        batch_size: rows of a minibatch, in total over all devices.
        steps_per_call: steps in one call of the compiled program. Progress, `callback` and checkpoints come after each
            call.
        num_seeds: number of models trained at the same time, with seeds 0, 1, ...
        seed: the root seed, from 0 to 2**32 - 1, from which the keys of all models are derived.
        shuffle: whether each epoch takes the rows in a new random order.
        layout: how seeds are mapped and which devices are used.
        validation: rows on which the method's `validation_loss` is evaluated after every `steps_per_call` steps; the
            state with the least loss is returned. A share of each table's rows between 0 and 1, or a whole number of
            rows of each table; they are drawn at random by `seed`, and not trained on. Or another dataset with the same
            kind of tables. None returns the last state.
        patience: number of evaluations without a new least `validation_loss` after which a seed stops. The run ends
            when all seeds have stopped. None never stops early.
    """

    method: MethodT
    data: Dataset
    steps: int = 10_000
    batch_size: int = 200
    steps_per_call: int = 500
    num_seeds: int = 1
    seed: int = 0
    shuffle: bool = True
    layout: Layout = dataclasses.field(default_factory=Layout)
    # Left out of the JSON if None, so that descriptions of runs without validation stay as they were.
    validation: float | int | Dataset | None = dataclasses.field(default=None, metadata={"omit_default": True})
    patience: int | None = dataclasses.field(default=None, metadata={"omit_default": True})

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "steps_per_call", "num_seeds"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"`{name}` must be a whole number of at least 1 (got {value!r}); try {name}=1.")
            object.__setattr__(self, name, int(value))
        if isinstance(self.seed, bool) or not isinstance(self.seed, numbers.Integral) or not 0 <= self.seed < 2**32:
            raise ValueError(
                f"`seed` must be a whole number from 0 to 2**32 - 1, the bits of a JAX key (got {self.seed!r}); try "
                "seed=0."
            )
        object.__setattr__(self, "seed", int(self.seed))
        if self.steps % self.steps_per_call:
            down = self.steps // self.steps_per_call * self.steps_per_call
            other = f"steps={down}" if down else f"steps_per_call={self.steps}"
            raise ValueError(
                f"`steps` must be a multiple of `steps_per_call` (got {self.steps} and {self.steps_per_call}); "
                f"try {other}."
            )
        check_dataset("data", self.data)
        check_method(self.method)
        if not isinstance(self.shuffle, bool | np.bool):
            raise TypeError(f"`shuffle` must be True or False (got {self.shuffle!r}); use shuffle=True.")
        object.__setattr__(self, "shuffle", bool(self.shuffle))
        if not isinstance(self.layout, Layout):
            raise TypeError(f"`layout` must be a Layout (got {self.layout!r}); use for example Layout(devices=1).")
        self._check_validation()

    def __repr__(self) -> str:
        return as_text(self, always=("method", "data", "steps", "batch_size", "steps_per_call", "num_seeds", "seed"))

    def resolved(self) -> "Config[MethodT]":
        """Return the config with networks, schedules without a length and the layout filled in, as `train` does.

        Returns:
            A config whose method can be used directly: `config.method.init` and `config.method.step`.

        Raises:
            ValueError: if data, batch size, devices and method do not fit together.
            TypeError: if the data are not numeric, or not of the kind that the method trains on, or the method has no
                `validation_loss` and there are validation rows.
            FileNotFoundError: if a dataset is missing.
            RuntimeError: if this process was forked from one that has used JAX.
        """
        from jaxgen.training.preparation import resolved  # imports this module

        return resolved(self, row_specs(checked(self.data.tables(), self.batch_size)))

    def _check_validation(self) -> None:
        """Check `validation` and `patience`, and store NumPy numbers as Python's."""
        validation, patience = self.validation, self.patience
        if isinstance(validation, numbers.Real):
            whole = isinstance(validation, numbers.Integral)
            if isinstance(validation, bool) or not (validation >= 1 if whole else 0 < validation < 1):
                raise ValueError(
                    "`validation` must be a share between 0 and 1, a whole number of rows of at least 1, or a dataset "
                    f"(got {validation!r}); try validation=0.1."
                )
            object.__setattr__(self, "validation", int(validation) if whole else float(validation))
        elif validation is not None:
            check_dataset("validation", validation)
        if patience is None:
            return
        if isinstance(patience, bool) or not isinstance(patience, numbers.Integral) or patience < 1:
            raise ValueError(
                f"`patience` must be a whole number of evaluations of at least 1, or None (got {patience!r}); try "
                "patience=10."
            )
        if validation is None:
            raise ValueError(
                f"`patience` needs rows to evaluate (got patience={patience} and validation=None); set validation=0.1, "
                "or patience=None."
            )
        object.__setattr__(self, "patience", int(patience))


def check_method(method: Any) -> None:
    """Check that an object is a training method.

    Raises:
        TypeError: if it is a class, or has no `resolve`, `init` or `step`.
    """
    if not hasattr(method, "step") or isinstance(method, type):
        raise TypeError(f"`method` must be a training method (got {method!r}); give one, such as methods.EVL().")
    for name, definition in _DEFINITIONS.items():
        if not hasattr(method, name):
            raise TypeError(
                f"`method` must have `resolve`, `init` and `step` (got {type(method).__name__} without `{name}`); "
                f"define {definition}, as the tutorial of a method of your own does."
            )


def check_config(config: Any) -> None:
    """Check that an argument is a config.

    Raises:
        TypeError: if it is not.
    """
    if not isinstance(config, Config):
        got = f"the class {config.__name__}" if isinstance(config, type) else type(config).__name__
        raise TypeError(f"`config` must be a Config (got {got}); use jaxgen.Config(method, data).")
