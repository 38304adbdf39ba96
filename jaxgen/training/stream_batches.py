"""Minibatches of streams: the examples of this process, their shapes, and the first minibatch."""

import jax
import numpy as np

from jaxgen import parallel
from jaxgen.data.stream_table import is_stream, reader_of
from jaxgen.training.config import Config
from jaxgen.types import Int, PyTree

__all__ = ["batch_specs", "first_minibatch", "own_examples", "validation_examples"]


def own_examples(config: Config, table: PyTree, rows: Int[np.ndarray, "seeds steps batch"]) -> PyTree:
    """Read the share of this process of consecutive minibatches; it reads no other examples.

    Args:
        config: a resolved config.
        table: table of a stream.
        rows: numbers of the examples of all devices.

    Returns:
        NumPy arrays `[devices, seeds, steps, share, ...]`, for the devices of this process.
    """
    seeds, steps, _ = rows.shape
    shares = rows.reshape(seeds, steps, config.layout.total(), -1)[:, :, config.layout.positions()]
    own = np.moveaxis(shares, 2, 0)
    examples = reader_of(table).read(own.reshape(-1, own.shape[-1]))
    return jax.tree.map(lambda leaf: leaf.reshape(*own.shape, *leaf.shape[2:]), examples)


def first_minibatch(
    config: Config, table: PyTree, rows: Int[np.ndarray, "seeds batch"]
) -> tuple[PyTree, Int[np.ndarray, "seeds batch"]]:
    """Read the first minibatch of every seed, of which each process reads its share.

    Args:
        config: a resolved config.
        table: table of a stream, or any other, which is returned unchanged.
        rows: numbers of the examples, or of the rows.

    Returns:
        A table in memory, and the numbers of its rows.
    """
    if not is_stream(table):
        return table, rows
    own = own_examples(config, table, rows[:, None])
    positions = np.argsort(parallel.all_processes(config.layout.positions()).reshape(-1))

    def whole(leaf: np.ndarray) -> np.ndarray:
        devices = leaf.reshape(-1, *leaf.shape[2:])[positions, :, 0]  # [devices, seeds, share, ...]
        return np.moveaxis(devices, 0, 1).reshape(rows.size, *devices.shape[3:])

    return jax.tree.map(whole, parallel.all_processes(own)), np.arange(rows.size, dtype=np.int32).reshape(rows.shape)


def validation_examples(table: PyTree, rows: Int[np.ndarray, " n"] | None) -> PyTree:
    """Read the validation rows of a stream, or all of its examples, into memory.

    Args:
        table: table of a stream.
        rows: numbers of the examples; None takes all.

    Returns:
        NumPy arrays `[n, ...]`.
    """
    rows = np.arange(len(jax.tree.leaves(table)[0])) if rows is None else rows
    return jax.tree.map(lambda leaf: leaf[:, 0], reader_of(table).read(rows[:, None]))


def batch_specs(config: Config, tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return shapes and dtypes of what `Feed` returns for one call."""
    devices = len(config.layout.local())
    lead = (devices, config.num_seeds, config.steps_per_call, config.batch_size // config.layout.total())
    spec = lambda column: jax.ShapeDtypeStruct((*lead, *column.shape[1:]), column.dtype)
    return tuple(jax.tree.map(spec, table) for table in tables if is_stream(table))
