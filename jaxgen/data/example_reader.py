"""Validated reads of examples from a source with random access, several at a time by Grain."""

import functools
import math
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgen.data.stream_table import NUM_SAMPLED, StreamColumn
from jaxgen.data.validation import numeric_array
from jaxgen.types import Int, PyTree

__all__ = ["ExampleReader", "import_grain", "is_arrays"]


ALIGNMENT = 64  # bytes; XLA copies arrays that start elsewhere
KEPT = 2**29  # bytes of a memory-mapped file whose pages are kept; of larger ones they are given back after each read


class ExampleReader:
    """Reads examples by number, and checks that all are like the first.

    Args:
        source: random access to the examples; or arrays `[n, ...]`, or a tuple or dict of them.
        transform: function of an example, or None.
        num_threads: threads that read at the same time; 0 reads in the calling thread.

    Raises:
        TypeError: if the first example does not hold numbers.
        ValueError: if the source is empty, its arrays differ in length, or the first example cannot be read.
    """

    def __init__(self, source: Any, transform: Callable[[Any], PyTree] | None, num_threads: int) -> None:
        self._source, self._transform, self._num_threads = source, transform, num_threads
        self._columns = jax.tree.leaves(source) if is_arrays(source) else None
        self._mappings = [mapping for column in self._columns or () if (mapping := _mapping(column)) is not None]
        lengths = [len(source)] if self._columns is None else sorted({len(column) for column in self._columns})
        if len(lengths) > 1:
            raise ValueError(f"arrays of `source` must have the same length (got {lengths}); give [n, ...] for each.")
        (self.length,) = lengths
        if not self.length:
            raise ValueError("`source` must have at least one example (got none); give one with a length above 0.")
        if self.length >= 2**31:
            raise ValueError(
                f"`source` must have fewer than 2**31 examples (got {self.length}); give a finite part of it."
            )
        self._structure: Any
        leaves, self._structure = jax.tree.flatten(self._example(0))
        if not leaves:
            raise ValueError(f"example 0 of the stream must hold arrays (got {self._structure}); return one array.")
        self._specs: list[tuple[tuple[int, ...], np.dtype]] = []  # shape and dtype of each leaf in the source
        self._dtypes: list[np.dtype] = []  # and its dtype on a device, found once as it depends on the thread
        for leaf in leaves:
            stored = numeric_array("example 0 of the stream", np.asarray(leaf)[None])
            self._specs.append((np.shape(leaf), np.asarray(leaf).dtype))
            self._dtypes.append(stored.dtype)

    def table(self) -> PyTree:
        """Return the table of all examples, whose leaves are `StreamColumn`."""
        columns = [
            StreamColumn((self.length, *shape), dtype, leaf, self)
            for leaf, ((shape, _), dtype) in enumerate(zip(self._specs, self._dtypes, strict=True))
        ]
        return jax.tree.unflatten(self._structure, columns)

    def read(self, rows: Int[np.ndarray, "blocks rows"]) -> PyTree:
        """Read examples; blocks are read by Grain's threads.

        Args:
            rows: numbers of the examples.

        Returns:
            Leaves `[blocks, rows, ...]`.

        Raises:
            ValueError: if an example cannot be read, differs from the first in shape or dtype, or is not finite.
        """
        shapes = [(*rows.shape, *shape) for shape, _ in self._specs]
        whole = [_aligned(shape, dtype) for shape, dtype in zip(shapes, self._dtypes, strict=True)]
        grain = import_grain()
        fill = lambda block: self._fill([leaf[block] for leaf in whole], rows[block])
        options = grain.ReadOptions(num_threads=self._num_threads, prefetch_buffer_size=2 * self._num_threads)
        for _ in grain.MapDataset.range(len(rows)).map(fill).to_iter_dataset(options):
            pass  # Grain's threads fill the blocks
        return jax.tree.unflatten(self._structure, whole)

    def sample(self) -> PyTree:
        """Return the examples that identify the source, leaves `[k, ...]`; they are read once."""
        return self._sample

    @functools.cached_property
    def _sample(self) -> PyTree:
        rows = np.unique(np.linspace(0, self.length - 1, NUM_SAMPLED).astype(int))
        return jax.tree.map(lambda leaf: leaf[0], self.read(rows[None]))

    def _fill(self, block: list[np.ndarray], rows: Int[np.ndarray, " rows"]) -> int:
        """Write the leaves of some examples, `[rows, ...]` each, as a device stores them; return their number."""
        if self._columns is not None and self._transform is None:
            for leaf, column in zip(block, self._columns, strict=True):
                if leaf.dtype == column.dtype:
                    np.take(column, rows, axis=0, out=leaf, mode="clip")  # other modes copy once more
                else:
                    leaf[...] = self._converted(column[rows], rows, leaf.dtype)
            for mapping in self._mappings:
                mapping.madvise(mmap.MADV_DONTNEED)
        else:
            for leaf, parts in zip(block, zip(*self._examples(rows), strict=True), strict=True):
                if leaf.dtype == parts[0].dtype:
                    np.stack(parts, out=leaf)
                else:
                    leaf[...] = self._converted(np.stack(parts), rows, leaf.dtype)
        for leaf in block:
            if leaf.dtype.kind == "f" and not _is_finite(leaf):
                bad = rows[~np.isfinite(leaf).reshape(len(rows), -1).all(1)][0]
                raise ValueError(
                    f"all numbers of a stream must be finite (got NaN or infinity in example {bad}); remove or impute "
                    "that example."
                )
        return len(rows)

    def _converted(self, leaf: np.ndarray, rows: Int[np.ndarray, " rows"], dtype: np.dtype) -> np.ndarray:
        return numeric_array(f"examples {rows.min()} to {rows.max()} of the stream", leaf, dtype)

    def _examples(self, rows: Int[np.ndarray, " rows"]) -> Iterator[list[np.ndarray]]:
        """Yield the leaves of each example, of the shapes and dtypes of the first."""
        numbers = rows.tolist()
        for number, example in zip(numbers, self._several(numbers), strict=True):
            leaves, structure = jax.tree.flatten(example)
            arrays = list(map(np.asarray, leaves))
            if structure != self._structure:
                raise ValueError(
                    f"all examples of a stream must have the structure of example 0, {self._structure} (got "
                    f"{structure} in example {number}); give each the same parts."
                )
            for array, (shape, dtype) in zip(arrays, self._specs, strict=True):
                if array.shape != shape or array.dtype != dtype:
                    raise ValueError(
                        f"all examples of a stream must have the shape and dtype of example 0, {dtype}{list(shape)} "
                        f"(got {array.dtype}{list(array.shape)} in example {number}); convert them by `transform`."
                    )
            yield arrays

    def _several(self, numbers: list[int]) -> Iterator[PyTree]:
        together = getattr(self._source, "__getitems__", None)
        if together is not None and self._transform is None:
            try:
                return iter(together(numbers))
            except Exception:  # read again one by one, to name the example that fails
                pass
        return map(self._example, numbers)

    def _example(self, number: int) -> PyTree:
        try:
            if self._columns is not None:
                example = jax.tree.map(lambda column: column[number], self._source)
            else:
                example = self._source[number]
            return example if self._transform is None else self._transform(example)
        except Exception as error:
            cause = (str(error).strip().splitlines() or [""])[0]
            raise ValueError(
                f"example {number} of the stream cannot be read ({type(error).__name__}: {cause}); repair it, or leave "
                "it out of `source`."
            ) from error


def is_arrays(source: Any) -> bool:
    """Return whether a source is an array of NumPy, or a tuple or dict of them, and not a sequence of examples."""
    if isinstance(source, np.ndarray):
        return True
    parts = source.values() if type(source) is dict else source if type(source) is tuple else ()
    return bool(parts) and all(isinstance(part, np.ndarray) for part in parts)


def _mapping(column: np.ndarray) -> mmap.mmap | None:
    """Return the file mapping of an array whose pages are given back after each read; None if there is none.

    Pages that were read count as memory of the process until the system needs it, with 15 pages around each. Those of a
    copy-on-write mapping may hold changes, and are kept.
    """
    base: Any = column
    while isinstance(base, np.ndarray):
        if isinstance(base, np.memmap) and base.mode == "c":
            return None
        base = base.base
    released = isinstance(base, mmap.mmap) and len(base) > KEPT and hasattr(mmap, "MADV_DONTNEED")
    return base if released else None


def import_grain() -> Any:
    """Import Grain.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    try:
        import grain
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "data.Stream needs Grain, which is not installed; install it with python -m pip install 'jaxgen[stream]', "
            "or pass arrays that fit in memory as data.Arrays(x)."
        ) from missing
    return grain


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array without values, which a device of a CPU takes over without a copy if it starts at 64 bytes."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _is_finite(leaf: np.ndarray) -> bool:
    with np.errstate(all="ignore"):  # the sum of finite numbers may overflow: then each is checked
        return bool(np.isfinite(np.sum(leaf)) or np.isfinite(leaf).all())
