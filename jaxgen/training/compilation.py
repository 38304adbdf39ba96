"""The compiled programs of training: where all seeds start, and the steps between two looks."""

import dataclasses
import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import parallel
from jaxgen.data.batches import plan, take
from jaxgen.parallel import Layout
from jaxgen.scan import iterate, keys
from jaxgen.serialization.config_json import to_json, unnamed_fields
from jaxgen.training.config import Config
from jaxgen.types import Array, Key, Method, Metrics, PyTree, State

__all__ = ["Programs", "arrangement", "finite", "programs", "root_keys"]

MAX_CACHED_PROGRAMS = 8  # pairs of programs that are not made a second time
JOINED = 2**18  # numbers of a leaf that is small enough to be copied for a shorter program
# The program that draws parameters runs once, and takes longer to compile than to run: it is compiled as it stands.
UNOPTIMIZED = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


class Programs(NamedTuple):
    """What training runs, compiled when it is first called.

    Attributes:
        start: `start(tables, roots) -> states`, before the first step.
        segment: `segment(states, roots, retries, tables, first) -> (states, metrics, good)`: `config.steps_per_call`
            steps of
            some seeds from the absolute step `first` on, metrics `[seeds, steps_per_call]`, and whether all numbers
            of a seed
            were finite, `[seeds]`. The states it was given stay valid, so that a seed can go back to its own.
    """

    start: Callable[..., State]
    segment: Callable[..., tuple[State, Metrics, Array]]


def programs(config: Config) -> Programs:
    """Return the programs of a config whose method is sized and whose layout says how seeds run.

    A config that differs only in its root seed, its steps and the values of its data has the same programs, which are
    then neither traced nor compiled again. They are kept where everything in the method and the layout is found by its
    name, and imported functions and classes are taken to stay what they are.

    Args:
        config: what is trained.

    Returns:
        The programs.
    """
    # JAX's own caches do not tell apart what generates its numbers.
    generator = str(jax.random.key_impl(jax.random.key(0)))
    return _kept(_programs, config, config.steps_per_call, config.shuffle, generator)


def arrangement(config: Config, rows: tuple[PyTree, ...]) -> Callable[..., PyTree]:
    """Choose how seeds run: one after another where there is one, and for convolutions on a CPU; else at once.

    Args:
        config: what is trained; its method is sized.
        rows: the shape and dtype of one row of each table.

    Returns:
        `parallel.serial` or `parallel.batched`.
    """
    if config.num_seeds == 1:
        return parallel.serial
    if jax.default_backend() != "cpu":
        return parallel.batched
    leaves, structure = jax.tree.flatten(rows)
    return parallel.serial if _kept(_convolves, config, structure, *leaves) else parallel.batched


def root_keys(config: Config) -> np.ndarray:
    """Return the data of each seed's key, `[seeds, words]`."""
    root = jax.random.key(config.seed)
    # One by one: of some generators a batch of keys is another one.
    return np.stack([jax.random.key_data(jax.random.fold_in(root, seed)) for seed in range(config.num_seeds)])


def _kept(make: Any, config: Config, *others: Any) -> Any:
    """Return what was made of an equal method and layout before, where they say all of themselves."""
    method, layout = config.method, config.layout
    described = [to_json(method), to_json(layout)]
    # What is equal may yet be another number, as 2 is to 2.0 and to np.float32(2).
    words = json.dumps(described, sort_keys=True) + repr(method)
    if unnamed_fields(described) or '"array"' in words or not _hashes((method, layout)):
        make = make.__wrapped__
    return make(method, layout, words, config.batch_size, *others)


def _hashes(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)
def _convolves(
    method: Method, layout: Layout, words: str, batch_size: int, structure: Any, *leaves: jax.ShapeDtypeStruct
) -> bool:
    sizes = [jax.ShapeDtypeStruct((batch_size, *leaf.shape), leaf.dtype) for leaf in leaves]
    batch = jax.tree.unflatten(structure, sizes)
    state = jax.eval_shape(method.init, jax.random.key(0), *batch)
    return parallel.convolves(jax.make_jaxpr(method.step)(jax.random.key(0), state, *batch))


@functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)
def _programs(
    method: Method, layout: Layout, words: str, batch_size: int, steps_per_call: int, shuffle: bool, generator: str
) -> Programs:
    axis = parallel.AXIS

    def chosen(key: Key[Array, ""], tables: tuple[PyTree, ...], first: Any, length: int) -> list[Array]:
        """Plan the minibatches of each table, `[length, batch]`; equal on all devices."""
        sizes = [jax.tree.leaves(table)[0].shape[0] for table in tables]
        of_table = keys(key, len(sizes))
        return [
            plan(of_table[number], size, batch_size, first, length, shuffle=shuffle)
            for number, size in enumerate(sizes)
        ]

    def init(tables: tuple[PyTree, ...], root: Array) -> State:
        key, key_rows, _ = _keys(root)
        rows = [rows[0] for rows in chosen(key_rows, tables, 0, 1)]
        return method.init(key, *map(take, tables, rows))

    # One after another: a batched QR factorisation, as orthogonal kernels need, can wait for ever in JAX 0.10 on two
    # cores; and so a seed starts from the same bits however many there are.
    start = jax.jit(
        lambda tables, roots: parallel.serial(lambda root: init(tables, root), roots),
        compiler_options=UNOPTIMIZED if jax.default_backend() == "cpu" else None,
    )
    shared: Method = dataclasses.replace(method, axis_name=axis)  # type: ignore[type-var]

    def one(tables: tuple[PyTree, ...], first: Array, state: State, root: Array, retry: Array) -> Any:
        _, key_rows, key = _keys(root)
        # Noise is a device's own, and another one at each retry; the choice of rows is neither.
        key = parallel.fold(jax.random.fold_in(key, retry), axis)
        shares = [parallel.slice_of(rows, axis) for rows in chosen(key_rows, tables, first, steps_per_call)]
        step = lambda key, state, *rows: shared.step(key, state, *map(take, tables, rows))
        last, metrics = iterate(step, key, state, *shares, start=first)
        return last, metrics, finite((last, metrics))

    def segment(states: State, roots: Array, retries: Array, tables: tuple[PyTree, ...], first: Array) -> Any:
        run = lambda state, root, retry: one(tables, first, state, root, retry)
        return layout.map_seeds(run, states, roots, retries)

    return Programs(start, layout.spread(segment))


def _keys(root: Array) -> tuple[Key[Array, ""], Key[Array, ""], Key[Array, ""]]:
    """Return a seed's keys: for the start, for the choice of rows, for the steps."""
    init, rows, steps = jax.random.split(jax.random.wrap_key_data(root), 3)
    return init, rows, steps


def finite(tree: PyTree) -> Array:
    """Return whether every floating-point number of a pytree is finite."""
    # Sum `0 * x`: `jnp.max` on a CPU misses NaN in arrays of 4,096 elements or more. Small leaves are joined first: a
    # reduction for each of them takes XLA longer to compile than many a network does.
    leaves = [x.reshape(-1) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    small = [x for x in leaves if x.size <= JOINED]
    parts = [jnp.concatenate(small)] * bool(small) + [x for x in leaves if x.size > JOINED]
    return jnp.all(jnp.isfinite(jnp.array([jnp.sum(0 * x) for x in parts])))
