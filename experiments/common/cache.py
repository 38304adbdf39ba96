"""Cache of measurements: files that hold a cell with everything it depends on, and the machine it was measured on."""

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

__all__ = ["machine", "place", "remembered"]


def remembered(
    file: pathlib.Path, identity: Mapping[str, Any], compute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what was computed before for the same identity, else compute it and keep it: a table goes on cell by cell.

    Args:
        file: where the cell is kept.
        identity: what the numbers depend on, in JSON's own types; the machine and the versions are added.
        compute: makes the cell, in JSON's own types.

    Returns:
        The cell.
    """
    identity = json.loads(json.dumps({**identity, "machine": machine()}))
    if file.is_file():
        with contextlib.suppress(ValueError, KeyError):
            kept = json.loads(file.read_text())
            if kept["identity"] == identity:
                return kept["cell"]
    cell = json.loads(json.dumps(compute(), default=float))
    jax.clear_caches()  # a table of a hundred cells compiles more programs than a process may map into its memory
    _write(file, json.dumps({"identity": identity, "cell": cell}))
    return cell


def place(folder: pathlib.Path, name: str, identity: Mapping[str, Any]) -> pathlib.Path:
    """Return where a cell and its checkpoints are kept: elsewhere for another config, machine or version."""
    whole = json.dumps({**identity, "machine": machine()})
    name = name.replace(".", "_")  # endings are put in the place of what follows a dot
    return folder / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def counted(*sets: Any) -> list[list[int]]:
    """Return how many rows each table of each dataset has, for an identity: a set may be there in part, whole later."""
    return [[len(table) for table in images.tables()] for images in sets]


def machine() -> dict[str, str]:
    """Return on what the numbers were measured."""
    device = jax.devices()[0]
    versions = {name: metadata.version(name) for name in ("jax", "flax", "optax", "scikit-learn")}
    # Not every system tells which of its cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = f"{_processor()}, {cores} core{'s' * (cores != 1)}" if device.platform == "cpu" else device.device_kind
    return {"device": f"{len(jax.devices())} x {kind}", "Python": platform.python_version(), **versions}


def _write(file: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
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
