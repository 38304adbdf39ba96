"""Where a program runs: the only place that knows of devices, seeds and the transformation that joins them.

Nothing else in the library calls `jax.pmap`. A program is written for one seed on one device; inside, the axis
over the devices has the name `AXIS`, and the collectives below act along it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.types import Array, Int, Key, PyTree

__all__ = [
    "AXIS",
    "Layout",
    "any_process",
    "barrier",
    "batched",
    "convolves",
    "count",
    "first",
    "fold",
    "gather",
    "index",
    "mean",
    "pmapped",
    "serial",
    "sharded",
    "slice_of",
    "total",
]

AXIS = "devices"

Program = Callable[..., Any]


def count(axis_name: str | None = AXIS) -> int:
    """Return how many devices share the axis (one where there is no axis)."""
    return 1 if axis_name is None else jax.lax.axis_size(axis_name)


def mean(tree: PyTree, axis_name: str | None) -> PyTree:
    """Average every floating-point leaf over the devices; leave whole numbers, and everything on no axis, alone.

    Args:
        tree: any pytree; one leaf is one device's value.
        axis_name: the axis over the devices, or None.

    Returns:
        The same pytree, equal on all devices.
    """
    if axis_name is None:
        return tree

    def average(leaf: Array) -> Array:
        return jax.lax.pmean(leaf, axis_name) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) else leaf

    return jax.tree.map(average, tree)


def total(tree: PyTree, axis_name: str | None) -> PyTree:
    """Add every leaf up over the devices, whole numbers too."""
    return tree if axis_name is None else jax.tree.map(lambda leaf: jax.lax.psum(leaf, axis_name), tree)


def index(axis_name: str | None) -> Int[Array, ""] | int:
    """Return this device's place on the axis (0 where there is no axis)."""
    return 0 if axis_name is None else jax.lax.axis_index(axis_name)


def gather(tree: PyTree, axis_name: str | None) -> PyTree:
    """Join the rows of all devices, so that a loss over a set sees the whole set.

    Args:
        tree: leaves `[rows, ...]`, one device's share.
        axis_name: the axis over the devices, or None.

    Returns:
        Leaves `[devices * rows, ...]`, in the order of the devices.
    """
    if axis_name is None:
        return tree
    return jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True), tree)


def fold(key: Key[Array, ""], axis_name: str | None) -> Key[Array, ""]:
    """Give every device noise of its own: fold the device's index into a key."""
    return key if axis_name is None else jax.random.fold_in(key, index(axis_name))


def slice_of(rows: Int[Array, "steps batch"], axis_name: str | None) -> Int[Array, "steps share"]:
    """Take this device's share of every minibatch: device `i` has the `i`-th block of columns."""
    if axis_name is None:
        return rows
    share = rows.shape[1] // count(axis_name)
    return jax.lax.dynamic_slice_in_dim(rows, index(axis_name) * share, share, axis=1)


def batched(program: Program, *arguments: PyTree) -> PyTree:
    """Run all seeds at once: best for dense networks, and on accelerators."""
    return jax.vmap(program)(*arguments)


def serial(program: Program, *arguments: PyTree) -> PyTree:
    """Run one seed after another: best for convolutions on a CPU, and the exact numbers of a lone seed."""
    return jax.lax.map(lambda at: program(*at), arguments)


def pmapped(program: Program, devices: Sequence[jax.Device]) -> Program:
    """Run a program on every device by `jax.pmap`.

    State and data are whole on each device, and the results, which the program has reduced over `AXIS`, are
    taken from the first: so nothing outside has an axis for devices. Only the devices' count is mapped.

    Args:
        program: `program(*arguments) -> results`.
        devices: this process's devices; `AXIS` spans those of all processes.

    Returns:
        The program on all devices.
    """
    lift = lambda index, arguments: program(*arguments)
    mapped = jax.pmap(lift, AXIS, in_axes=(0, None), out_axes=None, devices=_only(devices))
    return lambda *arguments: mapped(np.arange(len(devices)), arguments)


def sharded(program: Program, devices: Sequence[jax.Device]) -> Program:
    """Do in one process what `pmapped` does, by `jax.shard_map`: its twin, equal to the last bit."""
    one, whole = PartitionSpec(AXIS), PartitionSpec()
    mesh = Mesh(np.array(devices), (AXIS,))
    lift = lambda index, arguments: program(*arguments)
    mapped = jax.jit(jax.shard_map(lift, mesh=mesh, in_specs=(one, whole), out_specs=whole, check_vma=False))
    return lambda *arguments: mapped(np.arange(len(devices)), arguments)


def _only(devices: Sequence[jax.Device]) -> Sequence[jax.Device] | None:
    """Name devices to `pmap` only where they are not all: several processes must leave the choice to it."""
    return None if len(devices) == jax.local_device_count() else devices


def convolves(jaxpr: jax.extend.core.ClosedJaxpr) -> bool:
    """Tell whether a traced program contains a convolution, at any depth."""
    return "conv_general_dilated" in str(jaxpr)


@dataclasses.dataclass(frozen=True)
class Layout:
    """How seeds and devices are used.

    `seeds` and `transform` change how fast numbers come out, beyond rounding never which. `devices` changes the noise
    too: each device has its own.

    Attributes:
        seeds: `batched` or `serial`; None chooses `serial` for convolutions on a CPU, else `batched`.
        transform: `pmapped` or `sharded`.
        devices: how many of this process's devices, the first ones; None takes all.
    """

    seeds: Callable[..., PyTree] | None = None
    transform: Callable[..., Program] = pmapped
    devices: int | None = None

    def local(self) -> Sequence[jax.Device]:
        """Return this process's devices that are used.

        Raises:
            ValueError: if there are fewer than asked for, or several processes are to use some of theirs, or `sharded`.
        """
        have = jax.local_devices()
        if self.devices is not None and not 1 <= self.devices <= len(have):
            raise ValueError(
                f"Layout asks for {self.devices} devices and there are {len(have)}; ask for at most those."
            )
        chosen = have[: self.devices]
        if jax.process_count() > 1 and (len(chosen) < len(have) or self.transform is sharded):
            raise ValueError("several processes use all their devices, by pmapped; leave the Layout as it is.")
        return chosen

    def total(self) -> int:
        """Return the number of devices over all processes.

        Raises:
            ValueError: as `local` does.
        """
        return len(self.local()) * jax.process_count()

    def map_seeds(self, program: Program, *arguments: PyTree) -> PyTree:
        """Run a program for every seed: the leading axis of each argument and result."""
        return (self.seeds or batched)(program, *arguments)

    def spread(self, program: Program) -> Program:
        """Compile a program for all devices.

        Raises:
            ValueError: as `local` does.
        """
        return self.transform(program, self.local())

    def place(self, tree: PyTree) -> PyTree:
        """Copy a pytree whole to every device of this process.

        A copy, since two leaves that share memory must not both be donated.
        """
        replicated = NamedSharding(Mesh(np.array(self.local()), (AXIS,)), PartitionSpec())

        def copied(leaf: Any) -> Any:
            # By NumPy where it can: `jnp.array(leaf, copy=True)` compiles a program for each shape, and
            # `device_put` shares memory even with `may_alias=False`.
            is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended)
            return jnp.array(leaf, copy=True) if is_key else np.array(leaf)

        return jax.device_put(jax.tree.map(copied, tree), replicated)


def first(tree: PyTree) -> PyTree:
    """Take one copy of what every device holds whole, so that what is done with it runs once."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def any_process(flag: bool) -> bool:
    """Tell whether the flag is set in any process, so that all of them act on it together."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def barrier(name: str) -> None:
    """Wait until every process has come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
