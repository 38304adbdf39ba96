"""Loop over `jax.lax.scan` with per-step random keys, for training, Markov chains and inner updates."""

import jax
import jax.numpy as jnp

from jaxgen.sharding import replicated
from jaxgen.types import Array, Int, Key, PyTree, State, Step

__all__ = ["chunked", "iterate", "keys"]


def keys(key: Key[Array, ""], count: int, start: int | Int[Array, ""] = 0) -> Key[Array, " count"]:
    """Derive random keys by index, so that key `i` does not depend on the number of keys.

    Args:
        key: key from which all are derived.
        count: number of keys.
        start: index of the first key.

    Returns:
        Keys `[count]`; entry `i` is `fold_in(key, start + i)`.
    """
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(start + jnp.arange(count))


def chunked(rows: Array, size: int | None) -> Array:
    """Split rows into chunks of equal size, as inputs of a loop.

    Args:
        rows: `[n, ...]`.
        size: number of rows per chunk, which must divide `n`; None gives one chunk with all rows.

    Returns:
        Chunks `[n / size, size, ...]`.

    Raises:
        ValueError: if `size` does not divide `n`.
    """
    length = rows.shape[0] if size is None else size
    if length < 1 or rows.shape[0] % length:
        raise ValueError(
            f"the chunk size must divide the number of rows (got chunk size {size} and {rows.shape[0]} rows); "
            f"choose a divisor of {rows.shape[0]}."
        )
    return replicated(rows).reshape(-1, length, *rows.shape[1:])


def iterate(
    step: Step,
    key: Key[Array, ""],
    state: State,
    *inputs: PyTree,
    length: int | None = None,
    start: int | Int[Array, ""] = 0,
) -> tuple[State, PyTree]:
    """Apply a step function repeatedly inside one `jax.lax.scan`, each time with its own random key.

    Step `t` gets the key `fold_in(key, t)`, so a run that is split in two and continued gives the same results.

    Args:
        step: `step(key, state, *inputs) -> (state, info)`.
        key: key of the whole run.
        state: initial state.
        *inputs: pytrees with leaves `[length, ...]`; step `t` gets entry `t - start`.
        length: number of steps; may be omitted if there are inputs.
        start: index of the first step.

    Returns:
        The last state, and the `info` of all steps, stacked along a leading axis.

    Raises:
        ValueError: if there is neither an input nor a length, or if the lengths differ.
    """
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(inputs)} | ({length} if length is not None else set())
    if len(lengths) != 1:
        raise ValueError(
            f"iterate needs inputs of one length, or `length` (got lengths {sorted(lengths)}); make them equal."
        )

    def body(state: State, indexed: tuple[Array, tuple[PyTree, ...]]) -> tuple[State, PyTree]:
        index, rows = indexed
        return step(jax.random.fold_in(key, index), state, *rows)

    return jax.lax.scan(body, state, (start + jnp.arange(lengths.pop()), inputs))
