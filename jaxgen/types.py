"""The words that every floor shares: arrays, keys, and what the training loop asks of a method."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
from jaxtyping import Array, Float, Int, Key, PyTree

__all__ = ["Array", "Batch", "Float", "Int", "Key", "Method", "Metrics", "Params", "Process", "PyTree", "State", "Step"]

Params: TypeAlias = Any  # pytrees of arrays, each of its method's own structure
State: TypeAlias = Any
Batch: TypeAlias = Any
Metrics = Mapping[str, Array]
Step = Callable[..., tuple[State, Any]]


@runtime_checkable
class Process(Protocol):
    """A start and a transition, `init` and `step(key, state, *inputs) -> (state, info)`, which `loop.iterate` runs."""

    def init(self, *arguments: Any, **named: Any) -> State:
        """Return the state before the first step."""
        ...

    def step(self, *arguments: Any, **named: Any) -> tuple[State, Any]:
        """Return the state after one step, and what there is to report."""
        ...


@runtime_checkable
class Method(Protocol):
    """A training method: a process on models, and at once the description of itself.

    A method is a frozen dataclass whose fields are its hyperparameters and networks. `train` sets `axis_name`
    and calls these three functions; before them, where a method has it, `check(*tables)`, which raises if numbers in
    the tables are none that it can learn from. Other verbs (`sample`, `scores`) are ordinary methods.
    """

    @property
    def axis_name(self) -> str | None:
        """Name of the axis over devices: a field, None when the method is used alone."""
        ...

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "Method":
        """Return the method with every network and width left open filled in.

        Args:
            *row_specs: the shape and dtype of one row of each table.

        Returns:
            A method whose `init` and `step` can be called.
        """
        ...

    def init(self, *arguments: Any, **named: Any) -> State:
        """Return the state before the first step: `init(key, *batches)`.

        Args:
            *arguments: a key of this seed's own, and the first minibatch of each table, leaves `[batch, ...]`.
            **named: none.

        Returns:
            Any pytree of arrays.
        """
        ...

    def step(self, *arguments: Any, **named: Any) -> tuple[State, Metrics]:
        """Return the state after one step, and scalars to report: `step(key, state, *batches)`.

        Args:
            *arguments: a key of this step's own, what `init` or the step before returned, and one minibatch of each
                table, leaves `[batch, ...]`: under `axis_name`, this device's share of it.
            **named: none.

        Returns:
            The new state, of the same structure, and a dict of scalars; both equal on all devices.
        """
        ...
