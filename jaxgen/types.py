"""The words that every floor shares: arrays, keys, and what the training loop asks of a method."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import jax
from jaxtyping import Array, Float, Int, Key, PyTree

__all__ = ["Array", "Batch", "Float", "Int", "Key", "Method", "Metrics", "Params", "PyTree", "State", "Step"]

Params = PyTree
State = PyTree
Batch = PyTree
Metrics = Mapping[str, Array]
Step = Callable[..., tuple[State, Any]]


class Method(Protocol):
    """A training method: a process on models, and at once the description of itself.

    A method is a frozen dataclass whose fields are its hyperparameters and networks. `train` sets `axis_name`
    and calls these three functions, nothing else. Other verbs (`sample`, `scores`) are ordinary methods.
    """

    axis_name: str | None

    def sized(self, *rows: PyTree[jax.ShapeDtypeStruct]) -> Self:
        """Return the method with every network and width left open filled in.

        Args:
            *rows: the shape and dtype of one row of each table.

        Returns:
            A method whose `init` and `step` can be called.
        """
        ...

    def init(self, key: Key[Array, ""], *batches: Batch) -> State:
        """Return the state before the first step.

        Args:
            key: a key of this seed's own.
            *batches: the first minibatch of each table, leaves `[batch, ...]`.

        Returns:
            Any pytree of arrays.
        """
        ...

    def step(self, key: Key[Array, ""], state: State, *batches: Batch) -> tuple[State, Metrics]:
        """Return the state after one step, and scalars to report.

        Args:
            key: a key of this step's own.
            state: what `init` or the step before returned.
            *batches: one minibatch of each table, leaves `[batch, ...]`.

        Returns:
            The new state, of the same structure, and a dict of scalars.
        """
        ...
