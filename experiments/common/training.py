"""Training within an experiment: runs that are evaluated along the way, timed runs, and untrained controls."""

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common.cache import _write
from jaxgen import data
from jaxgen.data.validation import checked, row_specs

__all__ = ["Followed", "followed", "fresh_key", "networks", "segment", "timed", "untrained"]


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


def segment(steps: int, most: int = 20) -> int:
    """Return the shortest segment that divides the steps into `most` at the most."""
    return next(every for every in range(-(-steps // most), steps + 1) if steps % every == 0)


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
        steps: after which to look, multiples of `config.steps_per_call`.
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
    result = jaxgen.train(config, callback=watch, checkpoint_dir=checkpoint_dir)
    whole = done == config.steps // config.steps_per_call
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
    return result.config.method, result.state_of(0), {**seconds, "history": history}


def untrained(config: jaxgen.Config) -> tuple[Any, Any]:
    """Return the method as its data size it, and other networks drawn as it draws them: the control of trained ones."""
    tables = checked(config.data.tables(), config.batch_size)
    method: Any = config.method.resolve(*row_specs(tables))
    rows = jax.tree.map(lambda leaf: data.to_float(jnp.asarray(leaf[: config.batch_size])), tables)
    return method, method.init(jax.random.key(config.seed), *rows)


def fresh_key(seed: int) -> jax.Array:
    """Return a key to measure with what a seed trained: none that the training spends.

    The training's descend from that key, folded with its seeds' numbers from 0 on (`programs.root_keys`).
    """
    return jax.random.fold_in(jax.random.key(seed), 1 << 20)


def _looks(kept: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Read the looks that are kept, by step; a line that was cut off is none."""
    found: dict[int, dict[str, Any]] = {}
    for line in kept.read_text().splitlines() if kept.is_file() else []:
        with contextlib.suppress(ValueError):
            look = json.loads(line)
            found[look["step"]] = look
    return found
