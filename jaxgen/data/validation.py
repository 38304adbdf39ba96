"""Checks that a dataset's tables can be trained on, and what identifies them."""

import hashlib
from typing import Any

import jax
import numpy as np

from jaxgen.data.batches import to_float
from jaxgen.types import PyTree

__all__ = ["check_dataset", "checked", "fingerprint", "row_specs"]


_KINDS = "fiub"  # floating point, integers, unsigned integers, booleans


def check_dataset(where: str, dataset: Any) -> None:
    """Check that this is something with tables.

    Args:
        where: what it is called.
        dataset: what was given.

    Raises:
        TypeError: if it has none, or is a class.
    """
    if isinstance(dataset, type):
        raise TypeError(f"{where} is the class {dataset.__name__}; call it, as {dataset.__name__}().")
    if not hasattr(dataset, "tables"):
        raise TypeError(f"{where} is {type(dataset).__name__}, which has no tables; wrap arrays as data.Arrays(x).")


def checked(tables: Any, batch_size: int) -> tuple[PyTree, ...]:
    """Return tables ready for the device, or say in one sentence why they cannot be trained on.

    Args:
        tables: what `Dataset.tables` returned.
        batch_size: rows of a minibatch.

    Returns:
        The tables, floating-point leaves in JAX's default precision.

    Raises:
        TypeError: if an array holds something other than numbers.
        ValueError: if a table is empty, ragged, not finite, or smaller than a minibatch.
    """
    if not isinstance(tables, tuple) or not tables:
        raise TypeError(f"the data's tables came as {type(tables).__name__}; return a tuple of one table or more.")
    return tuple(_checked_table(f"table {number}", table, batch_size) for number, table in enumerate(tables))


def row_specs(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return shape and dtype of one row of each table, as a step sees it."""

    def spec(leaf: np.ndarray) -> jax.ShapeDtypeStruct:
        rows = jax.eval_shape(to_float, jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype))
        return jax.ShapeDtypeStruct(leaf.shape[1:], rows.dtype)

    return tuple(jax.tree.map(spec, table) for table in tables)


def fingerprint(tables: tuple[PyTree, ...]) -> str:
    """Return the SHA-256 of every byte of the tables, with their shapes and dtypes."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tables):
        digest.update(f"{leaf.shape} {leaf.dtype}".encode())
        digest.update(np.ascontiguousarray(leaf).data if leaf.size else b"")
    return digest.hexdigest()


def _checked_table(where: str, table: PyTree, batch_size: int) -> PyTree:
    leaves = [_numbers(where, leaf) for leaf in jax.tree.leaves(table)]
    if not leaves or any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError(f"{where} has no rows; give arrays [n, ...] with the rows along the first axis.")
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) > 1:
        raise ValueError(f"the columns of {where} have {lengths} rows; give all of them the same number.")
    if 0 in lengths or any(leaf.size == 0 for leaf in leaves):
        raise ValueError(f"{where} is empty; give at least one row.")
    if batch_size > lengths[0]:
        raise ValueError(f"a batch of {batch_size} is larger than {where} of {lengths[0]} rows; choose a smaller one.")
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            bad = np.unique(np.nonzero(~np.isfinite(leaf))[0])
            raise ValueError(
                f"{where} holds NaN or infinite numbers in {len(bad)} of {len(leaf)} rows, the first of them row "
                f"{bad[0]}; remove or fill those rows."
            )
    return jax.tree.unflatten(jax.tree.structure(table), leaves)


def _numbers(where: str, leaf: Any) -> np.ndarray:
    try:
        array = np.asarray(leaf)
    except ValueError:  # rows of unequal lengths
        array = np.empty(0, object)
    if array.dtype.kind not in _KINDS:
        raise TypeError(
            f"{where} holds {array.dtype} where numbers are needed; convert it to floats, integers or bytes."
        )
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
