"""The one loop: it runs a Markov chain, the inner updates of an adversary, and training itself."""

import jax
import jax.numpy as jnp

from jaxgen.types import Any, Array, Int, Key, PyTree, State, Step

__all__ = ["chunked", "iterate", "keys"]


def keys(key: Key[Array, ""], count: int, start: int | Int[Array, ""] = 0) -> Key[Array, " count"]:
    """Derive keys by their index, so that key `i` does not depend on how many there are.

    Args:
        key: the key to derive from.
        count: how many keys.
        start: index of the first.

    Returns:
        Keys `[count]`; key `i` is `fold_in(key, start + i)`.
    """
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(start + jnp.arange(count))


def chunked(rows: Array, size: int | None) -> Array:
    """Cut rows into chunks, the inputs of a loop over them.

    Args:
        rows: `[n, ...]`.
        size: rows of a chunk, which must divide `n`; None makes one chunk of all.

    Returns:
        Chunks `[n / size, size, ...]`.

    Raises:
        ValueError: if the size does not divide the rows.
    """
    length = rows.shape[0] if size is None else size
    if length < 1 or rows.shape[0] % length:
        raise ValueError(f"a chunk of {size} does not divide {rows.shape[0]} rows; choose one that does.")
    return rows.reshape(-1, length, *rows.shape[1:])


def iterate(
    step: Step,
    key: Key[Array, ""],
    state: State,
    *inputs: PyTree,
    length: int | None = None,
    start: int | Int[Array, ""] = 0,
) -> tuple[State, Any]:
    """Run a process: apply its step again and again inside one `jax.lax.scan`.

    Step `t` gets the key `fold_in(key, t)`, so that a run cut in two and joined again is the same run.

    Args:
        step: `step(key, state, *inputs) -> (state, info)`.
        key: the key of the whole run.
        state: where the process stands.
        *inputs: pytrees whose leaves lead with the step; step `t` gets the row `t - start`.
        length: number of steps; may be left out where there are inputs.
        start: index of the first step.

    Returns:
        The last state, and what the steps reported, stacked along a leading axis.

    Raises:
        ValueError: if there is neither an input nor a length, or if they disagree.
    """
    lengths = {leaf.shape[0] for leaf in jax.tree.leaves(inputs)} | ({length} if length is not None else set())
    if len(lengths) != 1:
        raise ValueError(f"iterate found the lengths {sorted(lengths)}; give inputs of one length, or `length`.")

    def body(state: State, at: tuple[Array, tuple[PyTree, ...]]) -> tuple[State, Any]:
        index, rows = at
        return step(jax.random.fold_in(key, index), state, *rows)

    return jax.lax.scan(body, state, (start + jnp.arange(lengths.pop()), inputs))
