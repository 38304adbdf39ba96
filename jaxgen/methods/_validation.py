"""Losses on validation rows: means over rows, and distances of samples from rows."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float, Key, PyTree

__all__ = ["mean_over_rows", "sliced_wasserstein"]

PIECE = 256  # rows evaluated at a time: activations stay in cache, and memory does not grow with the validation rows
DIRECTIONS = 128  # of the sliced Wasserstein distance


def mean_over_rows(
    losses: Callable[[Key[Array, ""], PyTree], Float[Array, " n"]], key: Key[Array, ""], rows: PyTree
) -> Float[Array, ""]:
    """Return the mean loss of rows, which are evaluated in pieces of at most 256.

    Args:
        losses: takes a key and rows `[n, ...]`, and returns the loss of each, `[n]`.
        key: of the noise; each piece has its own.
        rows: pytree of arrays `[n, ...]`.
    """
    n = jax.tree.leaves(rows)[0].shape[0]
    return jnp.mean(_in_pieces(lambda key, index: losses(key, _taken(rows, index)), key, n))


def sliced_wasserstein(
    key: Key[Array, ""], sample: Callable[[Key[Array, ""], int], Array], rows: Float[Array, "n ..."]
) -> Float[Array, ""]:
    """Return the sliced 2-Wasserstein distance of n samples from n rows, over 128 random directions.

    The same key gives the same directions and the same noise, so that distances at several steps of a run can be
    compared.

    Args:
        key: of the directions and the samples.
        sample: takes a key and a number, and returns independent samples `[number, ...]`.
        rows: `[n, ...]`.

    Returns:
        The distance in units of the rows, `[]`.

    References:
        Bonneel, Rabin, Peyre and Pfister, Sliced and Radon Wasserstein barycenters of measures (2015), section 3.
    """
    key_directions, key_samples = jax.random.split(key)
    n = rows.shape[0]
    flat = rows.reshape(n, -1)
    directions = jax.random.normal(key_directions, (flat.shape[1], DIRECTIONS), jnp.float32)
    directions /= jnp.linalg.norm(directions, axis=0, keepdims=True)
    project = lambda points: jnp.dot(points.reshape(len(points), -1), directions, precision="highest")
    samples = _in_pieces(lambda key, index: project(sample(key, len(index))), key_samples, n)
    return jnp.sqrt(jnp.mean((jnp.sort(samples, 0) - jnp.sort(project(rows), 0)) ** 2))


def _in_pieces(values: Callable[[Key[Array, ""], Array], Array], key: Key[Array, ""], n: int) -> Array:
    """Return the values `[n, ...]` of row numbers; the last piece repeats the last row, whose copies are dropped."""
    pieces = -(-n // PIECE)
    size = -(-n // pieces)
    index = jnp.minimum(jnp.arange(pieces * size), n - 1).reshape(pieces, size)
    if pieces == 1:
        return values(key, index[0])
    keys = jax.random.split(key, pieces)
    joined = jax.lax.map(lambda piece: values(*piece), (keys, index))
    return joined.reshape(-1, *joined.shape[2:])[:n]


def _taken(rows: PyTree, index: Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[index], rows)
