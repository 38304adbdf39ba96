"""Minibatches: shuffled row numbers, and conversion of stored bytes to floats."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, Batch, Int, PyTree

__all__ = ["plan", "take", "to_float"]


def plan(
    seed: Sequence[int], n: int, batch_size: int, start: int, length: int, *, shuffle: bool = True
) -> Int[np.ndarray, "length batch"]:
    """Row numbers of `length` consecutive minibatches, a function of the seed and the absolute step only.

    Every epoch uses a new permutation of the table. The last rows of an epoch that do not fill a minibatch are dropped.
    NumPy draws the permutations on the host: a sort in the training program would take longer to compile than to run.

    Args:
        seed: non-negative numbers that identify the run and the table.
        n: number of rows of the table.
        batch_size: at most `n`.
        start: index of the first step, counted from the start of training.
        length: number of steps.
        shuffle: whether to permute the rows in every epoch.

    Returns:
        Row numbers `[length, batch_size]`, int32.
    """
    per_epoch = n // batch_size
    epochs = range(start // per_epoch, (start + length - 1) // per_epoch + 1)
    order = lambda epoch: _permutation((*seed, epoch), n) if shuffle else np.arange(n, dtype=np.int32)
    batches = [order(epoch)[: per_epoch * batch_size].reshape(per_epoch, batch_size) for epoch in epochs]
    first = start - epochs[0] * per_epoch
    return np.concatenate(batches)[first : first + length]


@functools.lru_cache(maxsize=4)  # an epoch of a large table has thousands of calls
def _permutation(seed: tuple[int, ...], n: int) -> Int[np.ndarray, " n"]:
    """Return a permutation of the row numbers as int32; do not change it, since it is cached."""
    return np.random.default_rng(seed).permutation(np.arange(n)).astype(np.int32)


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
