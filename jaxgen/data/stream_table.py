"""Tables of a stream: shapes and dtypes of all examples, which are read from their source block by block."""

import dataclasses
from collections.abc import Iterator
from typing import NoReturn, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.types import Int, PyTree

__all__ = ["Reader", "StreamColumn", "in_memory", "is_stream", "reader_of", "sampled", "streamed"]

NUM_SAMPLED = 64  # examples that identify a source: evenly spaced, with the first and the last


@runtime_checkable
class Reader(Protocol):
    """Random access to the examples of a stream."""

    def read(self, rows: Int[np.ndarray, "blocks rows"]) -> PyTree:
        """Return examples by number, leaves `[blocks, rows, ...]`."""
        ...

    def sample(self) -> PyTree:
        """Return the examples that identify the source, leaves `[k, ...]`."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class StreamColumn:
    """One leaf of a table whose examples are read when they are needed.

    Attributes:
        shape: shape of the whole array, `(n, ...)`.
        dtype: dtype of the examples as a device stores them.
        leaf: number of the leaf in an example.
        reader: reads examples; None for a table of shapes only.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    leaf: int = 0
    reader: Reader | None = None

    @property
    def ndim(self) -> int:
        """Number of axes of the whole array."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NoReturn]:
        return iter(self.__array__())

    def __array__(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a stream must not be read whole, as an array; train on it, or use its source directly.")

    def sample(self) -> np.ndarray:
        """Return this leaf of the examples that identify the source, `[k, ...]`."""
        return jax.tree.leaves(reader_of(self).sample())[self.leaf]


def is_stream(table: PyTree) -> bool:
    """Return whether a table is that of a stream."""
    leaves = jax.tree.leaves(table, is_leaf=lambda node: hasattr(node, "__next__"))
    return any(isinstance(leaf, StreamColumn) for leaf in leaves)


def reader_of(table: PyTree) -> Reader:
    """Return the reader of a stream's table."""
    reader = jax.tree.leaves(table)[0].reader
    assert reader is not None
    return reader


def sampled(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return tables with sampled examples, leaves `[k, ...]`, in place of streams."""
    return tuple(
        jax.tree.map(lambda leaf: leaf.sample() if isinstance(leaf, StreamColumn) else leaf, table) for table in tables
    )


def in_memory(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return tables with None in place of streams, so that the rest can be placed on devices."""
    return tuple(None if is_stream(table) else table for table in tables)


def streamed(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return the tables of streams, with None in place of the others."""
    return tuple(table if is_stream(table) else None for table in tables)
