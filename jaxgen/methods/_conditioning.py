"""Rows that may come with an input: what is given, and the outcome that a model learns."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods._checks import is_floating
from jaxgen.types import Array, PyTree

__all__ = ["concatenate_condition", "check_condition", "split_condition", "split_condition_specs"]


def concatenate_condition(noise: Array, given: Array) -> Array:
    """Put each of `[b, k]` inputs behind its share of the noise, `[b * n, l]` -> `[b * n, l + k]`."""
    return jnp.concatenate([noise, jnp.repeat(given, len(noise) // len(given), 0)], -1)


def check_condition(given: Array, fits: bool, *, without: str, within: str) -> None:
    """Check that inputs are such as a model was made for.

    Args:
        given: `[b, k]`, k = 0 where nothing is given.
        fits: whether the model was made for such.
        without: what to call where nothing is given.
        within: what to call where something is.

    Raises:
        ValueError: if they are not.
    """
    if not fits:
        raise ValueError(
            f"the inputs have {given.shape[-1]} columns and this model was not made for these; without any call "
            f"{without}, with some {within}."
        )


def split_condition(rows: PyTree) -> tuple[Array, Array]:
    """Part a minibatch into what is given and the outcome.

    Args:
        rows: outcomes `[b, ...]`, or a pair of inputs `[b, k]` and outcomes `[b, ...]`.

    Returns:
        The inputs, `[b, 0]` where there are none, and the outcomes.
    """
    if isinstance(rows, tuple | list):
        given, outcome = rows
        return given, outcome
    return jnp.zeros((rows.shape[0], 0)), rows


def split_condition_specs(method: str, rows: tuple[PyTree, ...]) -> tuple[int, tuple[int, ...]]:
    """Return the width of what is given and the shape of an outcome, or say why a method cannot learn such rows.

    Args:
        method: its name.
        rows: shape and dtype of one row of each table.

    Returns:
        `k`, 0 where nothing is given, and the outcome's shape.

    Raises:
        TypeError: if it is not one table of floating-point rows, or of pairs of an input vector and such a row.
    """
    found: Any = rows[0] if len(rows) == 1 else None
    parts = found if isinstance(found, tuple | list) else (jax.ShapeDtypeStruct((0,), jnp.float32), found)
    if len(parts) != 2 or not is_floating(*parts) or len(parts[0].shape) != 1:
        raise TypeError(
            f"{method} learns one table of floating-point rows, or of pairs of an input vector and a row; it got "
            f"{rows}: give data.Arrays(y) or data.Arrays((x, y))."
        )
    return parts[0].shape[0], parts[1].shape
