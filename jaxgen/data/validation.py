"""Validation, row specs and fingerprints of a dataset's tables."""

import hashlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.batches import to_float
from jaxgen.data.stream_table import StreamColumn, is_stream
from jaxgen.types import PyTree

__all__ = [
    "check_array_like",
    "check_dataset",
    "checked",
    "fingerprint",
    "from_frame",
    "numeric_array",
    "row_specs",
    "scored_rows",
]


_NUMERIC_KINDS = "fiub"  # NumPy kinds: floating point, integers, unsigned integers, booleans


def check_dataset(where: str, dataset: Any) -> None:
    """Check that an object is a dataset.

    Args:
        where: name of the argument, for the error message.
        dataset: the object.

    Raises:
        TypeError: if the object has no `tables`, or is a class.
    """
    if isinstance(dataset, type):
        raise TypeError(f"{where} is the class {dataset.__name__}; call it, as {dataset.__name__}().")
    if not hasattr(dataset, "tables"):
        raise TypeError(
            f"{where} must have a method `tables` (got {type(dataset).__name__}); wrap arrays as data.Arrays(x)."
        )


def checked(tables: Any, batch_size: int, *, name: str = "table") -> tuple[PyTree, ...]:
    """Validate tables and convert them to arrays of JAX's default precision.

    Args:
        tables: return value of `Dataset.tables`.
        batch_size: number of rows of a minibatch.
        name: of a table, for error messages.

    Returns:
        The tables, with NumPy arrays as leaves; those of streams are unchanged, as their reader checks the examples.

    Raises:
        TypeError: if `tables` is not a tuple, or an array does not hold numbers.
        ValueError: if a table is empty, ragged, not finite, or smaller than a minibatch.
    """
    if not isinstance(tables, tuple) or not tables:
        raise TypeError(
            f"`tables` must return a tuple of one or more tables (got {type(tables).__name__}); use (x,) for one table."
        )
    return tuple(_checked_table(f"{name} {number}", table, batch_size) for number, table in enumerate(tables))


def row_specs(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return shape and dtype of one row of each table, as a training step receives it."""

    def spec(leaf: np.ndarray | jax.ShapeDtypeStruct | StreamColumn) -> jax.ShapeDtypeStruct:
        dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)  # as the device stores it
        rows = jax.eval_shape(to_float, jax.ShapeDtypeStruct((1, *leaf.shape[1:]), dtype))
        return jax.ShapeDtypeStruct(leaf.shape[1:], rows.dtype)

    return tuple(jax.tree.map(spec, table) for table in tables)


def check_array_like(x: Any) -> None:
    """Check that rows to be scored are an array or a pytree of arrays.

    Args:
        x: the rows, after `from_frame`.

    Raises:
        TypeError: if they are a list, None, or an iterator.
    """
    if x is None or isinstance(x, list | str) or hasattr(x, "__next__"):
        raise TypeError(
            f"rows must be an array [n, ...] or a DataFrame (got {type(x).__name__}); use for example np.asarray(rows)."
        )


def scored_rows(x: Any, row: PyTree) -> PyTree:
    """Validate rows to be scored and convert them to arrays of JAX's default precision.

    Args:
        x: rows `[n, ...]`, an array or a pytree of arrays.
        row: shape and dtype of one row of the first training table. Where it is a pair, rows may be a pair too, such as
            conditions and outcomes, or are compared with its first part.

    Returns:
        The rows; arrays of JAX are unchanged.

    Raises:
        TypeError: if the rows do not hold numbers.
        ValueError: if they have another shape than those of training, or do not fit JAX's default precision.
    """
    paired = isinstance(row, tuple) and len(row) == 2
    if paired and isinstance(x, tuple | list) and len(x) == 2:
        pair = tuple(scored_rows(from_frame(part), spec) for part, spec in zip(x, row, strict=True))
        if len(pair[0]) != len(pair[1]):
            raise ValueError(
                f"both parts of a pair must have the same number of rows (got {len(pair[0])} and {len(pair[1])}); give "
                "[n, ...] for each."
            )
        return pair
    x = jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else numeric_array("`x`", leaf), x)
    first = row[0] if paired else row
    if isinstance(first, jax.ShapeDtypeStruct) and (
        not hasattr(x, "shape") or x.ndim != len(first.shape) + 1 or x.shape[1:] != first.shape
    ):
        got = x.shape if hasattr(x, "shape") else type(x).__name__
        wanted = ", ".join(["n", *map(str, first.shape)])
        pairs = "" if first is row else ", or a pair of both parts"
        raise ValueError(
            f"rows must have the shape [{wanted}]{pairs}, as those of training (got {got}); for one row give x[None]."
        )
    return x


def fingerprint(tables: tuple[PyTree, ...]) -> str:
    """Return the SHA-256 digest of all bytes, shapes and dtypes of the tables; of a stream, of sampled examples."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tables):
        digest.update(f"{leaf.shape} {leaf.dtype}".encode())
        leaf = leaf.sample() if isinstance(leaf, StreamColumn) else leaf
        digest.update(np.ascontiguousarray(leaf).data if leaf.size else b"")
    return digest.hexdigest()


def from_frame(leaf: Any) -> Any:
    """Convert a DataFrame or Series of pandas or polars, neither of which is imported, to an array; keep others.

    Raises:
        TypeError: if a column of a DataFrame does not hold numbers or has missing ones, or the frame is lazy.
    """
    if hasattr(leaf, "collect") and hasattr(leaf, "lazy"):
        raise TypeError(f"tables must hold arrays or DataFrames (got {type(leaf).__name__}); call collect() first.")
    if not hasattr(leaf, "to_numpy"):
        return leaf
    if not hasattr(leaf, "columns"):
        return leaf.to_numpy()
    # By position: pandas allows equal names.
    columns = leaf.get_columns() if hasattr(leaf, "get_columns") else [leaf.iloc[:, i] for i in range(leaf.shape[1])]
    arrays = [column.to_numpy() for column in columns]
    try:
        if any(array.ndim != 1 or array.dtype.kind not in "fiubO" for array in arrays):
            raise TypeError("a column is not numeric")
        # As floats, since columns of bytes are not pixels.
        return np.stack([array if array.dtype.kind == "f" else array.astype(np.float64) for array in arrays], 1)
    except (TypeError, ValueError) as error:
        if not arrays:
            return np.empty(leaf.shape)
        kinds = {str(name): str(column.dtype) for name, column in zip(leaf.columns, columns, strict=True)}
        raise TypeError(
            f"all columns of a DataFrame must hold numbers without missing ones (got {kinds}); drop, encode or "
            "impute the others."
        ) from error


def _checked_table(where: str, table: PyTree, batch_size: int) -> PyTree:
    if is_stream(table):
        _check_batch_size(where, len(jax.tree.leaves(table)[0]), batch_size)
        return table
    leaves = jax.tree.leaves(table, is_leaf=lambda node: hasattr(node, "__next__"))
    if isinstance(table, list | tuple) and leaves and all(isinstance(leaf, int | float) for leaf in leaves):
        raise ValueError(
            f"{where} must hold arrays (got a {type(table).__name__} of Python numbers); give arrays [n, ...], such as "
            "np.asarray(rows)."
        )
    leaves = [numeric_array(where, leaf) for leaf in leaves]
    if not leaves or any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError(f"{where} has no rows; give arrays [n, ...] with the rows along the first axis.")
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) > 1:
        raise ValueError(f"all arrays of {where} must have the same number of rows (got {lengths}).")
    if 0 in lengths or any(leaf.size == 0 for leaf in leaves):
        raise ValueError(f"{where} is empty; give at least one row and one column.")
    _check_batch_size(where, lengths[0], batch_size)
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            bad = np.unique(np.nonzero(~np.isfinite(leaf))[0])
            raise ValueError(
                f"{where} must be finite (got NaN or infinite numbers in {len(bad)} of {len(leaf)} rows, first in row "
                f"{bad[0]}); remove or impute those rows."
            )
    return jax.tree.unflatten(jax.tree.structure(table), leaves)


def _check_batch_size(where: str, length: int, batch_size: int) -> None:
    if batch_size > length:
        raise ValueError(f"`batch_size` must be at most {length}, the rows of {where} (got {batch_size}).")


def numeric_array(where: str, leaf: Any, dtype: np.dtype | None = None) -> np.ndarray:
    """Convert rows to an array of a dtype that JAX stores.

    Args:
        where: name of the rows, for error messages.
        leaf: array, or number.
        dtype: the dtype of the result; None takes that of the array in JAX's default precision.

    Returns:
        The array.

    Raises:
        TypeError: if the rows are not numbers.
        ValueError: if the dtype cannot represent them.
    """
    if not hasattr(leaf, "__array__") and not isinstance(leaf, int | float | complex | str | bytes):
        raise TypeError(
            f"{where} must hold arrays (got {type(leaf).__name__}); put the batches of a loader or generator into one "
            "array, as np.concatenate(list(batches))."
        )
    try:
        array = np.asarray(leaf)
    except ValueError:  # rows of unequal lengths
        array = np.empty(0, object)
    if jnp.issubdtype(array.dtype, jnp.floating) and array.dtype.kind != "f":
        array = array.astype(np.float32)  # bfloat16 and 8-bit numbers, which NumPy does not know
    if array.dtype.kind not in _NUMERIC_KINDS:
        raise TypeError(
            f"{where} must hold numbers (got dtype {array.dtype}); convert it to float32, or to bytes for images."
        )
    dtype = jax.dtypes.canonicalize_dtype(array.dtype) if dtype is None else dtype
    if dtype != array.dtype:
        _check_representable(where, array, dtype)
    return array.astype(dtype, copy=False)


def _check_representable(where: str, array: np.ndarray, dtype: np.dtype) -> None:
    """Raise ValueError if conversion to JAX's default precision would change numbers by more than rounding."""
    if array.dtype.kind in "iu":
        limits = np.iinfo(dtype)
        changes = array.size > 0 and not limits.min <= array.min() <= array.max() <= limits.max
        extent = f"{array.min()} to {array.max()}" if changes else ""
    else:
        size = np.abs(np.where(np.isfinite(array), array, 0)).reshape(
            array.shape[0] if array.ndim else 1, math.prod(array.shape[1:])
        )
        largest = size.max(0, initial=0)  # of each column
        info = np.finfo(dtype)
        wrong = largest[(largest > info.max) | ((largest > 0) & (largest < info.tiny))]
        changes = wrong.size > 0
        extent = f"a column with a largest absolute value of {wrong[0]:g}" if changes else ""
    if changes:
        raise ValueError(
            f"{where} must fit {dtype} (got {extent}); rescale it, or set jax.config.update('jax_enable_x64', True)."
        )
