"""Training within an experiment: runs that are evaluated along the way, timed runs, and untrained controls."""

import contextlib
import functools
import json
import pathlib
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common.cache import write_whole
from experiments.common.source import source_digest
from jaxgen import data
from jaxgen.data.validation import checked, row_specs

__all__ = ["Followed", "followed", "fresh_key", "networks", "segment", "timed", "untrained"]


class Followed(NamedTuple):
    """A run that was evaluated along the way.

    Attributes:
        result: trained models.
        curve: measures of each evaluation, with its `step`, in the order of the steps.
        seconds: time of the training alone; None if the run was resumed.
    """

    result: jaxgen.Result
    curve: list[dict[str, Any]]
    seconds: float | None


def segment(steps: int, most: int = 20) -> int:
    """Return the fewest steps per call that divide `steps` into at most `most` calls."""
    return next(every for every in range(-(-steps // most), steps + 1) if steps % every == 0)


def followed(
    config: jaxgen.Config,
    steps: Collection[int],
    look: Callable[[jaxgen.Result], dict[str, Any]],
    *,
    checkpoint_dir: pathlib.Path,
    kept: pathlib.Path | None = None,
) -> Followed:
    """Train and evaluate along the way, or resume a run that was interrupted at any moment.

    Args:
        config: what to train.
        steps: steps after which to evaluate, multiples of `config.steps_per_call`.
        look: `look(result) -> measures` evaluates the run so far, in JSON's own types.
        checkpoint_dir: directory of checkpoints. A finished run is not trained again, and only its last step can still
            be evaluated.
        kept: file with a line of JSON for each evaluation, which a resumed run continues. By default it and the
            checkpoints depend on the source of `look` and on `steps`, so that a changed measure trains again.

    Returns:
        The result, all evaluations, and the training time.
    """
    if kept is None:
        evaluations = functools.partial(tuple, [look, *sorted(steps)])  # not called: the digest follows its arguments
        checkpoint_dir = checkpoint_dir.with_name(f"{checkpoint_dir.name}-{source_digest(evaluations)}")
        kept = checkpoint_dir.with_suffix(".curve")
    curve = _evaluations(kept)
    calls, seconds, begun = 0, 0.0, 0.0

    def evaluate(step: int, result: jaxgen.Result) -> None:
        if step in steps:
            curve[step] = {"step": step, **look(result)}
            write_whole(kept, "".join(json.dumps(curve[done]) + "\n" for done in sorted(curve)))

    def callback(step: int, result: jaxgen.Result) -> None:
        nonlocal calls, seconds, begun
        calls, seconds = calls + 1, seconds + time.perf_counter() - begun
        evaluate(step, result)
        begun = time.perf_counter()

    with contextlib.suppress(FileNotFoundError):  # nothing is saved yet
        last = jaxgen.load(checkpoint_dir, config=config)
        if last.steps not in curve:  # saved, but interrupted before or during its evaluation
            evaluate(last.steps, last)
    begun = time.perf_counter()
    result = jaxgen.train(config, callback=callback, checkpoint_dir=checkpoint_dir)
    whole = calls == config.steps // config.steps_per_call
    return Followed(result, [curve[step] for step in sorted(curve)], seconds if whole else None)


def timed(config: jaxgen.Config, checkpoint_dir: pathlib.Path) -> tuple[jaxgen.Result, dict[str, float]]:
    """Train, or resume an interrupted run, and time it.

    Args:
        config: what to train.
        checkpoint_dir: directory of checkpoints.

    Returns:
        The result, and its `seconds` unless the run was resumed.
    """
    unused = checkpoint_dir.with_suffix(".curve")
    run = followed(config, (), lambda result: {}, checkpoint_dir=checkpoint_dir, kept=unused)
    return run.result, {} if run.seconds is None else {"seconds": run.seconds}


def networks(config: jaxgen.Config, checkpoint_dir: pathlib.Path, *, train: bool) -> tuple[Any, Any, dict[str, Any]]:
    """Return trained networks, or networks at their initial values as a control.

    Args:
        config: what to train.
        checkpoint_dir: directory of checkpoints.
        train: whether to train.

    Returns:
        The method; the state of its one seed; and for trained networks `seconds`, unless the run was resumed, and
        `history`, the mean of each metric over each hundredth of the steps.
    """
    if not train:
        return *untrained(config), {}
    result, seconds = timed(config, checkpoint_dir)
    parts = min(100, config.steps)
    history = {name: [float(p.mean()) for p in np.array_split(m[0], parts)] for name, m in result.history.items()}
    return result.config.method, result.state_of(0), {**seconds, "history": history}


def untrained(config: jaxgen.Config) -> tuple[Any, Any]:
    """Return the method with the shapes of its data, and an initial state that no training starts from."""
    tables = checked(config.data.tables(), config.batch_size)
    method: Any = config.method.resolve(*row_specs(tables))
    rows = jax.tree.map(lambda leaf: data.to_float(jnp.asarray(leaf[: config.batch_size])), tables)
    return method, method.init(jax.random.key(config.seed), *rows)


def fresh_key(seed: int) -> jax.Array:
    """Return a random key for measurements, which the training with this seed does not use.

    The training's keys descend from `jax.random.key(seed)` folded with the indices of its seeds, from 0
    (`jaxgen.training.compilation.root_keys`).
    """
    return jax.random.fold_in(jax.random.key(seed), 1 << 20)


def _evaluations(kept: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Read the evaluations of a run by step; a line that was cut off is skipped."""
    curve: dict[int, dict[str, Any]] = {}
    for line in kept.read_text().splitlines() if kept.is_file() else []:
        with contextlib.suppress(ValueError):
            evaluation = json.loads(line)
            curve[evaluation["step"]] = evaluation
    return curve
