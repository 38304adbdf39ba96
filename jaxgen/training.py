"""The training loop: seeds batched, rows spread over devices, everything between two looks one compiled program."""

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import parallel
from jaxgen.checkpoint import Checkpoints, History
from jaxgen.config import Config
from jaxgen.data.batches import plan, take
from jaxgen.data.tables import checked, fingerprint, row_specs
from jaxgen.loop import iterate, keys
from jaxgen.progress import Progress
from jaxgen.result import Result, description, state_template, warn_of_unnamed
from jaxgen.types import Array, Key, Method, Metrics, PyTree, State

__all__ = ["train"]

RETRIES = 3  # of a segment in which a number was not finite

Watch = Callable[[int, Result], None]


def train(
    config: Config,
    *,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
    watch: Watch | None = None,
) -> Result:
    """Train the models of all seeds.

    Args:
        config: what is trained, on what, for how long.
        checkpoint_dir: where to save after every `config.every` steps, and from where to go on if a run was cut off:
            on the same devices and versions it ends in the same bytes. SIGTERM then saves and leaves.
        progress: whether to show a bar.
        watch: called as `watch(step, result)` after every `config.every` steps, with the result so far.

    Returns:
        The trained models.

    Raises:
        FloatingPointError: if a number is not finite, and not so again in each of three retries.
        ValueError: if data, batch, devices and method do not fit together, or a checkpoint is not this config's.
        TypeError: if the data are no numbers, or not what the method learns from.
        PermissionError: if `checkpoint_dir` cannot be written, OSError if a save fails.
        FileNotFoundError: if a dataset is not there.
        SystemExit: with code 143 after SIGTERM, where there is a `checkpoint_dir`.
    """
    tables = checked(config.data.tables(), config.batch_size)
    rows = row_specs(tables)
    config = _resolved(config, rows)
    if hasattr(config.method, "check"):
        config.method.check(*tables)
    devices = config.layout.total()
    digest = None if checkpoint_dir is None else fingerprint(tables)
    start, state, roots = 0, None, _roots(config)
    history: History = {}
    with contextlib.ExitStack() as stack:
        checkpoints = None if checkpoint_dir is None else stack.enter_context(Checkpoints(checkpoint_dir))
        if checkpoints:
            written = description(config, rows, digest, devices)
            warn_of_unnamed(written, "so a checkpoint cannot tell if it changes")
            checkpoints.describe(written)
            if start := checkpoints.latest() or 0:
                state, history = checkpoints.restore(start, state_template(config, rows))
        placed = config.layout.place(tables)
        state = config.layout.place(_initial(config, roots, tables) if state is None else state)
        segment = config.layout.spread(_segment(config))
        history = {name: _room(metric, config.steps) for name, metric in history.items()}
        bar = stack.enter_context(Progress(config.steps, shown=progress, done=start))
        asked = stack.enter_context(_termination(checkpoints is not None))
        for done in range(start, config.steps, config.every):
            state, news = _advance(config, segment, state, roots, placed, done)
            reached = done + config.every
            for name, metric in news.items():
                history.setdefault(name, _room(metric[:, :0], config.steps))[:, done:reached] = metric
            bar.advance(news)
            if checkpoints:
                checkpoints.save(reached, state, news)
            if watch:
                seen = {name: metric[:, :reached].copy() for name, metric in history.items()}
                watch(reached, Result(config, jax.tree.map(np.array, state), seen, rows, digest, devices))
            if checkpoints and parallel.any_process(asked.is_set()):
                raise SystemExit(128 + signal.SIGTERM)  # leaving the stack waits for the last save
    return Result(config, parallel.first(state), history, rows, digest, devices)


def _resolved(config: Config, rows: tuple[PyTree, ...]) -> Config:
    """Fill in what the config leaves open, and check what can be checked before anything runs."""
    devices = config.layout.total()
    if config.batch_size % devices:
        fit = max(config.batch_size // devices, 1) * devices
        raise ValueError(
            f"a batch of {config.batch_size} rows does not divide over {devices} devices; use batch_size={fit}, "
            "or fewer devices: layout=Layout(devices=...)."
        )
    config = dataclasses.replace(config, method=config.method.sized(*rows))
    if config.layout.seeds is None:
        layout = dataclasses.replace(config.layout, seeds=_seeds(config, rows))
        config = dataclasses.replace(config, layout=layout)
    return config


def _seeds(config: Config, rows: tuple[PyTree, ...]) -> Callable[..., PyTree]:
    """Choose how seeds run: one after another where there is one, and for convolutions on a CPU; else at once."""
    if config.seeds == 1:
        return parallel.serial
    if jax.default_backend() != "cpu":
        return parallel.batched
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), state_template(config, rows))
    batch = jax.tree.map(lambda row: jax.ShapeDtypeStruct((config.batch_size, *row.shape), row.dtype), rows)
    program = jax.make_jaxpr(config.method.step)(jax.random.key(0), state, *batch)
    return parallel.serial if parallel.convolves(program) else parallel.batched


def _roots(config: Config) -> np.ndarray:
    """Return the data of each seed's key, which programs are given: so they do not change with `config.seed`."""
    return np.asarray(jax.random.key_data(keys(jax.random.key(config.seed), config.seeds)))  # [seeds, words]


def _keys(root: Array) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""]]:
    """Return a seed's keys: for the start, for the choice of rows, for the steps."""
    init, rows, steps = jax.random.split(jax.random.wrap_key_data(root), 3)
    return init, rows, steps


def _rows(config: Config, key: Key[Array, ""], tables: tuple[PyTree, ...], start: Any, length: int) -> list[Array]:
    """Plan the minibatches of each table, `[length, batch]`; equal on all devices."""
    sizes = [jax.tree.leaves(table)[0].shape[0] for table in tables]
    table_keys = keys(key, len(sizes))
    return [
        plan(table_keys[number], size, config.batch_size, start, length, shuffle=config.shuffle)
        for number, size in enumerate(sizes)
    ]


def _initial(config: Config, roots: np.ndarray, tables: tuple[PyTree, ...]) -> State:
    """Return the states of all seeds before the first step."""

    def init(tables: tuple[PyTree, ...], root: Array) -> State:
        key, key_rows, _ = _keys(root)
        first = [rows[0] for rows in _rows(config, key_rows, tables, 0, 1)]
        return config.method.init(key, *map(take, tables, first))

    # One after another: a batched QR factorisation, as orthogonal kernels need, can wait for ever in JAX 0.10 on two
    # cores; and so a seed starts from the same bits however many there are.
    seeds = lambda tables, roots: parallel.serial(lambda root: init(tables, root), roots)
    return jax.jit(seeds)(tables, roots)


def _segment(config: Config) -> Callable[..., tuple[State, Metrics, Array]]:
    """Return the program of one segment, as it runs on each device: `config.every` steps of some seeds."""
    axis = parallel.AXIS
    method: Method = dataclasses.replace(config.method, axis_name=axis)  # type: ignore[type-var]

    def one(tables: tuple[PyTree, ...], start: Array, state: State, root: Array, retry: Array) -> Any:
        _, key_rows, key = _keys(root)
        # Noise is a device's own, and another one at each retry; the choice of rows is neither.
        key = parallel.fold(jax.random.fold_in(key, retry), axis)
        shares = [parallel.slice_of(r, axis) for r in _rows(config, key_rows, tables, start, config.every)]
        step = lambda key, state, *rows: method.step(key, state, *map(take, tables, rows))
        last, metrics = iterate(step, key, state, *shares, start=start)
        good = _finite((last, metrics))
        return jax.tree.map(lambda new, old: jnp.where(good, new, old), last, state), metrics, good

    def program(states: State, roots: Array, retries: Array, tables: tuple[PyTree, ...], start: Array) -> Any:
        run = lambda state, root, retry: one(tables, start, state, root, retry)
        return config.layout.map_seeds(run, states, roots, retries)

    return program


def _finite(tree: PyTree) -> Array:
    """Tell whether every floating-point number of a pytree is finite."""
    # By a sum of nothings, which any of them spoils: XLA takes twice as long to compile a conjunction, and on a CPU the
    # largest of 4,096 numbers or more does not see what is no number.
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.isfinite(jnp.array([jnp.sum(0 * x) for x in leaves])))


def _advance(
    config: Config, segment: Callable[..., Any], state: State, roots: np.ndarray, tables: tuple[PyTree, ...], done: int
) -> tuple[State, History]:
    """Run one segment of all seeds; a seed whose numbers were not finite repeats it alone, with other noise."""
    start = np.int32(done)
    state, metrics, good = segment(state, roots, np.zeros(config.seeds, np.int32), tables, start)
    news = {name: np.array(metric) for name, metric in metrics.items()}
    news["retries"] = np.zeros((config.seeds, config.every), np.int32)
    for seed in np.flatnonzero(~np.asarray(good)):
        at = slice(seed, seed + 1)
        for retry in range(1, RETRIES + 1):
            lone = config.layout.place(jax.tree.map(lambda leaf: leaf[at], state))  # noqa: B023
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
