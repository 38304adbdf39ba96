"""Cache of measurements: JSON files that hold a measurement with everything it depends on, the machine included."""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any

import jax


def cached(file: pathlib.Path, identity: Mapping[str, Any], compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Read a measurement from the cache if its identity is unchanged, else compute it and write it to the cache.

    Args:
        file: cache file of the measurement.
        identity: everything that the numbers depend on, in JSON's own types; the machine and the versions are added.
        compute: `compute() -> measurement`, in JSON's own types.

    Returns:
        The measurement.
    """
    identity = json.loads(json.dumps({**identity, "machine": machine()}))
    if file.is_file():
        with contextlib.suppress(ValueError, KeyError):
            kept = json.loads(file.read_text())
            if kept["identity"] == identity:
                return kept["cell"]
    cell = json.loads(json.dumps(compute(), default=float))
    jax.clear_caches()  # the programs of a hundred cells would exceed the memory maps that Linux allows a process
    write_whole(file, json.dumps({"identity": identity, "cell": cell}))
    return cell


def digest(value: Any) -> str:
    """Eight hexadecimal digits that depend on a value, the machine and the versions of libraries."""
    whole = json.dumps({"value": value, "machine": machine()}, sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:8]


def table_lengths(*sets: Any) -> list[list[int]]:
    """Number of rows in each table of each dataset, for an identity: a dataset may be downloaded in part at first."""
    return [[len(table) for table in images.tables()] for images in sets]


def machine() -> dict[str, str]:
    """Device, Python version and library versions of this process."""
    device = jax.devices()[0]
    versions = {name: metadata.version(name) for name in ("jax", "flax", "optax", "scikit-learn")}
    # `sched_getaffinity` counts the cores that this process may use; only Linux has it.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = f"{_processor()}, {cores} core{'s' * (cores != 1)}" if device.platform == "cpu" else device.device_kind
    return {"device": f"{len(jax.devices())} x {kind}", "Python": platform.python_version(), **versions}


def write_whole(file: pathlib.Path, text: str) -> None:
    """Write a file by renaming a temporary one, so that no reader finds it half written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".writing")
    scratch.write_text(text)
    scratch.replace(file)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
