"""Child process of `preflight`: compiles one segment of a run for the devices of a target, and reads the numbers."""

import dataclasses
import json
import os
import pathlib
import re
import sys
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies

from jaxgen.accelerators.cost import Cost, cost
from jaxgen.accelerators.report import Report
from jaxgen.accelerators.targets import Target
from jaxgen.data.split import num_validation_rows
from jaxgen.data.stream_table import in_memory, is_stream
from jaxgen.data.validation import row_specs
from jaxgen.parallel import Layout, sharded
from jaxgen.serialization.pickled import from_bytes
from jaxgen.training.compilation import batch_rows, programs, root_keys, step_keys
from jaxgen.training.config import Config
from jaxgen.training.preparation import resolved
from jaxgen.training.result import state_template
from jaxgen.training.stream_batches import batch_specs
from jaxgen.types import PyTree

__all__ = ["Shapes", "TargetLayout", "abstract_segment", "compiled_report", "devices_of", "placed_on"]

GPU_CONFIG = """
gpu_device_info {{ threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: {units} fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: {bandwidth}
  l2_cache_size: {cache} clock_rate_ghz: 1.98 device_memory_size: {memory} shared_memory_per_block_optin: 232448
  cuda_compute_capability {{ major: 9 }} registers_per_core_limit: 65536 registers_per_block_limit: 65536 }}
platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 10 }} device_description_str: "{title}"
"""
USEFUL = 0.25  # warn where a smaller share of the padded matrix products is useful


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Dataset that has only shapes and dtypes.

    Attributes:
        arrays: tables of `jax.ShapeDtypeStruct`, or for a stream of `StreamColumn`.
    """

    arrays: tuple[PyTree, ...]

    def tables(self) -> tuple[PyTree, ...]:
        """The shapes."""
        return self.arrays


@dataclasses.dataclass(frozen=True)
class TargetLayout(Layout):
    """Layout over devices that need not be there.

    Attributes:
        target_devices: the devices to compile for.
    """

    target_devices: tuple[jax.Device, ...] = ()

    def local(self) -> tuple[jax.Device, ...]:
        """The devices to compile for."""
        return self.target_devices

    def total(self) -> int:
        """Number of devices to compile for."""
        return len(self.target_devices)


def devices_of(target: Target) -> tuple[jax.Device, ...]:
    """Return the devices of a target; programs can be compiled for all of them, and run on those of a CPU.

    Args:
        target: what to compile for.

    Returns:
        The devices, `target.devices` in number.

    Raises:
        RuntimeError: if this version of JAX or of its plugin cannot describe the target.
    """
    chip = target.chip
    if chip.platform == "cpu":
        return tuple(jax.devices("cpu")[: target.devices])
    if chip.platform == "tpu":
        name, _, _ = target.name.partition(":")
        sides = (*target.shape, 1)[:3]
        # A slice smaller than a host of 2 x 2 chips needs its own host.
        hosts = {} if all(side % 2 == 0 for side in sides[:2]) else {"chips_per_host_bounds": list(sides)}
        shape = "x".join(map(str, target.shape))
        found = topologies.get_topology_desc(platform="tpu", topology_name=f"{name}:{shape}", **hosts).devices
        # Each chip counts once: a TPU v4 with two cores is one device for programs that run on it.
        return tuple(device for device in found if getattr(device, "core_on_chip", 0) == 0)
    text = GPU_CONFIG.format(
        units=chip.compute_units,
        bandwidth=int(chip.bandwidth or 0),
        cache=chip.on_chip,
        memory=chip.device_memory,
        title=f"NVIDIA {chip.title}",
    )
    machines, cards = target.shape
    found = topologies.get_topology_desc(
        target.name.partition(":")[0], "cuda", topology=f"1x{machines}x{cards}", target_config=text
    ).devices
    return tuple(found)


def placed_on(config: Config, devices: tuple[jax.Device, ...]) -> Config:
    """Return the resolved config of a run on given devices.

    Args:
        config: the config of the run, whose dataset has arrays or `Shapes`; its layout's `devices` are ignored.
        devices: the devices, which need not be there.
    """
    layout = TargetLayout(
        config.layout.seeds, sharded, compute_dtype=config.layout.compute_dtype, target_devices=devices
    )
    return resolved(dataclasses.replace(config, layout=layout), row_specs(config.data.tables()))


def abstract_segment(config: Config) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return the program of one call of a run, and the shapes of its arguments.

    Args:
        config: what `placed_on` returned.

    Returns:
        A jitted function, and its arguments as `jax.ShapeDtypeStruct`: states, keys, row numbers and tables, and as
        keyword `split` the minibatches of streams, if there are any.
    """
    tables = config.data.tables()
    roots = root_keys(config)
    keys = step_keys(config, roots, np.zeros(config.num_seeds, int), 0, config.steps_per_call)
    held = in_memory(tables)
    rows = batch_rows(config, roots, held, 0, config.steps_per_call)
    arguments = (state_template(config, row_specs(tables)), keys, rows, held)
    streams = batch_specs(config, tables)
    split = {"split": config.layout.split_specs(streams)} if jax.tree.leaves(streams) else {}
    return jax.jit(programs(config).segment), config.layout.placed_specs(arguments), split


def compiled_report(config: Config, target: Target, devices: tuple[jax.Device, ...]) -> Report:
    """Compile the program of one call of a run, and report what it needs.

    Args:
        config: the config of the run, with `Shapes` as data, and any layout.
        target: what to compile for.
        devices: its devices.

    Returns:
        The report.
    """
    tables = config.data.tables()
    config = placed_on(config, devices)
    segment, arguments, split = abstract_segment(config)
    state = arguments[0]
    traced = segment.trace(*arguments, **split)
    counted = cost(traced.jaxpr, target.chip.platform, len(devices))
    begun = time.perf_counter()
    try:
        memory: Any = traced.lower().compile().memory_analysis()
        used = None
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        memory, used = None, _used(str(error))
    seconds = time.perf_counter() - begun
    call_bytes = _size(split) // len(devices)  # of streams: the minibatches of one call, split over the devices
    state_bytes, data_bytes = _size(state), _size(in_memory(tables)) + 2 * call_bytes
    # The minibatches of the next call are placed while the program runs.
    argument_bytes = (memory.argument_size_in_bytes if memory else _size(arguments) + call_bytes) + call_bytes
    output_bytes = memory.output_size_in_bytes if memory else state_bytes
    temporary = memory.temp_size_in_bytes if memory else None
    code = memory.generated_code_size_in_bytes if memory else 0
    needed = argument_bytes + output_bytes + (temporary or 0) + code - (memory.alias_size_in_bytes if memory else 0)
    needed = max(needed, used or 0)
    if config.validation is not None:
        # The best state stays in memory; an evaluation takes it, the last one and the next one, and returns two.
        rows_held = _validation_bytes(config.validation, tables)
        needed = max(needed + state_bytes, data_bytes + 5 * state_bytes) + rows_held
    chip, dtype = target.chip, config.layout.compute_dtype
    fits = None if chip.memory is None else memory is not None and needed <= chip.memory
    row_bytes = sum(_size(table) / jax.tree.leaves(table)[0].shape[0] for table in tables)  # as they are stored
    moved = 2 * state_bytes + row_bytes * config.batch_size * config.num_seeds / len(devices)
    step = config.steps_per_call
    bounds = [
        None if chip.flops is None else counted.flops / step / chip.flops,
        None if chip.bandwidth is None else max(moved - 2 * chip.on_chip, 0) / chip.bandwidth,
        None if chip.interconnect is None else counted.sent / step / chip.interconnect,
    ]
    slowest = None if None in bounds else max(bound for bound in bounds if bound is not None)
    return Report(
        target=target.name,
        chip=chip.title,
        devices=len(devices),
        versions=f"jax {jax.__version__}",
        memory=chip.memory,
        argument_bytes=argument_bytes,
        data_bytes=data_bytes,
        state_bytes=state_bytes,
        output_bytes=output_bytes,
        temporary_bytes=temporary,
        code_bytes=code,
        needed_bytes=needed,
        fits=fits,
        flops=counted.flops / step,
        bytes_moved=moved,
        bytes_sent=counted.sent / step,
        compute_seconds=bounds[0],
        memory_seconds=bounds[1],
        interconnect_seconds=bounds[2],
        step_seconds=slowest,
        run_seconds=None if slowest is None else slowest * config.steps,
        collectives={kind: number / step for kind, number in counted.collectives.items()},
        warnings=_warnings(counted, chip.platform),
        remedies=_remedies(config, chip.memory or 0, state_bytes, data_bytes, temporary) if fits is False else (),
        compile_seconds=seconds,
        compute_dtype=dtype if dtype is None else np.dtype(dtype).name,
    )


def _size(tree: PyTree) -> int:
    """Return the bytes of a pytree of arrays or shapes."""
    return sum(int(np.prod(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def _validation_bytes(validation: Any, tables: tuple[PyTree, ...]) -> int:
    """Return the bytes of validation rows that are not part of the tables, such as those read from a stream."""
    if not isinstance(validation, int | float):
        return _size(validation.tables())
    streams = [table for table in tables if is_stream(table)]
    lengths = [len(jax.tree.leaves(table)[0]) for table in streams]
    counts = [num_validation_rows(validation, n) for n in lengths]
    return sum(_size(table) * count // n for table, count, n in zip(streams, counts, lengths, strict=True))


def _used(message: str) -> int | None:
    """Return the bytes that the program would need, from the compiler's error message; None if it has no number."""
    match = re.search(r"Used ([\d.]+)([KMGT]?) of", message)
    scale = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
    return int(float(match[1]) * 1024 ** scale[match[2]]) if match else None


def _warnings(counted: Cost, platform: str) -> tuple[str, ...]:
    texts = []
    if counted.float64:
        texts.append("some numbers have 64 bits, which accelerators compute slowly; use float32, or turn x64 off.")
    if counted.callbacks:
        texts.append("the program calls the host in every step (jax.debug or a callback); take the call out.")
    if counted.unknown:
        texts.append(
            f"{counted.unknown} loop(s) of unknown length count once: the true number of operations is higher."
        )
    if platform == "tpu" and counted.padded and counted.products < USEFUL * counted.padded:
        share = counted.products / counted.padded
        texts.append(
            f"only {share:.0%} of the products are useful, since a TPU rounds widths up to multiples of 128; wider "
            "layers or a larger batch cost little."
        )
    return tuple(texts)


def _remedies(config: Config, memory: int, state: int, data: int, temporary: int | None) -> tuple[str, ...]:
    """Return what would make a run fit, with the sizes that follow if memory grows in proportion."""
    free = memory - data - 2 * state
    texts = []
    if data > memory / 2:
        texts.append(
            f"the dataset alone takes {data / memory:.0%} of a device; use data.Stream and few steps_per_call."
        )
    if config.num_seeds > 1:
        share = max(memory - data, 0) / max(2 * state + (temporary or memory), 1)
        fewer = min(max(int(config.num_seeds * share), 1), config.num_seeds - 1)
        texts.append(f"num_seeds={fewer} at a time, or layout=Layout(seeds=parallel.serial).")
    if config.layout.compute_dtype is None:
        texts.append("layout=Layout(compute_dtype=jnp.bfloat16), if activations of networks take most of the memory.")
    if free > 0:
        fewer = int(config.batch_size * free / max(temporary or 2 * memory, 1))
        devices = config.layout.total()
        if devices <= fewer < config.batch_size:
            texts.append(f"batch_size={max(fewer // devices * devices, devices)} on these devices.")
        if fewer < config.batch_size:
            texts.append(f"about {-(-config.batch_size * devices // max(fewer, 1))} devices with this batch size.")
    return tuple(texts)


def main(directory: pathlib.Path) -> None:
    """Read `request` in a directory, and write `report.json` there: a report, or an error."""
    try:
        config, name = from_bytes((directory / "request").read_bytes())
        target = Target(name)
        answer = compiled_report(config, target, devices_of(target)).to_json()
    except Exception as error:
        if os.environ.get("JAXGEN_PREFLIGHT_TRACEBACK"):
            raise
        answer = {"error": type(error).__name__, "message": str(error)}
    (directory / "report.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
