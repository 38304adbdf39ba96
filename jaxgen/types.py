"""Shared type aliases and protocols: arrays, random keys, processes, and training methods."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

__all__ = [
    "Array",
    "Batch",
    "Bool",
    "Float",
    "Int",
    "Key",
    "Method",
    "Metrics",
    "Params",
    "Process",
    "PyTree",
    "State",
    "Step",
    "ValidatedMethod",
]

# Pytrees of arrays, whose structure depends on the method. `Any`, so that their fields can be accessed.
Params: TypeAlias = Any
State: TypeAlias = Any
Batch: TypeAlias = Any
Metrics = Mapping[str, Array]
Step = Callable[..., tuple[State, PyTree]]  # `step(key, state, *inputs) -> (state, info)`


@runtime_checkable
class Process(Protocol):
    """A stateful process with `init` and `step(key, state, *inputs) -> (state, info)`, run by `jaxgen.scan.iterate`."""

    def init(self, *arguments: Any, **named: Any) -> State:
        """Initial state."""
        ...

    def step(self, *arguments: Any, **named: Any) -> tuple[State, PyTree]:
        """State after one step, and information about the step."""
        ...


@runtime_checkable
class Method(Protocol):
    """A training method: a process whose state holds models.

    A method is a frozen dataclass whose fields are its hyperparameters and networks. `train` sets `axis_name` and calls
    `resolve`, `init` and `step`. If a method has `check(*tables)`, `train` calls it first; it raises if the data are
    unsuitable. With `Config.validation` it must have `validation_loss`; see `ValidatedMethod`. If its class sets
    `uses_columns_as_given = True`, `train` warns of columns of very different scale. Other functions, such as `sample`
    and `scores`, are ordinary methods.
    """

    @property
    def axis_name(self) -> str | None:
        """Name of the axis over devices: a field, None if the method is used outside `train`."""
        ...

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Method":
        """Fill in networks and sizes that depend on the data.

        Args:
            *row_specs: shape and dtype of one row of each table.

        Returns:
            A method with all fields set, whose `init` and `step` can be called.
        """
        ...

    def init(self, *arguments: Any, **named: Any) -> State:
        """Initial state: `init(key, *batches)`.

        Args:
            *arguments: random key of the seed, and the first minibatch of each table, leaves `[batch, ...]`.
            **named: none.

        Returns:
            The state, any pytree of arrays.
        """
        ...

    def step(self, *arguments: Any, **named: Any) -> tuple[State, Metrics]:
        """One training step: `step(key, state, *batches)`.

        Args:
            *arguments: random key of the step, current state, and one minibatch of each table, leaves `[batch, ...]`;
                under `axis_name`, the share of this device.
            **named: none.

        Returns:
            The new state, of the same structure, and a dict of scalar metrics; both are equal on all devices.
        """
        ...


@runtime_checkable
class ValidatedMethod(Method, Protocol):
    """A training method that can be evaluated on validation rows, as `Config.validation` needs."""

    def validation_loss(self, *arguments: Any, **named: Any) -> Float[Array, ""]:
        """Loss on validation rows, lower is better: `validation_loss(key, state, *rows)`.

        It is called outside of an axis over devices, for one seed, and all its calls in a run get the same key. So the
        noise of a loss is the same in all of them.

        Args:
            *arguments: random key, state, and all validation rows of each table, leaves `[n, ...]`.
            **named: none.

        Returns:
            One number, which depends on the parameters that a result would use, such as their moving average.
        """
        ...
