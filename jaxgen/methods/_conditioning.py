"""Tables of outcomes, or of pairs of a condition and an outcome, for methods that can learn both."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods._modules import at_least_single
from jaxgen.types import Array, PyTree
from jaxgen.validation import is_floating

__all__ = [
    "check_condition",
    "concatenate_condition",
    "split_condition",
    "split_condition_specs",
    "standardized",
]


def concatenate_condition(noise: Array, condition: Array) -> Array:
    """Append conditions `[b, k]` to noise `[b * n, l]`, n samples of noise for each: `[b * n, l + k]`."""
    return jnp.concatenate([noise, jnp.repeat(condition, len(noise) // len(condition), 0)], -1)


def check_condition(condition: Array, fits: bool, *, unconditional: str, conditional: str) -> None:
    """Check that conditions have the width that the model was trained with.

    Args:
        condition: `[b, k]`, k = 0 for an unconditional call.
        fits: whether the width is right.
        unconditional: names of the methods to call without conditions, for the error message.
        conditional: names of the methods to call with conditions.

    Raises:
        ValueError: if it is not.
    """
    if not fits:
        raise ValueError(
            f"conditions must have the width that the model was trained with (got shape {condition.shape}); call "
            f"{unconditional} for a model without conditions, {conditional} for one with conditions."
        )


def split_condition(rows: PyTree) -> tuple[Array, Array]:
    """Split a minibatch into conditions and outcomes.

    Args:
        rows: outcomes `[b, ...]`, or a pair of conditions `[b, k]` and outcomes `[b, ...]`.

    Returns:
        The conditions, `[b, 0]` where there are none, and the outcomes, both in single precision or better.
    """
    if isinstance(rows, tuple | list):
        condition, outcome = at_least_single(rows)
        return condition, outcome
    return jnp.zeros((rows.shape[0], 0), jnp.float32), at_least_single(rows)


def split_condition_specs(method: str, row_specs: tuple[PyTree, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the width of a condition and the shape of an outcome.

    Args:
        method: its name, for the error message.
        row_specs: shape and dtype of one row of each table.

    Returns:
        The width `k`, 0 where there are no conditions, and the outcome's shape.

    Raises:
        TypeError: if the data are not one table of floating-point rows, or of pairs of a vector and such a row.
    """
    table: Any = row_specs[0] if len(row_specs) == 1 else None
    pair = table if isinstance(table, tuple | list) else (jax.ShapeDtypeStruct((0,), jnp.float32), table)
    if len(pair) != 2 or not is_floating(*pair) or len(pair[0].shape) != 1:
        raise TypeError(
            f"{method} learns one table of floating-point rows, or of pairs of a condition vector and a row (got "
            f"{row_specs}); use data.Arrays(y) or data.Arrays((x, y)), and convert integers with x.astype('float32')."
        )
    return pair[0].shape[0], pair[1].shape


def standardized(units: dict[str, Any], name: str, rows: Array) -> Array:
    """Standardize rows by an entry of `units`, a location and a scale; without the entry they stay as they are."""
    if name not in units:
        return rows
    location, scale = units[name]
    return (rows - location[None]) / scale[None]
