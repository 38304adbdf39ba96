"""Trials: what a measurement is kept under, how long it took, and on which machine."""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
import time
from collections.abc import Callable, Collection, Mapping
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from jaxgen import data
from jaxgen.data.tables import checked, row_specs

__all__ = [
    "Followed",
    "followed",
    "fresh_key",
    "machine",
    "networks",
    "place",
    "remembered",
    "segment",
    "timed",
    "untrained",
]


class Followed(NamedTuple):
    """A run that was looked at on its way.

    Attributes:
        result: what was trained.
        curve: what each look found, with its `step`, in the order of the steps.
        seconds: spent in training alone; None where the run had been cut off.
    """

    result: jaxgen.Result
    curve: list[dict[str, Any]]
    seconds: float | None


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


def segment(steps: int, most: int = 20) -> int:
    """Return the shortest segment that divides the steps into `most` at the most."""
    return next(every for every in range(-(-steps // most), steps + 1) if steps % every == 0)


def machine() -> dict[str, str]:
    """Return on what the numbers were measured."""
    device = jax.devices()[0]
    versions = {name: metadata.version(name) for name in ("jax", "flax", "optax", "scikit-learn")}
    # Not every system tells which of its cores a process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kind = f"{_processor()}, {cores} core{'s' * (cores != 1)}" if device.platform == "cpu" else device.device_kind
    return {"device": f"{len(jax.devices())} x {kind}", "Python": platform.python_version(), **versions}


def followed(
    config: jaxgen.Config,
    steps: Collection[int],
    look: Callable[[jaxgen.Result], dict[str, Any]],
    *,
    checkpoint_dir: pathlib.Path,
    kept: pathlib.Path,
) -> Followed:
    """Train and look at the run on its way, or go on where it was cut off, at whatever moment that was.

    Args:
        config: what is trained.
        steps: after which to look, multiples of `config.every`.
        look: makes a line of the curve of the run so far, in JSON's own types.
        checkpoint_dir: where the run is kept meanwhile. One that is over is not trained again: of its steps only the
            last can still be looked at.
        kept: a file with a line of JSON for each look; those of a run that was cut off are taken up.

    Returns:
        The result, every look, and how long the training took.
    """
    curve = _looks(kept)
    done, training, begun = 0, 0.0, 0.0

    def note(step: int, result: jaxgen.Result) -> None:
        if step in steps:
            curve[step] = {"step": step, **look(result)}
            _write(kept, "".join(json.dumps(curve[at]) + "\n" for at in sorted(curve)))

    def watch(step: int, result: jaxgen.Result) -> None:
        nonlocal done, training, begun
        done, training = done + 1, training + time.perf_counter() - begun
        note(step, result)
        begun = time.perf_counter()

    with contextlib.suppress(FileNotFoundError):  # nothing is saved yet
        last = jaxgen.load(checkpoint_dir, config=config)
        if last.steps not in curve:  # saved, but cut off before or during its look
            note(last.steps, last)
    begun = time.perf_counter()
    result = jaxgen.train(config, watch=watch, checkpoint_dir=checkpoint_dir)
    whole = done == config.steps // config.every
    return Followed(result, [curve[step] for step in sorted(curve)], training if whole else None)


def timed(config: jaxgen.Config, checkpoint_dir: pathlib.Path) -> tuple[jaxgen.Result, dict[str, float]]:
    """Train, or go on where a run was cut off.

    Args:
        config: what is trained.
        checkpoint_dir: where it is kept meanwhile.

    Returns:
        The result, and its `seconds` unless the run had been cut off.
    """
    unseen = checkpoint_dir.with_suffix(".curve")
    run = followed(config, (), lambda result: {}, checkpoint_dir=checkpoint_dir, kept=unseen)
    return run.result, {} if run.seconds is None else {"seconds": run.seconds}


def networks(config: jaxgen.Config, checkpoint_dir: pathlib.Path, *, train: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Return networks that are trained, or drawn by the same law, which is their control.

    Args:
        config: what is trained.
        checkpoint_dir: where it is kept meanwhile.
        train: whether it is.

    Returns:
        The method; the state of its one seed; and of the training its `seconds`, unless it had been cut off, and
        `history`, the mean of each metric over each hundredth of the steps.
    """
    if not train:
        return *untrained(config), {}
    result, seconds = timed(config, checkpoint_dir)
    parts = min(100, config.steps)
    history = {name: [float(p.mean()) for p in np.array_split(m[0], parts)] for name, m in result.history.items()}
    return result.config.method, result.of(0), {**seconds, "history": history}


def untrained(config: jaxgen.Config) -> tuple[Any, Any]:
    """Return the method as its data size it, and other networks drawn as it draws them: the control of trained ones."""
    tables = checked(config.data.tables(), config.batch_size)
    method: Any = config.method.sized(*row_specs(tables))
    rows = jax.tree.map(lambda leaf: data.fractions(jnp.asarray(leaf[: config.batch_size])), tables)
    return method, method.init(jax.random.key(config.seed), *rows)


def fresh_key(seed: int) -> jax.Array:
    """Return a key to measure with what a seed trained: none that the training spends.

    The training's descend from that key, folded with its seeds' numbers from 0 on (`programs.root_keys`).
    """
    return jax.random.fold_in(jax.random.key(seed), 1 << 20)


def _write(file: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".writing")
    scratch.write_text(text)
    scratch.replace(file)


def _looks(kept: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Read the looks that are kept, by step; a line that was cut off is none."""
    found: dict[int, dict[str, Any]] = {}
    for line in kept.read_text().splitlines() if kept.is_file() else []:
        with contextlib.suppress(ValueError):
            look = json.loads(line)
            found[look["step"]] = look
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
