"""Collectives over the devices of a program, and over processes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jaxgen.types import Array, Int, Key, PyTree

__all__ = [
    "AXIS",
    "all_processes",
    "any_process",
    "barrier",
    "count",
    "exchange",
    "first",
    "fold",
    "gather",
    "gather_constant",
    "index",
    "largest",
    "local_columns",
    "local_entry",
    "mean",
    "total",
    "total_share",
]

AXIS = "devices"


def count(axis_name: str | None = AXIS) -> int:
    """Number of devices along the axis; 1 if `axis_name` is None."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def mean(tree: PyTree, axis_name: str | None) -> PyTree:
    """Average floating-point leaves over devices; integer leaves stay as they are.

    Args:
        tree: pytree with the values of one device.
        axis_name: axis over devices; None returns the tree unchanged.

    Returns:
        A pytree of the same structure. Floating-point leaves are equal on all devices.
    """
    if axis_name is None:
        return tree

    def average(leaf: Array) -> Array:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    return jax.tree.map(average, tree)


def total(tree: PyTree, axis_name: str | None) -> PyTree:
    """Sum every leaf over devices, integers included; None as axis returns the tree unchanged."""
    return tree if axis_name is None else jax.tree.map(lambda leaf: jax.lax.psum(leaf, axis_name), tree)


def total_share(tree: PyTree, axis_name: str | None) -> PyTree:
    """Sum over devices of arrays that have rows for all of them; each device gets its own rows of the sum.

    Args:
        tree: leaves `[devices * rows, ...]`, a block of rows for each device.
        axis_name: axis over devices; None returns the tree unchanged.

    Returns:
        Leaves `[rows, ...]`.
    """
    if axis_name is None:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.psum_scatter(leaf, axis_name, tiled=True), tree)


def largest(x: Array, axis_name: str | None) -> Array:
    """Maximum over devices, without a gradient."""
    x = jax.lax.stop_gradient(x)
    return x if axis_name is None else jax.lax.pmax(x, axis_name)


def exchange(rows: Array, axis_name: str | None) -> Array:
    """What all devices have computed for the rows of this one.

    Args:
        rows: `[devices * rows, ...]`, a block of rows for each device.
        axis_name: axis over devices; None counts as one device.

    Returns:
        `[devices, rows, ...]`; entry `i` is the block of device `i` for this device.
    """
    blocks = rows.reshape(count(axis_name), -1, *rows.shape[1:])
    return blocks if axis_name is None else jax.lax.all_to_all(blocks, axis_name, 0, 0)


def index(axis_name: str | None) -> Int[Array, ""] | int:
    """Index of this device along the axis; 0 if `axis_name` is None."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name)


def gather(tree: PyTree, axis_name: str | None) -> PyTree:
    """Concatenate the rows of all devices, for losses that depend on the whole batch.

    Args:
        tree: the share of one device, leaves `[rows, ...]`.
        axis_name: axis over devices; None returns the tree unchanged.

    Returns:
        Leaves `[devices * rows, ...]`, in the order of the devices.
    """
    if axis_name is None:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True), tree)


def gather_constant(tree: PyTree, axis_name: str | None) -> PyTree:
    """Concatenate the rows of all devices, without a gradient; for `jax.shard_map` the result is not varying.

    Args:
        tree: the share of one device, leaves `[rows, ...]`.
        axis_name: axis over devices; None returns the tree without a gradient.

    Returns:
        Leaves `[devices * rows, ...]`, in the order of the devices, equal on all of them.
    """
    tree = jax.lax.stop_gradient(tree)
    if axis_name is None:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True, to="invarying"), tree)


def fold(key: Key[Array, ""], axis_name: str | None) -> Key[Array, ""]:
    """Fold the device index into a random key, so that each device draws different noise."""
    return key if axis_name is None else jax.random.fold_in(key, index(axis_name))


def local_columns(rows: Int[Array, "steps batch"], axis_name: str | None) -> Int[Array, "steps share"]:
    """Share of this device of every minibatch: the `i`-th block of columns for device `i`."""
    if axis_name is None:
        return rows
    share = rows.shape[1] // count(axis_name)
    return jax.lax.dynamic_slice_in_dim(rows, index(axis_name) * share, share, axis=1)


def local_entry(entries: Array, axis_name: str | None) -> Array:
    """Entry of this device, along the leading axis: the `i`-th for device `i`, the first if `axis_name` is None."""
    # A constant index where there is one device: XLA would compile a gather.
    at = 0 if count(axis_name) == 1 else index(axis_name)
    return jax.lax.dynamic_index_in_dim(entries, at, keepdims=False)


def first(tree: PyTree) -> PyTree:
    """One copy of a replicated pytree, on one device, so that further computation runs once."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process, so that all processes act on it together."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def all_processes(tree: PyTree) -> PyTree:
    """Values of all processes: from leaves `[...]` of each to NumPy arrays `[processes, ...]`, equal in all."""
    if jax.process_count() == 1:
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None], tree)
    return multihost_utils.process_allgather(tree)


def barrier(name: str) -> None:
    """Wait until every process has reached this point."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
