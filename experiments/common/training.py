"""Training within an experiment: runs that are evaluated along the way, timed runs, and untrained controls."""

import contextlib
import functools
import json
import pathlib
import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax

import jaxgen
from experiments.common.cache import write_whole
from experiments.common.source import source_digest


class EvaluatedRun(NamedTuple):
    """A run that was evaluated along the way."""

    result: jaxgen.Result
    curve: list[dict[str, Any]]  # measures of each evaluation, with its `step`, in the order of the steps
    times: dict[str, float]  # `seconds` of the training alone, unless the run was resumed


def steps_per_call(steps: int, most: int = 20) -> int:
    """Return the fewest steps per call that divide `steps` into at most `most` calls."""
    return next(every for every in range(-(-steps // most), steps + 1) if steps % every == 0)


def configure(
    method: Any, dataset: Any, *, steps: int, batch_size: int, seed: int, calls: int = 20, **settings: Any
) -> jaxgen.Config:
    """Return a config whose steps are divided into at most `calls` compiled calls; `settings` are its other fields."""
    every = steps_per_call(steps, calls)
    return jaxgen.Config(
        method, dataset, steps=steps, batch_size=batch_size, steps_per_call=every, seed=seed, **settings
    )


def train_and_evaluate(
    config: jaxgen.Config,
    steps: Collection[int],
    evaluate: Callable[[jaxgen.Result], dict[str, Any]],
    *,
    checkpoint_dir: pathlib.Path,
    curve_file: pathlib.Path | None = None,
) -> EvaluatedRun:
    """Train and evaluate along the way, or resume a run that was interrupted at any moment.

    Args:
        config: what to train.
        steps: steps after which to evaluate, multiples of `config.steps_per_call`.
        evaluate: takes the result so far and returns measures, in JSON's own types.
        checkpoint_dir: directory of checkpoints. A finished run is not trained again, and only its last step can still
            be evaluated.
        curve_file: file with a line of JSON for each evaluation, which a resumed run continues. By default it and the
            checkpoints depend on the source of `evaluate` and on `steps`, so that a changed measure trains again.

    Returns:
        The result, all evaluations, and the training time.
    """
    if curve_file is None:
        evaluations = functools.partial(tuple, [evaluate, *sorted(steps)])  # not called: its digest has the arguments
        checkpoint_dir = checkpoint_dir.with_name(f"{checkpoint_dir.name}-{source_digest(evaluations)}")
        curve_file = checkpoint_dir.with_suffix(".curve")
    curve = _read(curve_file)
    calls, seconds, begun = 0, 0.0, 0.0

    def extend(step: int, result: jaxgen.Result) -> None:
        if step in steps:
            curve[step] = {"step": step, **evaluate(result)}
            write_whole(curve_file, "".join(json.dumps(curve[done]) + "\n" for done in sorted(curve)))

    def callback(step: int, result: jaxgen.Result) -> None:
        nonlocal calls, seconds, begun
        calls, seconds = calls + 1, seconds + time.perf_counter() - begun
        extend(step, result)
        begun = time.perf_counter()

    with contextlib.suppress(FileNotFoundError):  # nothing is saved yet
        last = jaxgen.load(checkpoint_dir, config=config)
        if last.steps not in curve:  # saved, but interrupted before or during its evaluation
            extend(last.steps, last)
    begun = time.perf_counter()
    result = jaxgen.train(config, callback=callback, checkpoint_dir=checkpoint_dir)
    whole = calls == config.steps // config.steps_per_call
    return EvaluatedRun(result, [curve[step] for step in sorted(curve)], {"seconds": seconds} if whole else {})


def timed(
    config: jaxgen.Config, checkpoint_dir: pathlib.Path, *, train: bool = True
) -> tuple[jaxgen.Result, dict[str, float]]:
    """Train, or resume an interrupted run, and time it; or leave the networks untrained, as a control.

    Args:
        config: what to train.
        checkpoint_dir: directory of checkpoints.
        train: whether to train.

    Returns:
        The result, and the `seconds` of a training that was not resumed.
    """
    if not train:
        return jaxgen.untrained(config), {}
    unused = checkpoint_dir.with_suffix(".curve")
    run = train_and_evaluate(config, (), lambda result: {}, checkpoint_dir=checkpoint_dir, curve_file=unused)
    return run.result, run.times


def first_model(result: jaxgen.Result) -> tuple[Any, Any]:
    """Return the method and the state of the first seed."""
    return result.config.method, result.state_of(0)


def fresh_key(seed: int) -> jax.Array:
    """Return a random key for measurements, which the training with this seed does not use.

    The training's keys descend from `jax.random.key(seed)` folded with the indices of its seeds, from 0
    (`jaxgen.training.compilation.root_keys`).
    """
    return jax.random.fold_in(jax.random.key(seed), 1 << 20)


def _read(curve_file: pathlib.Path) -> dict[int, dict[str, Any]]:
    """Read the evaluations of a run by step; a line that was cut off is skipped."""
    curve: dict[int, dict[str, Any]] = {}
    for line in curve_file.read_text().splitlines() if curve_file.is_file() else []:
        with contextlib.suppress(ValueError):
            evaluation = json.loads(line)
            curve[evaluation["step"]] = evaluation
    return curve
