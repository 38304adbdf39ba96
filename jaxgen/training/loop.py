"""The training loop: seeds batched, rows spread over devices, everything between two looks one compiled program."""

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgen import parallel
from jaxgen.data.batches import is_scaled_to_tanh
from jaxgen.data.validation import checked, fingerprint, row_specs
from jaxgen.training.checkpoint import Checkpoints, History
from jaxgen.training.compilation import arrangement, programs, root_keys
from jaxgen.training.config import Config
from jaxgen.training.progress import Progress
from jaxgen.training.result import Result, description, state_template, warn_of_unnamed
from jaxgen.types import PyTree, State

__all__ = ["advance", "resolved", "train"]

RETRIES = 3  # of a segment in which a number was not finite

Callback = Callable[[int, Result], None]


def train(
    config: Config,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    callback: Callback | None = None,
) -> Result:
    """Train the models of all seeds.

    Args:
        config: what is trained, on what, for how long.
        checkpoint_dir: where to save after every `config.steps_per_call` steps, and from where to go on if a run was
            cut off:
            on the same devices and versions it ends in the same bytes. A run that is over goes on where `steps` is
            raised, if all of its config is found by name. SIGTERM then saves and leaves.
        progress: whether to show a bar.
        callback: called as `callback(step, result)` after every `config.steps_per_call` steps, with the result so far.

    Returns:
        The trained models.

    Raises:
        FloatingPointError: if a number is not finite, and not so again in each of three retries.
        ValueError: if data, batch, devices and method do not fit together, or a checkpoint is not this config's,
            or has more steps.
        TypeError: if the data are no numbers, or not what the method learns from.
        PermissionError: if `checkpoint_dir` cannot be written, OSError if a save fails.
        FileNotFoundError: if a dataset is not there.
        SystemExit: with code 143 after SIGTERM, where there is a `checkpoint_dir`.
    """
    tables = checked(config.data.tables(), config.batch_size)
    rows = row_specs(tables)
    config = resolved(config, rows)
    if hasattr(config.method, "check"):
        config.method.check(*tables)
    devices = config.layout.total()
    digest, signed = None if checkpoint_dir is None else fingerprint(tables), is_scaled_to_tanh(tables)
    start, state = 0, None
    compiled, roots = programs(config), root_keys(config)
    history: History = {}
    with contextlib.ExitStack() as stack:
        checkpoints = None if checkpoint_dir is None else stack.enter_context(Checkpoints(checkpoint_dir))
        if checkpoints:
            written = description(config, rows, digest, devices, signed)
            warn_of_unnamed(written, "so a checkpoint cannot tell if it changes")
            checkpoints.write_description(written)
            if start := checkpoints.latest() or 0:
                state, history = checkpoints.restore(start, state_template(config, rows))
        placed = config.layout.place(tables)
        state = config.layout.place(compiled.start(tables, roots) if state is None else state)
        history = {name: _room(metric, config.steps) for name, metric in history.items()}
        bar = stack.enter_context(Progress(config.steps, shown=progress, done=start))
        asked = stack.enter_context(_termination(checkpoints is not None))
        for done in range(start, config.steps, config.steps_per_call):
            state, news = advance(config, compiled.segment, state, roots, placed, done)
            reached = done + config.steps_per_call
            for name, metric in news.items():
                history.setdefault(name, _room(metric[:, :0], config.steps))[:, done:reached] = metric
            bar.advance(news)
            if checkpoints:
                checkpoints.save(reached, state, news)
            if callback:
                seen = {name: metric[:, :reached].copy() for name, metric in history.items()}
                callback(reached, Result(config, jax.tree.map(np.array, state), seen, rows, digest, devices, signed))
            if checkpoints and parallel.any_process(asked.is_set()):
                raise SystemExit(128 + signal.SIGTERM)  # leaving the stack waits for the last save
    return Result(config, parallel.first(state), history, rows, digest, devices, signed)


def resolved(config: Config, rows: tuple[PyTree, ...]) -> Config:
    """Fill in what the config leaves open, and check what can be checked before anything runs."""
    devices = config.layout.total()
    if config.batch_size % devices:
        fit = max(config.batch_size // devices, 1) * devices
        raise ValueError(
            f"a batch of {config.batch_size} rows does not divide over {devices} devices; use batch_size={fit}, "
            "or fewer devices: layout=Layout(devices=...)."
        )
    config = dataclasses.replace(config, method=config.method.resolve(*rows))
    if config.layout.seeds is None:
        layout = dataclasses.replace(config.layout, seeds=arrangement(config, rows))
        config = dataclasses.replace(config, layout=layout)
    return config


def advance(
    config: Config, segment: Callable[..., Any], state: State, roots: np.ndarray, tables: tuple[PyTree, ...], done: int
) -> tuple[State, History]:
    """Run one segment of all seeds; a seed whose numbers were not finite repeats it alone, with other noise.

    The config is what `resolved` returned, the segment that of `programs(config)`, compiled or not. The state
    returned is `config.steps_per_call` steps on, and comes with the metrics of these steps, `[seeds, steps_per_call]`
    each.
    """
    start, before = np.int32(done), state
    state, metrics, good = segment(state, roots, np.zeros(config.num_seeds, np.int32), tables, start)
    news = {name: np.array(metric) for name, metric in metrics.items()}
    news["retries"] = np.zeros((config.num_seeds, config.steps_per_call), np.int32)
    for seed in np.flatnonzero(~np.asarray(good)):
        at = slice(seed, seed + 1)
        for retry in range(1, RETRIES + 1):
            lone = config.layout.place(jax.tree.map(lambda leaf: leaf[at], before))  # noqa: B023
            lone, metrics, good = segment(lone, roots[at], np.full(1, retry, np.int32), tables, start)
            for name, metric in metrics.items():
                news[name][at] = metric
            news["retries"][at] = retry
            if np.asarray(good)[0]:
                break
        else:
            raise FloatingPointError(_complaint(int(seed), done, {name: metric[seed] for name, metric in news.items()}))
        merge = lambda whole, part: whole.at[at].set(part)  # noqa: B023
        state = config.layout.place(jax.tree.map(merge, state, lone))
    return state, news


def _complaint(seed: int, done: int, metrics: dict[str, np.ndarray]) -> str:
    bad = [(int(np.argmin(np.isfinite(m))), name) for name, m in metrics.items() if not np.isfinite(m).all()]
    step, name = min(bad, default=(len(metrics["retries"]) - 1, "state"))
    value = f"{metrics[name][step]}" if bad else "not finite"
    return (
        f"{name} of seed {seed} is {value} at step {done + step}, and was not finite in any of {RETRIES} retries "
        "either; lower the learning rate, or look at the data's scale."
    )


def _room(metric: np.ndarray, steps: int) -> np.ndarray:
    """Return a metric `[seeds, steps so far]` with room for all steps."""
    whole = np.zeros((metric.shape[0], steps), metric.dtype)
    whole[:, : metric.shape[1]] = metric
    return whole


@contextlib.contextmanager
def _termination(heeded: bool) -> Iterator[threading.Event]:
    """Note SIGTERM instead of dying of it, so that the segment under way is saved first."""
    asked = threading.Event()
    if not heeded or threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
