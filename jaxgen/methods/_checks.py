"""What methods ask of rows, of labels, of networks, and of themselves before they train."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.batches import to_float
from jaxgen.nets import output_shape
from jaxgen.types import PyTree

__all__ = [
    "check_hashable",
    "check_scalar_output",
    "check_labels",
    "check_range",
    "check_table",
    "check_weights",
    "is_floating",
    "is_label",
]


def is_floating(*rows: Any) -> bool:
    """Tell whether each of these is an array's row of floating-point numbers."""
    return all(hasattr(row, "shape") and jnp.issubdtype(row.dtype, jnp.floating) for row in rows)


def is_label(row: Any) -> bool:
    """Tell whether this is an array's row that is one whole number."""
    return getattr(row, "shape", None) == () and jnp.issubdtype(row.dtype, jnp.integer)


def check_table(method: object, rows: tuple[PyTree, ...]) -> None:
    """Check that a method is given one table of floating-point rows.

    Raises:
        TypeError: if it is not.
    """
    if len(rows) != 1 or not is_floating(*rows):
        raise TypeError(
            f"{type(method).__name__} learns one table of floating-point rows and got {rows}; give data.Arrays(x), for "
            "one."
        )


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Check that every label is that of a class.

    Raises:
        ValueError: if a label is below 0, or `classes` or more.
    """
    low, high = int(np.min(labels)), int(np.max(labels))
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels are {low} to {high}, but {classes} classes have the labels 0 to {classes - 1}; "
            "give as many classes as there are, and number them from 0."
        )


def check_range(x: np.ndarray, given: str) -> None:
    """Check that all numbers of a table, as a step sees them, lie within 0 and 1.

    Args:
        x: rows `[n, ...]`, one at least.
        given: what asks for this.

    Raises:
        ValueError: if one does not.
    """
    ends = np.array([x.min(), x.max()], x.dtype).reshape(2, *[1] * (x.ndim - 1))
    low, high = np.ravel(to_float(jnp.asarray(ends)))
    if not (low >= 0 and high <= 1):
        raise ValueError(f"rows are {low:g} to {high:g}, and {given} is for numbers within 0 and 1; scale them.")


def check_weights(**weights: float) -> None:
    """Check that no weight of a loss turns it round, or makes it no number.

    Args:
        **weights: by the names of their fields.

    Raises:
        ValueError: if one is negative or not finite.
    """
    for name, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise ValueError(f"{name} is {weight}; make it a finite number, 0 at least.")


def check_scalar_output(called: str, network: nn.Module, *rows: jax.ShapeDtypeStruct, gives: str) -> None:
    """Check that a network makes one number of each row.

    Args:
        called: what the network is called.
        network: a Linen module.
        *rows: shape and dtype of two of what it sees.
        gives: what the number is called.

    Raises:
        ValueError: if it does not, or has more than parameters.
    """
    if (judged := output_shape(network, *rows)) != (2, 1):
        raise ValueError(f"the {called} gives {judged[1:]} numbers for a row; it must give one, the {gives}.")


def check_hashable(method: object) -> None:
    """Check that a compiled program can be kept for a method.

    Raises:
        TypeError: if something in it has no hash, such as a list.
    """
    try:
        hash(method)
    except TypeError as error:
        root: BaseException = error  # Flax tells a page before it
        while root.__cause__:
            root = root.__cause__
        raise TypeError(
            f"{type(method).__name__} cannot be told from others by its hash ({root}); give tuples for lists, and "
            "numbers for arrays."
        ) from error
