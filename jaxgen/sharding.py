"""Loops and matrix products on arrays of a device mesh: inside `jax.shard_map`, and on an explicit mesh.

JAX checks how each array is placed. A loop must not turn a constant into a value that differs between devices, and
products, gathers and reshapes along a sharded axis of an explicit mesh are errors. Without a mesh these functions
change nothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.types import Array, PyTree

__all__ = ["aligned", "automatic", "replicated", "varying"]


def varying(value: PyTree, *arrays: PyTree) -> PyTree:
    """Mark constants as different on the devices on which arrays differ, as the initial values of a loop over them.

    Args:
        value: pytree of arrays, the initial values.
        *arrays: arrays, or their specs from `jax.eval_shape`, that the loop combines with them.

    Returns:
        The values, unchanged.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return value
    like = [leaf for leaf in jax.tree.leaves(arrays) if not jnp.issubdtype(leaf.dtype, jax.dtypes.extended)]
    add = lambda leaf: sum((jnp.zeros_like(spec, shape=(), dtype=leaf.dtype) for spec in like), leaf)
    return jax.tree.map(add, value)


def automatic(function: Callable[..., PyTree], *arguments: PyTree, rows: Array | None = None) -> PyTree:
    """Call a function such that XLA places its intermediate arrays, also if arguments are on an explicit mesh.

    Args:
        function: of arrays. It must not use other arrays that are on an explicit mesh.
        *arguments: pytrees of arrays.
        rows: the results have one entry per row of this array, and are sharded as it is; None replicates them.

    Returns:
        `function(*arguments)`.
    """
    mesh = _explicit_mesh(arguments)
    if mesh is None:
        return function(*arguments)
    spec = PartitionSpec() if rows is None else PartitionSpec(*_spec(rows)[:1])
    return jax.sharding.auto_axes(function, out_sharding=NamedSharding(mesh, spec))(*arguments)


def aligned(x: Array, rows: Array) -> Array:
    """An array sharded along its first axis as other rows are, which `jax.vmap` needs on an explicit mesh."""
    mesh = _explicit_mesh(rows)
    if mesh is None:
        return x
    return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec(*_spec(rows)[:1])))


def replicated(x: Array) -> Array:
    """Copy of all rows on every device of an explicit mesh."""
    mesh = _explicit_mesh(x)
    if mesh is None or not any(_spec(x)):
        return x
    return jax.sharding.reshard(x, NamedSharding(mesh, PartitionSpec()))


def _explicit_mesh(tree: PyTree) -> Any:
    """The mesh with an explicit axis on which an array is placed; None if there is none."""
    meshes = [jax.typeof(leaf).sharding.mesh for leaf in jax.tree.leaves(tree)]
    return next((mesh for mesh in meshes if AxisType.Explicit in mesh.axis_types), None)


def _spec(x: Array) -> PartitionSpec:
    return jax.typeof(x).sharding.spec
