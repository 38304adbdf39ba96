"""Compiled programs of training: initialization and one segment of steps, cached between runs."""

import dataclasses
import functools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import parallel
from jaxgen.data.batches import plan, take, to_float
from jaxgen.data.split import num_validation_rows, split_rows
from jaxgen.nets.compute_dtype import computing_in
from jaxgen.numerics import threefry
from jaxgen.parallel import Layout
from jaxgen.serialization.config_json import to_json, unnamed_fields
from jaxgen.training import early_stopping
from jaxgen.training.config import Config
from jaxgen.training.stream_batches import batch_specs, first_minibatch
from jaxgen.types import Array, Key, Method, Metrics, PyTree, State

__all__ = [
    "Programs",
    "batch_rows",
    "compile_together",
    "finite",
    "init_keys",
    "programs",
    "root_keys",
    "seed_mapping",
    "start_arguments",
    "step_keys",
]

MAX_CACHED_PROGRAMS = 8  # entries of the cache of compiled program pairs
JOINED = 2**18  # leaves with at most this number of elements are concatenated before they are checked
# The start program runs once and takes longer to compile than to run, so XLA does not optimize it. It is one module, as
# the other core compiles the segment meanwhile.
UNOPTIMIZED: dict[str, Any] = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
if jax.__version_info__ < (0, 11):  # XLA of jax 0.12 has no such option, and refuses it
    UNOPTIMIZED["xla_cpu_use_fusion_emitters"] = False


class Programs(NamedTuple):
    """The programs of a training run, compiled on their first call.

    Attributes:
        start: `start(tables, keys, rows) -> states`: initial states, leaves `[seeds, ...]`, from `init_keys`.
        segment: `segment(states, keys, rows, tables, split=batches) -> (states, metrics, good)`: runs
            `config.steps_per_call` steps with the keys that `step_keys` returned, on the minibatches that `batch_rows`
            returned, and for streams on those of `Feed`. In `tables`, streams are None. Metrics are
            `[seeds, steps_per_call]`, and `good` `[seeds]` is True if all numbers of a seed are finite. The given
            states stay valid, so that the caller can go back to them.
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
    generator = str(jax.eval_shape(lambda: jax.random.key(0)).dtype)
    return _kept(_programs, config, generator)


def compile_together(
    config: Config,
    compiled: Programs,
    roots: np.ndarray,
    tables: tuple[PyTree, ...],
    placed: tuple[PyTree, ...],
    arguments: tuple[PyTree, ...],
) -> None:
    """Compile the start program while the segment is traced and compiled; later calls of both find them compiled.

    Args:
        config: a resolved config.
        compiled: its programs.
        roots: the key data of each seed, `[seeds, words]`.
        tables: the training data on the host.
        placed: the training data on the devices, with None for streams.
        arguments: what `start_arguments` returned.
    """
    if jax.process_count() > 1 or not hasattr(compiled.segment, "lower"):
        return  # several processes must compile in the same order
    start = compiled.start.lower(*arguments)  # type: ignore[attr-defined]
    # Only the compilation runs in the thread: JAX's contexts, such as another generator, hold for one thread alone.
    with ThreadPoolExecutor(1) as pool:
        compilation = pool.submit(start.compile)
        keys = step_keys(config, roots, np.zeros(config.num_seeds, int), 0, config.steps_per_call)
        rows = batch_rows(config, roots, placed, 0, config.steps_per_call)
        split = config.layout.split_specs(batch_specs(config, tables))
        compiled.segment.lower(config.layout.placed_specs(start.out_info), keys, rows, placed, split=split).compile()
        compilation.result()


def start_arguments(
    config: Config, roots: np.ndarray, tables: tuple[PyTree, ...]
) -> tuple[tuple[PyTree, ...], np.ndarray, tuple[np.ndarray, ...]]:
    """Return the arguments of the start program: tables, keys, and the rows of the first minibatch.

    Of a stream, the table has the examples of the first minibatch only.
    """
    rows = [batches[:, 0] for batches in batch_rows(config, roots, tables, 0, 1)]
    first = [first_minibatch(config, *pair) for pair in zip(tables, rows, strict=True)]
    return tuple(table for table, _ in first), init_keys(roots), tuple(numbers for _, numbers in first)


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
    if threefry.is_default():
        root = threefry.seeded(int(config.seed))
    else:
        root = np.asarray(jax.random.key_data(jax.random.key(config.seed)))
    return _folded(np.broadcast_to(root, (config.num_seeds, len(root))), np.arange(config.num_seeds))


def init_keys(roots: np.ndarray) -> np.ndarray:
    """Return the key data for the initialization of each seed, from and to `[seeds, words]`."""
    return _split(roots)[:, 0]


def step_keys(config: Config, roots: np.ndarray, retries: np.ndarray, start: int, length: int) -> np.ndarray:
    """Return the key data of consecutive steps, computed on the host: in the program, each takes long to compile.

    Noise differs between devices and between retries; the choice of rows does not.

    Args:
        config: what is trained.
        roots: the key data of each seed, `[seeds, words]`.
        retries: how often each seed has repeated these steps, `[seeds]`.
        start: index of the first step.
        length: number of steps.

    Returns:
        `[seeds, devices, length, words]`.
    """
    each = _folded(_split(roots)[:, 1], retries)
    of_device = _folded(each[:, None], np.arange(config.layout.total()))
    return _folded(of_device[:, :, None], np.arange(start, start + length))


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
        For each table that is not None `[seeds, length, batch_size]`.
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

    return tuple(of_table(number, table) for number, table in enumerate(tables) if table is not None)


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

    def init(tables: tuple[PyTree, ...], key: Array, rows: tuple[Array, ...]) -> State:
        return method.init(jax.random.wrap_key_data(key), *map(take, tables, rows))

    # Serial: the batched QR factorization of orthogonal initializers can hang in JAX 0.10 on two cores. It also
    # makes the initial bits of a seed independent of the number of seeds.
    start = jax.jit(
        lambda tables, keys, rows: parallel.serial(lambda *one: init(tables, *one), keys, rows),
        compiler_options=UNOPTIMIZED if layout.platform() == "cpu" else None,
    )
    shared: Method = dataclasses.replace(method, axis_name=axis)  # type: ignore[type-var]
    take_step = computing_in(layout.compute_dtype)(shared.step)

    def one(tables: tuple[PyTree, ...], state: State, keys: Array, rows: Any, streams: Any) -> Any:
        # Rows of a table in memory, and examples of a stream.
        numbers, examples = iter(rows), iter(streams)
        shares = [next(examples) if table is None else parallel.local_columns(next(numbers), axis) for table in tables]

        def step(state: State, inputs: Any) -> tuple[State, Metrics]:
            key, shares = inputs
            parts = [
                jax.tree.map(to_float, share) if table is None else take(table, share)
                for table, share in zip(tables, shares, strict=True)
            ]
            return take_step(jax.random.wrap_key_data(key), state, *parts)

        last, metrics = jax.lax.scan(step, state, (parallel.local_entry(keys, axis), shares))
        return last, metrics, finite((last, metrics))

    def segment(states: State, keys: Array, rows: Any, tables: tuple[PyTree, ...], streams: Any = ()) -> Any:
        return layout.map_seeds(lambda *seed: one(tables, *seed), states, keys, rows, streams)

    return Programs(start, layout.spread(segment), early_stopping.evaluation(method, layout))


def _split(words: np.ndarray) -> np.ndarray:
    """Split keys in two; from data `[seeds, words]` to `[seeds, 2, words]`."""
    if threefry.is_default():
        return threefry.split(words, 2)
    return _each(jax.random.split, words)


def _folded(words: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Fold numbers into keys; the leading axes of the data `[..., words]` and the numbers are broadcast."""
    if threefry.is_default():
        return threefry.fold_in(words, numbers)
    shape = np.broadcast_shapes(words.shape[:-1], numbers.shape)
    words = np.broadcast_to(words, (*shape, words.shape[-1])).reshape(-1, words.shape[-1])
    folded = _each(jax.random.fold_in, words, np.broadcast_to(numbers, shape).astype(np.uint32).reshape(-1))
    return folded.reshape(*shape, -1)


def _each(derive: Callable[..., Key[Array, "..."]], words: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Derive keys one at a time, since some generators give other keys under `vmap`."""
    one = lambda inputs: jax.random.key_data(derive(jax.random.wrap_key_data(inputs[0]), *inputs[1:]))
    return np.asarray(jax.jit(lambda *inputs: jax.lax.map(one, inputs))(words, *others))


def finite(tree: PyTree) -> Array:
    """Return whether every floating-point number of a pytree is finite, `[]`."""
    # Sum `0 * x`: `jnp.max` on CPU misses NaN in arrays of 4,096 elements or more. Small leaves are concatenated
    # first, since XLA compiles one reduction much faster than one for each leaf.
    leaves = [x.reshape(-1) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    small = [x for x in leaves if x.size <= JOINED]
    parts = [jnp.concatenate(small)] * bool(small) + [x for x in leaves if x.size > JOINED]
    return jnp.all(jnp.isfinite(jnp.array([jnp.sum(0 * x) for x in parts])))
