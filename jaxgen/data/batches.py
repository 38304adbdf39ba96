"""Minibatches: shuffled row numbers, and conversion of stored bytes to floats."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, Batch, Int, Key, PyTree

__all__ = ["plan", "take", "to_float"]


def plan(
    key: Key[Array, ""],
    n: int,
    rows: int,
    start: int | Int[Array, ""],
    length: int,
    *,
    shuffle: bool = True,
) -> Int[Array, "length rows"]:
    """Row numbers of `length` consecutive minibatches, a function of the key and the absolute step only.

    Every epoch uses a new permutation of the table. The last rows of an epoch that do not fill a minibatch are dropped.

    Args:
        key: random key of the table.
        n: number of rows of the table.
        rows: batch size, at most `n`.
        start: index of the first step, counted from the start of training; may be traced.
        length: number of steps.
        shuffle: whether to permute the rows in every epoch.

    Returns:
        Row numbers `[length, rows]`.
    """
    per_epoch = n // rows
    steps = start + jnp.arange(length)
    epochs, positions = steps // per_epoch, steps % per_epoch
    if not shuffle:
        return positions[:, None] * rows + jnp.arange(rows)[None]
    used = per_epoch * rows
    # The most epochs that `length` steps can overlap, for any start. Epochs after the last step are not permuted.
    num_epochs = (length - 2) // per_epoch + 2
    permuted = lambda epoch: _permutation(jax.random.fold_in(key, epoch), n)[:used]
    unused = lambda epoch: jnp.arange(used)
    order = jax.lax.map(
        lambda epoch: jax.lax.cond(epoch <= epochs[-1], permuted, unused, epoch), epochs[0] + jnp.arange(num_epochs)
    )
    return order.reshape(num_epochs, per_epoch, rows)[epochs - epochs[0], positions]


def _permutation(key: Key[Array, ""], n: int) -> Int[Array, " n"]:
    """Random permutation by one sort of 64 random bits; `jax.random.permutation` loops over sorts of 32 bits."""
    high, low = jax.random.bits(key, (2, n), jnp.uint32)
    return jax.lax.sort((high, low, jnp.arange(n)), num_keys=2)[2]


def take(table: PyTree, rows: Int[Array, " rows"]) -> Batch:
    """Select rows of a table, and convert bytes, such as stored images, to floats.

    Args:
        table: pytree of arrays `[n, ...]`.
        rows: row numbers.

    Returns:
        Leaves `[rows, ...]`, converted by `to_float`.
    """
    return jax.tree.map(lambda leaf: to_float(leaf[rows]), table)


def to_float(leaf: Array) -> Array:
    """Convert stored bytes to the float32 values that a training step receives.

    Args:
        leaf: array `[n, ...]`.

    Returns:
        `uint8` of two or more axes scaled from 0 ... 255 to [0, 1], and `int8` of three or more axes (images) from
        -128 ... 127 to [-1, 1]. All other arrays, such as a column `[n]` of byte labels, are returned unchanged.
    """
    if leaf.dtype == jnp.uint8 and leaf.ndim > 1:
        return leaf.astype(jnp.float32) / 255
    if leaf.dtype == jnp.int8 and leaf.ndim > 2:
        return (2 * leaf.astype(jnp.float32) + 1) / 255
    return leaf


def is_scaled_to_tanh(tables: PyTree) -> bool | None:
    """Return whether byte leaves of two or more axes are signed; None if there are none or both."""
    rows = [leaf for leaf in jax.tree.leaves(tables) if getattr(leaf, "ndim", 0) > 1]
    signed = {leaf.dtype == jnp.int8 for leaf in rows if leaf.dtype in (jnp.int8, jnp.uint8)}
    return signed.pop() if len(signed) == 1 else None


def value_range(x: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest value of a table `[n, ...]`, n > 0, as a training step sees them."""
    ends = np.array([x.min(), x.max()], x.dtype).reshape(2, *[1] * (x.ndim - 1))
    low, high = np.ravel(to_float(jnp.asarray(ends)))
    return float(low), float(high)
