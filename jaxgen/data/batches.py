"""Which rows a step sees."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, Batch, Int, Key, PyTree

__all__ = ["plan", "take"]


def plan(
    key: Key[Array, ""],
    n: int,
    rows: int,
    start: int | Int[Array, ""],
    length: int,
    *,
    shuffle: bool = True,
) -> Int[Array, "length rows"]:
    """Choose the rows of `length` minibatches, as a function of the key and the absolute step alone.

    Every epoch is a fresh permutation of the table; what does not fill a minibatch is left out of that epoch.

    Args:
        key: this table's key.
        n: rows of the table.
        rows: rows of a minibatch, at most `n`.
        start: absolute number of the first step; may be traced.
        length: how many steps.
        shuffle: whether epochs are permuted; where a paper does not shuffle, they are not.

    Returns:
        Row numbers `[length, rows]`.
    """
    per_epoch = n // rows
    steps = start + jnp.arange(length)
    epochs, places = steps // per_epoch, steps % per_epoch
    if not shuffle:
        return places[:, None] * rows + jnp.arange(rows)[None]
    used = per_epoch * rows
    # So many epochs can `length` steps meet, wherever they start; the last of them is sorted only where they do.
    touched = (length - 2) // per_epoch + 2
    permuted = lambda epoch: jax.random.permutation(jax.random.fold_in(key, epoch), n)[:used]
    unseen = lambda epoch: jnp.arange(used)
    order = jax.lax.map(
        lambda epoch: jax.lax.cond(epoch <= epochs[-1], permuted, unseen, epoch), epochs[0] + jnp.arange(touched)
    )
    return order.reshape(touched, per_epoch, rows)[epochs - epochs[0], places]


def take(table: PyTree, rows: Int[Array, " rows"]) -> Batch:
    """Take rows of a table; bytes, as images are kept, come out as fractions.

    Args:
        table: leaves `[n, ...]`.
        rows: row numbers.

    Returns:
        Leaves `[rows, ...]`; bytes as float32: those without a sign, 0 to 255, between 0 and 1 where they have two axes
        or more, and those with a sign, -128 to 127, between -1 and 1 where they are images, with three axes or more.
        One byte for each row, such as a label, stays what it is.
    """
    return jax.tree.map(lambda leaf: to_float(leaf[rows]), table)


def to_float(leaf: Array) -> Array:
    """Return rows as a step sees them: `take`'s rule for bytes."""
    if leaf.dtype == jnp.uint8 and leaf.ndim > 1:
        return leaf.astype(jnp.float32) / 255
    if leaf.dtype == jnp.int8 and leaf.ndim > 2:
        return (2 * leaf.astype(jnp.float32) + 1) / 255
    return leaf


def is_scaled_to_tanh(tables: PyTree) -> bool | None:
    """Return whether the bytes among the leaves `[n, ...]`, but for labels, have a sign; None if none or some have."""
    rows = [leaf for leaf in jax.tree.leaves(tables) if getattr(leaf, "ndim", 0) > 1]
    kinds = {leaf.dtype == jnp.int8 for leaf in rows if leaf.dtype in (jnp.int8, jnp.uint8)}
    return kinds.pop() if len(kinds) == 1 else None


def value_range(x: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value of a table `[n, ...]`, n > 0, as a training step sees them."""
    ends = np.array([x.min(), x.max()], x.dtype).reshape(2, *[1] * (x.ndim - 1))
    low, high = np.ravel(to_float(jnp.asarray(ends)))
    return float(low), float(high)
