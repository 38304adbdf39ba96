"""Compiled programs of training: initialization and one segment of steps, cached between runs."""

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
from jaxgen.data.split import num_validation_rows, split_rows
from jaxgen.parallel import Layout
from jaxgen.scan import iterate
from jaxgen.serialization.config_json import to_json, unnamed_fields
from jaxgen.training import early_stopping
from jaxgen.training.config import Config
from jaxgen.types import Array, Key, Method, Metrics, PyTree, State

__all__ = ["Programs", "seed_mapping", "batch_rows", "finite", "programs", "root_keys"]

MAX_CACHED_PROGRAMS = 8  # entries of the cache of compiled program pairs
JOINED = 2**18  # leaves with at most this number of elements are concatenated before they are checked
# The start program runs once and takes longer to compile than to run, so XLA does not optimize it.
UNOPTIMIZED: dict[str, Any] = {"xla_backend_optimization_level": 0}
if jax.__version_info__ < (0, 11):  # XLA of jax 0.12 has no such option, and refuses it
    UNOPTIMIZED["xla_cpu_use_fusion_emitters"] = False


class Programs(NamedTuple):
    """The programs of a training run, compiled on their first call.

    Attributes:
        start: `start(tables, roots, rows) -> states`: initial states, leaves `[seeds, ...]`.
        segment: `segment(states, roots, retries, rows, tables, first) -> (states, metrics, good)`: runs
            `config.steps_per_call` steps from the absolute step `first` on the minibatches that `batch_rows` returned.
            Metrics are `[seeds, steps_per_call]`, and
            `good` `[seeds]` tells whether all numbers of a seed were finite. The given states stay valid, so that the
            caller can go back to them.
        evaluate: what `early_stopping.evaluation` returned; only for methods with `validation_loss`.
    """

    start: Callable[..., State]
    segment: Callable[..., tuple[State, Metrics, Array]]
    evaluate: Callable[..., tuple[early_stopping.SelectedState, Array]]


def programs(config: Config) -> Programs:
    """Return the programs of a resolved config, from the cache if possible.

    Configs that differ only in the root seed, the number of steps and the values of the data share their programs. A
    second run is then neither traced nor compiled. Programs are cached only if everything in the method and the layout
    can be imported by name; imported functions and classes are assumed not to change.

    Args:
        config: a resolved config (`Config.resolved`).

    Returns:
        The programs.
    """
    # The generator is part of the key, since JAX's own caches do not distinguish generators.
    generator = str(jax.random.key_impl(jax.random.key(0)))
    return _kept(_programs, config, generator)


def seed_mapping(config: Config, rows: tuple[PyTree, ...]) -> Callable[..., PyTree]:
    """Choose how seeds are mapped: serially for a single seed and for convolutions on a CPU, else batched.

    Args:
        config: a config with a resolved method.
        rows: the shape and dtype of one row of each table.

    Returns:
        `parallel.serial` or `parallel.batched`.
    """
    if config.num_seeds == 1:
        return parallel.serial
    if config.layout.platform() != "cpu":
        return parallel.batched
    leaves, structure = jax.tree.flatten(rows)
    return parallel.serial if _kept(_convolves, config, structure, *leaves) else parallel.batched


def root_keys(config: Config) -> np.ndarray:
    """Return the key data of each seed, `[seeds, words]`."""
    root = jax.random.key(config.seed)
    # One key at a time, since some generators give other keys under `vmap`.
    return np.stack([jax.random.key_data(jax.random.fold_in(root, seed)) for seed in range(config.num_seeds)])


def batch_rows(
    config: Config, roots: np.ndarray, tables: tuple[PyTree, ...], start: int, length: int
) -> tuple[np.ndarray, ...]:
    """Return the row numbers of consecutive minibatches of each table, equal on all devices and processes.

    Validation rows are left out.

    Args:
        config: what is trained.
        roots: the key data of each seed, `[seeds, words]`.
        tables: the training data.
        start: index of the first step.
        length: number of steps.

    Returns:
        For each table `[seeds, length, batch_size]`.
    """

    def of_table(number: int, table: PyTree) -> np.ndarray:
        n = jax.tree.leaves(table)[0].shape[0]
        rows = None
        if isinstance(config.validation, int | float):
            count = num_validation_rows(config.validation, n)
            rows, n = split_rows(config.seed, number, n, count).training, n - count
        plans = [
            plan([*map(int, root), number], n, config.batch_size, start, length, shuffle=config.shuffle)
            for root in roots
        ]
        return np.stack(plans) if rows is None else rows[np.stack(plans)]

    return tuple(of_table(number, table) for number, table in enumerate(tables))


def _kept(make: Any, config: Config, *others: Any) -> Any:
    """Call a cached function, without its cache if method or layout have fields that cannot be compared."""
    method, layout = config.method, config.layout
    described = [to_json(method), to_json(layout)]
    # The text is part of the key, since 2 == 2.0 == np.float32(2) although they give different programs.
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
    return parallel.has_convolution(jax.make_jaxpr(method.step)(jax.random.key(0), state, *batch))


@functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)
def _programs(method: Method, layout: Layout, words: str, batch_size: int, generator: str) -> Programs:
    axis = parallel.AXIS

    def init(tables: tuple[PyTree, ...], root: Array, rows: tuple[Array, ...]) -> State:
        key, _ = _keys(root)
        return method.init(key, *map(take, tables, rows))

    # Serial: the batched QR factorization of orthogonal initializers can hang in JAX 0.10 on two cores. It also
    # makes the initial bits of a seed independent of the number of seeds.
    start = jax.jit(
        lambda tables, roots, rows: parallel.serial(lambda *one: init(tables, *one), roots, rows),
        compiler_options=UNOPTIMIZED if layout.platform() == "cpu" else None,
    )
    shared: Method = dataclasses.replace(method, axis_name=axis)  # type: ignore[type-var]

    def one(tables: tuple[PyTree, ...], first: Array, state: State, root: Array, retry: Array, rows: Any) -> Any:
        _, key = _keys(root)
        # Noise differs between devices and between retries; the choice of rows does not.
        key = parallel.fold(jax.random.fold_in(key, retry), axis)
        shares = [parallel.local_columns(batches, axis) for batches in rows]
        step = lambda key, state, *rows: shared.step(key, state, *map(take, tables, rows))
        last, metrics = iterate(step, key, state, *shares, start=first)
        return last, metrics, finite((last, metrics))

    def segment(
        states: State, roots: Array, retries: Array, rows: Any, tables: tuple[PyTree, ...], first: Array
    ) -> Any:
        run = lambda state, root, retry, rows: one(tables, first, state, root, retry, rows)
        return layout.map_seeds(run, states, roots, retries, rows)

    return Programs(start, layout.spread(segment), early_stopping.evaluation(method, layout))


def _keys(root: Array) -> tuple[Key[Array, ""], Key[Array, ""]]:
    """Return the keys of a seed: for initialization, and for the steps."""
    init, steps = jax.random.split(jax.random.wrap_key_data(root))
    return init, steps


def finite(tree: PyTree) -> Array:
    """Return whether every floating-point number of a pytree is finite, `[]`."""
    # Sum `0 * x`: `jnp.max` on CPU misses NaN in arrays of 4,096 elements or more. Small leaves are concatenated
    # first, since XLA compiles one reduction much faster than one for each leaf.
    leaves = [x.reshape(-1) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    small = [x for x in leaves if x.size <= JOINED]
    parts = [jnp.concatenate(small)] * bool(small) + [x for x in leaves if x.size > JOINED]
    return jnp.all(jnp.isfinite(jnp.array([jnp.sum(0 * x) for x in parts])))
