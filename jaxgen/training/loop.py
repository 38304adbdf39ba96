"""Training loop: all seeds together, minibatches split over devices, many steps per compiled call."""

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import numpy as np

from jaxgen import parallel
from jaxgen.data.batches import is_scaled_to_tanh
from jaxgen.data.stream_table import in_memory, is_stream, sampled
from jaxgen.data.validation import fingerprint
from jaxgen.forking import check_not_forked
from jaxgen.serialization.atomic import absolute_path
from jaxgen.training.advice import patience_advice, scale_advice
from jaxgen.training.checkpoint import Checkpoints, History
from jaxgen.training.compilation import (
    Programs,
    batch_rows,
    compile_together,
    programs,
    root_keys,
    start_arguments,
    step_keys,
)
from jaxgen.training.config import Config, MethodT
from jaxgen.training.early_stopping import SelectedState, Validation, best_steps
from jaxgen.training.feed import Feed
from jaxgen.training.history import HistoryBuffer
from jaxgen.training.preparation import Prepared, check_memory, prepared
from jaxgen.training.progress import Progress
from jaxgen.training.result import Result, checkpoint_template, description, warn_of_unnamed
from jaxgen.training.stored_state import copied
from jaxgen.training.stream_batches import validation_examples
from jaxgen.types import PyTree, State

__all__ = ["run_segment", "train", "untrained"]

RETRIES = 3  # how often a segment with a non-finite number is repeated with other noise

Callback: TypeAlias = Callable[[int, Result[MethodT]], None]


def train(
    config: Config[MethodT],
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    callback: Callback[MethodT] | None = None,
) -> Result[MethodT]:
    """Train one model per seed.

    With a `checkpoint_dir`, an interrupted run resumes from its last checkpoint. On the same devices and library
    versions it ends with the same bytes as an uninterrupted run. A finished run can be continued with a larger `steps`
    if every field of its config can be imported by name. SIGTERM saves the current segment and exits.

    With `config.validation`, the result holds the state of each seed at its least validation loss, and the run may end
    before `config.steps` if there is a `config.patience`.

    Args:
        config: method, data, number of steps and seeds.
        checkpoint_dir: directory for a checkpoint after every `config.steps_per_call` steps, and to resume from.
        progress: whether to show a progress bar.
        callback: called as `callback(step, result)` after every `config.steps_per_call` steps, with the result so far.

    Returns:
        The trained models.

    Raises:
        FloatingPointError: if a number is not finite, and again not in each of three retries, or if no validation loss
            of a seed is finite.
        ValueError: if data, batch size, devices, validation rows and method do not fit together, if tables do not fit
            in the memory of a device, if an example of a stream is bad, or if the checkpoint belongs to another config
            or has more steps.
        TypeError: if the data are not numeric, or not of the kind that the method trains on, or if the method has no
            `validation_loss` and there are validation rows.
        PermissionError: if `checkpoint_dir` cannot be written; OSError if a save fails, such as on a full disk.
        BlockingIOError: if another process trains in `checkpoint_dir`.
        FileNotFoundError: if a dataset is missing.
        RuntimeError: if this process was forked from one that has used JAX.
        SystemExit: with code 143 after SIGTERM, if there is a `checkpoint_dir`.

    Warns:
        UserWarning: if the columns of a table have very different scales and the method uses them as given, or if there
            is a `config.patience` and a learning rate that falls to zero over the run.
    """
    check_not_forked("train")
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function of step and result (got {callback!r}); define one, or None.")
    if checkpoint_dir is not None:
        checkpoint_dir = absolute_path(checkpoint_dir)
    run = prepared(config)
    config, tables, rows, _ = run
    if advice := patience_advice(config):
        warnings.warn(advice, stacklevel=2)
    if advice := scale_advice(config.method, sampled(tables)):
        warnings.warn(f"Columns have very different scales; {advice}.", stacklevel=2)
    devices, signed = config.layout.total(), is_scaled_to_tanh(tables)
    digest = None if checkpoint_dir is None else fingerprint(run.all_tables)
    start, state = 0, None
    compiled, roots = programs(config), root_keys(config)
    history: History = {}
    with contextlib.ExitStack() as stack:
        checkpoints = (
            None if checkpoint_dir is None else stack.enter_context(Checkpoints(checkpoint_dir, exclusive=True))
        )
        if checkpoints:
            written = description(config, rows, digest, devices, signed)
            warn_of_unnamed(written, "so a checkpoint cannot detect a change of it")
            checkpoints.write_description(written)
            if start := checkpoints.latest() or 0:
                state, history = checkpoints.restore(start, checkpoint_template(config, rows))
        check_memory(config, tables)
        placed = config.layout.place(in_memory(tables))
        feed = stack.enter_context(Feed(config, roots, tables, start))
        validation = _validation(run, compiled, roots, placed)
        if state is None:
            arguments = start_arguments(config, roots, tables)
            compile_together(config, compiled, roots, tables, placed, arguments)
            state = compiled.start(*arguments)
            state = state if validation is None else SelectedState(state, state)
        state = config.layout.place(state)
        record = HistoryBuffer(
            history, num_seeds=config.num_seeds, done=start, steps=config.steps, steps_per_call=config.steps_per_call
        )
        bar = stack.enter_context(Progress(config.steps, shown=progress, done=start))
        terminated = stack.enter_context(_termination(checkpoints is not None))
        while record.done < config.steps:
            stopped = None if validation is None else validation.is_stopped(record.losses)
            if stopped is not None and stopped.all():
                bar.stopped_early(best_steps(record.losses, config.steps_per_call))
                break
            before = state if validation is None else state.last
            after, news = run_segment(
                config, compiled.segment, before, roots, placed, record.done, stopped, feed(record.done)
            )
            if validation is None:
                state = after
            else:
                state, news = validation(state, after, news, record.losses)
            record.append(news)
            if validation is not None:
                validation.check(record.losses, ended=record.done == config.steps)
            bar.advance(news, feed.stalled())
            if checkpoints:
                checkpoints.save(record.done, state, news)
            if callback:
                so_far = copied(state if validation is None else state.best)
                callback(record.done, Result(config, so_far, record.so_far(), rows, digest, devices, signed))
            if checkpoints and parallel.any_process(terminated.is_set()):
                raise SystemExit(128 + signal.SIGTERM)  # leaving the stack waits for the last save
    chosen = parallel.first(state if validation is None else state.best)
    return Result(config, chosen, record.whole(), rows, digest, devices, signed)


def untrained(config: Config[MethodT]) -> Result[MethodT]:
    """Return a result of zero steps, with the initial parameters that `train` starts from.

    Args:
        config: method, data and seeds; its steps are not run.

    Returns:
        A `Result` with `steps == 0` and an empty history, for example as a baseline for trained models.

    Raises:
        ValueError: if data, batch size, devices and method do not fit together.
        TypeError: if the data are not numeric, or not of the kind that the method trains on.
        FileNotFoundError: if a dataset is missing.
        RuntimeError: if this process was forked from one that has used JAX.
    """
    check_not_forked("untrained")
    config, tables, rows, _ = prepared(config)
    state = programs(config).start(*start_arguments(config, root_keys(config), tables))
    return Result(config, state, {}, rows, num_devices=config.layout.total(), signed_bytes=is_scaled_to_tanh(tables))


def run_segment(
    config: Config,
    segment: Callable[..., Any],
    state: State,
    roots: np.ndarray,
    tables: tuple[PyTree, ...],
    done: int,
    stopped: np.ndarray | None = None,
    streams: tuple[PyTree, ...] = (),
) -> tuple[State, History]:
    """Run one segment of all seeds; a seed with a non-finite number repeats it alone, with other noise.

    Args:
        config: a config that `resolved` returned.
        segment: the segment of `programs(config)`, compiled or not.
        state: the state of all seeds after `done` steps.
        roots: the data of each seed's key, `[seeds, words]`.
        tables: the training data, placed on the devices, with None for streams.
        done: number of steps done before.
        stopped: seeds `[seeds]` whose new state and metrics are not used, so that they need not be finite.
        streams: the minibatches that `Feed` returned; empty if there is no stream.

    Returns:
        The state after `config.steps_per_call` more steps, and the metrics of these steps,
        `[seeds, steps_per_call]` each.

    Raises:
        FloatingPointError: if all retries of a seed have a non-finite number too.
    """
    before = state
    rows = batch_rows(config, roots, tables, done, config.steps_per_call)
    split = lambda batches: {"split": batches} if batches else {}
    keys = lambda roots, retry: step_keys(config, roots, np.full(len(roots), retry), done, config.steps_per_call)
    state, metrics, good = segment(state, keys(roots, 0), rows, tables, **split(streams))
    news = {name: np.array(metric) for name, metric in metrics.items()}
    news["retries"] = np.zeros((config.num_seeds, config.steps_per_call), np.int32)
    unused = np.zeros(config.num_seeds, bool) if stopped is None else stopped
    for seed in np.flatnonzero(~np.asarray(good) & ~unused):
        at = slice(seed, seed + 1)
        for retry in range(1, RETRIES + 1):
            lone = config.layout.place(jax.tree.map(lambda leaf: leaf[at], before))  # noqa: B023
            own = jax.tree.map(lambda batches: batches[at], rows)  # noqa: B023
            examples = split(config.layout.place_split(jax.tree.map(lambda leaf: leaf[:, at], streams)))  # noqa: B023
            lone, metrics, good = segment(lone, keys(roots[at], retry), own, tables, **examples)
            for name, metric in metrics.items():
                news[name][at] = metric
            news["retries"][at] = retry
            if np.asarray(good)[0]:
                break
        else:
            raise FloatingPointError(_diverged(int(seed), done, {name: metric[seed] for name, metric in news.items()}))
        merge = lambda whole, part: whole.at[at].set(part)  # noqa: B023
        state = config.layout.place(jax.tree.map(merge, state, lone))
    return state, news


def _validation(run: Prepared, compiled: Programs, roots: np.ndarray, placed: tuple[PyTree, ...]) -> Validation | None:
    if run.validation is None:
        return None
    config, (tables, rows) = run.config, run.validation
    held = list(placed if tables is run.tables else config.layout.place(in_memory(tables)))
    numbers = list(rows)
    for number, table in enumerate(tables):
        if is_stream(table):  # its validation rows are read once, and stay in memory
            held[number] = config.layout.place(validation_examples(table, rows[number]))
            numbers[number] = None
    return Validation(compiled.evaluate, roots, tuple(held), tuple(numbers), config.patience, config.steps_per_call)


def _diverged(seed: int, done: int, metrics: dict[str, np.ndarray]) -> str:
    """Return the error message that names the first non-finite number, its step and its seed."""
    bad = [(int(np.argmin(np.isfinite(m))), name) for name, m in metrics.items() if not np.isfinite(m).all()]
    step, name = min(bad, default=(len(metrics["retries"]) - 1, "state"))
    value = f"{metrics[name][step]}" if bad else "not finite"
    return (
        f"all numbers must be finite ({name} of seed {seed} is {value} at step {done + step}, also after {RETRIES} "
        "retries); lower the learning rate, or rescale the data."
    )


@contextlib.contextmanager
def _termination(handled: bool) -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets, so that the current segment is saved before the process exits."""
    received = threading.Event()
    if not handled or threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGTERM, lambda *_: received.set())
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
