"""Mapping of programs to devices and random seeds."""

import dataclasses
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen.parallel.collectives import AXIS
from jaxgen.types import PyTree

__all__ = ["Layout", "Mapped", "batched", "has_convolution", "pmapped", "serial", "sharded"]

Program = Callable[..., PyTree]  # a function that `Layout` maps over seeds and devices


def batched(program: Program, *arguments: PyTree) -> PyTree:
    """Run all seeds at once by `jax.vmap`: fastest for dense networks, and on accelerators."""
    return jax.vmap(program)(*arguments)


def serial(program: Program, *arguments: PyTree) -> PyTree:
    """Run seeds one after another: fastest for convolutions on a CPU; each gives exactly the results of a lone seed."""
    return jax.lax.map(lambda at: program(*at), arguments)


def pmapped(program: Program, devices: Sequence[jax.Device]) -> Program:
    """Map a program over devices by `jax.pmap`.

    State and data are replicated on each device. The program must reduce its results over `AXIS`; those of the first
    device are returned. So arguments and results have no axis over devices; only the device index is mapped, and what
    is given as `split`.

    Args:
        program: `program(*arguments) -> results`, or `program(*arguments, split) -> results` if it is called with
            `split`.
        devices: devices of this process; `AXIS` spans the devices of all processes.

    Returns:
        The program on all devices.
    """
    lift = lambda own, arguments: program(*arguments, *own[1:])
    mapped = jax.pmap(lift, AXIS, in_axes=(0, None), out_axes=None, devices=_only(devices))
    if jax.process_count() == 1:
        # The cache of `jax.pmap` keeps compiled programs forever; that of a `jax.jit` around it ends with the program.
        # Within a function of its own, since `jax.jit` would take over the attribute `lower` of the mapped one.
        inner = mapped
        mapped = jax.jit(lambda own, arguments: inner(own, arguments))
    return Mapped(mapped, len(devices))


def sharded(program: Program, devices: Sequence[jax.Device]) -> Program:
    """Map a program over the devices of one process by `jax.shard_map`; results are bitwise those of `pmapped`."""
    one, whole = PartitionSpec(AXIS), PartitionSpec()
    mesh = Mesh(np.array(devices), (AXIS,))
    lift = lambda own, arguments: program(*arguments, *jax.tree.map(lambda leaf: leaf[0], own[1:]))
    # With `check_vma`, JAX adds the gradients of a parameter over devices before those of its uses: other rounding.
    mapped = jax.jit(jax.shard_map(lift, mesh=mesh, in_specs=(one, whole), out_specs=whole, check_vma=False))
    return Mapped(mapped, len(devices))


@dataclasses.dataclass(frozen=True)
class Mapped:
    """A program on all devices.

    Attributes:
        function: jitted function of what each device has of its own, the device indices and `split`, and of the tuple
            of arguments.
        devices: number of devices of this process.
    """

    function: Any
    devices: int

    def __call__(self, *arguments: PyTree, split: PyTree = ()) -> PyTree:
        """Run the program; entry `i` of the leaves `[devices, ...]` of `split` is the last argument of device `i`."""
        return self.function(self._own(split), arguments)

    def lower(self, *arguments: PyTree, split: PyTree = ()) -> jax.stages.Lowered:
        """Trace and lower the program for arguments, or for their shapes, dtypes and shardings."""
        return self.function.lower(self._own(split), arguments)

    def _own(self, split: PyTree) -> tuple[PyTree, ...]:
        indices = np.arange(self.devices)
        return (indices, split) if jax.tree.leaves(split) else (indices,)


def _only(devices: Sequence[jax.Device]) -> Sequence[jax.Device] | None:
    """Devices as an argument of `pmap`: None if all are used, since several processes must not name them."""
    return None if len(devices) == jax.local_device_count() else devices


def has_convolution(jaxpr: jax.extend.core.ClosedJaxpr) -> bool:
    """Whether a traced program contains a convolution, at any depth."""
    return "conv_general_dilated" in str(jaxpr)


def _checked_dtype(dtype: Any) -> Any:
    """Return `jnp.bfloat16` for any name of it."""
    try:
        chosen: Any = np.dtype(dtype)
    except TypeError:
        chosen = None
    if chosen == jnp.bfloat16:
        return jnp.bfloat16
    got = repr(dtype) if chosen is None else chosen.name
    reason = ", as small gradients are zero in float16" if got == "float16" else ""
    raise TypeError(
        f"`compute_dtype` must be jnp.bfloat16, or None for single precision (got {got}); use "
        f"compute_dtype=jnp.bfloat16{reason}."
    )


@dataclasses.dataclass(frozen=True)
class Layout:
    """Assignment of seeds and devices.

    `seeds` and `transform` change only the speed; results agree up to rounding. `devices` also changes the results,
    since each device draws its own noise, and `compute_dtype` rounds what networks compute.

    Attributes:
        seeds: `batched` or `serial`; None chooses `serial` for convolutions on a CPU, else `batched`.
        transform: `pmapped` or `sharded`.
        devices: number of devices of this process to use, from the first; None uses all.
        compute_dtype: `jnp.bfloat16` lets the layers of networks compute in bfloat16, with activations of two bytes;
            parameters, optimizers, losses, densities and outputs stay in single precision. None computes in the dtype
            of parameters and data.
    """

    seeds: Callable[..., PyTree] | None = None
    transform: Callable[..., Program] = pmapped
    devices: int | None = None
    # Left out of the JSON if None, so that descriptions of earlier runs stay as they were.
    compute_dtype: Any = dataclasses.field(default=None, metadata={"omit_default": True})

    def __post_init__(self) -> None:
        for name, default in (("seeds", "batched"), ("transform", "pmapped")):
            function = getattr(self, name)
            if not callable(function) and not (name == "seeds" and function is None):
                raise TypeError(
                    f"`{name}` must be a function (got {function!r}); use for example {name}=parallel.{default}."
                )
        number = self.devices
        if number is not None and (isinstance(number, bool) or not isinstance(number, numbers.Integral)):
            raise TypeError(f"`devices` must be a whole number or None (got {number!r}); use devices=1.")
        if self.compute_dtype is not None:
            object.__setattr__(self, "compute_dtype", _checked_dtype(self.compute_dtype))

    def local(self) -> Sequence[jax.Device]:
        """Devices of this process that are used.

        Returns:
            The first `devices` local devices.

        Raises:
            ValueError: if `devices` is not between 1 and the number of local devices, or if a run over several
                processes does not use all devices by `pmapped`.
        """
        available = jax.local_devices()
        if self.devices is not None and not 1 <= self.devices <= len(available):
            raise ValueError(
                f"`devices` must be between 1 and the number of local devices (got {self.devices}, and there are "
                f"{len(available)}); None uses all."
            )
        chosen = available[: self.devices]
        if jax.process_count() > 1 and (len(chosen) < len(available) or self.transform is sharded):
            raise ValueError(
                f"several processes must use all local devices by `pmapped` (got {len(chosen)} of {len(available)} "
                f"devices by {getattr(self.transform, '__name__', self.transform)}); keep the defaults of Layout."
            )
        return chosen

    def total(self) -> int:
        """Number of devices over all processes.

        Raises:
            ValueError: under the conditions of `local`.
        """
        return len(self.local()) * jax.process_count()

    def platform(self) -> str:
        """Platform that programs are compiled for, such as `cpu`, `gpu` or `tpu`.

        Raises:
            ValueError: under the conditions of `local`.
        """
        return self.local()[0].platform

    def map_seeds(self, program: Program, *arguments: PyTree) -> PyTree:
        """Run a program for every seed, the leading axis of each argument and result."""
        return (self.seeds or batched)(program, *arguments)

    def spread(self, program: Program) -> Program:
        """Program compiled for all devices.

        Raises:
            ValueError: under the conditions of `local`.
        """
        return self.transform(program, self.local())

    def place(self, tree: PyTree) -> PyTree:
        """Copy of a pytree, replicated on every device of this process.

        It is always a copy, so that neither the caller's arrays nor two leaves share memory with it.
        """

        def copied(leaf: Any) -> Any:
            # By NumPy where it can: `jnp.array(leaf, copy=True)` compiles a program for each shape, and
            # `device_put` shares memory even with `may_alias=False`.
            is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.extended)
            return jnp.array(leaf, copy=True) if is_key else np.array(leaf)

        return jax.device_put(jax.tree.map(copied, tree), self._sharding(PartitionSpec()))

    def placed_specs(self, tree: PyTree) -> PyTree:
        """Shapes, dtypes and shardings that `place` would give a pytree of shapes and dtypes."""
        return self._specs(tree, PartitionSpec())

    def place_split(self, tree: PyTree) -> PyTree:
        """Copy leaves `[devices, ...]` to the devices of this process, entry `i` to device `i`; do not change them."""
        return jax.device_put(tree, self._sharding(PartitionSpec(AXIS)))

    def split_specs(self, tree: PyTree) -> PyTree:
        """Shapes, dtypes and shardings that `place_split` would give a pytree of shapes and dtypes."""
        return self._specs(tree, PartitionSpec(AXIS))

    def positions(self) -> np.ndarray:
        """Positions of the devices of this process along `AXIS`, which spans those of all processes.

        Raises:
            ValueError: under the conditions of `local`.
        """
        devices = self.local()
        return np.arange(len(devices)) if jax.process_count() == 1 else np.array([*map(jax.devices().index, devices)])

    def memory_limit(self) -> int | None:
        """Bytes of the first device that a program may use; None if the device does not report them, as a CPU."""
        return (self.local()[0].memory_stats() or {}).get("bytes_limit")

    def _specs(self, tree: PyTree, spec: PartitionSpec) -> PyTree:
        sharding = self._sharding(spec)
        return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)

    def _sharding(self, spec: PartitionSpec) -> NamedSharding:
        return NamedSharding(Mesh(np.array(self.local()), (AXIS,)), spec)
