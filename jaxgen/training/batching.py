"""Scores and samples in pieces of equal size, with one compiled program and bounded memory."""

import numbers
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxgen.types import Array, Key, PyTree

__all__ = ["sample_in_pieces", "score_in_pieces"]


def score_in_pieces(score: Callable[[PyTree], PyTree], x: PyTree, batch_size: int) -> PyTree:
    """Apply a function of rows to at most `batch_size` rows at a time.

    Args:
        score: takes leaves `[batch_size, ...]` and returns leaves `[seeds, batch_size, ...]`; rows must not interact.
        x: rows, leaves `[n, ...]`.
        batch_size: rows of a piece; the last piece is padded with zeros, whose results are dropped.

    Returns:
        NumPy arrays `[seeds, n, ...]`.

    Raises:
        ValueError: if `batch_size` is below 1, or the leaves differ in their number of rows.
    """
    lengths = sorted({len(leaf) for leaf in jax.tree.leaves(x)})
    if len(lengths) != 1:
        raise ValueError(
            f"all arrays of `x` must have the same number of rows (got {lengths}); give [n, ...] for each."
        )

    def padded(leaf: Any, start: int, stop: int) -> np.ndarray:
        piece = np.asarray(leaf[start:stop])
        return np.concatenate([piece, np.zeros((batch_size - len(piece), *piece.shape[1:]), piece.dtype)])

    pieces = [
        score(jax.tree.map(lambda leaf: padded(leaf, start, stop), x))  # noqa: B023
        for start, stop in _bounds(lengths[0], batch_size)
    ]
    return _joined(pieces, lengths[0])


def sample_in_pieces(
    sample: Callable[[Key[Array, ""], int], PyTree], key: Key[Array, ""], n: int, batch_size: int
) -> PyTree:
    """Draw samples, at most `batch_size` at a time.

    Args:
        sample: takes a key and a number, and returns leaves `[seeds, number, ...]`.
        key: piece `j` is drawn with `fold_in(key, j)`.
        n: number of samples.
        batch_size: samples of a piece; the last piece is drawn whole, and the surplus is dropped.

    Returns:
        NumPy arrays `[seeds, n, ...]`.

    Raises:
        ValueError: if `batch_size` is below 1.
    """
    pieces = [sample(jax.random.fold_in(key, j), batch_size) for j, _ in enumerate(_bounds(n, batch_size))]
    return _joined(pieces, n)


def _bounds(n: int, batch_size: int) -> Iterator[tuple[int, int]]:
    """Return start and stop of each piece; one empty piece if `n` is 0, for its shapes."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(
            f"`batch_size` must be a whole number of at least 1 (got {batch_size!r}); try batch_size=1024, or None."
        )
    return ((start, min(start + batch_size, n)) for start in range(0, max(n, 1), batch_size))


def _joined(pieces: list[PyTree], n: int) -> PyTree:
    return jax.tree.map(lambda *leaves: np.concatenate([np.asarray(leaf) for leaf in leaves], 1)[:, :n], *pieces)
