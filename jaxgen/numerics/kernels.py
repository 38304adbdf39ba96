"""Pairwise distances and kernel matrices, computed in chunks of rows for MMD losses and two-sample tests."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxgen.types import Array, Float, Int, PyTree

__all__ = [
    "MAX_DIRECT_DIMENSIONS",
    "DEFAULT_CHUNK",
    "Kernel",
    "map_row_chunks",
    "sample_sizes",
    "gaussian",
    "gaussian_sum",
    "self_pair_mask",
    "product",
    "products",
    "squared_distances",
]

# A kernel as a function of squared distances.
Kernel = Callable[[Array], Array]

# Default number of rows per chunk: enough to keep a processor busy, few enough for its cache.
DEFAULT_CHUNK = 256
# Up to this many dimensions the differences are formed directly; beyond, a matrix product is faster.
MAX_DIRECT_DIMENSIONS = 8
# An accelerator's default precision could change which row is nearest, and would move points of a convex hull.
product = functools.partial(jnp.matmul, precision="highest")


def squared_distances(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Squared Euclidean distances between all rows of two matrices.

    The rounding error is relative to the size of the coordinates, not of the distances, so center the rows first.

    Args:
        x: rows `[n, d]`.
        y: rows `[m, d]`.

    Returns:
        Squared distances `[n, m]`, >= 0.
    """
    if x.shape[-1] <= MAX_DIRECT_DIMENSIONS:
        return sum((x[:, None, i] - y[None, :, i]) ** 2 for i in range(x.shape[-1]))  # type: ignore[return-value]
    return jnp.maximum(jnp.sum(x**2, -1)[:, None] - 2 * product(x, y.T) + jnp.sum(y**2, -1)[None], 0)


def gaussian(squared: Array, *, bandwidth: Array | float) -> Array:
    """Gaussian kernel `exp(-squared / bandwidth)`.

    Args:
        squared: squared distances, of any shape.
        bandwidth: in the units of `squared`, > 0; of a shape that broadcasts with it.

    Returns:
        Kernel values in [0, 1], of the broadcast shape.
    """
    return jnp.exp(-squared / bandwidth)


def map_row_chunks(function: Callable[[Array, Array], PyTree], x: Float[Array, "n d"], *, chunk: int) -> PyTree:
    """Apply a function to chunks of rows; under differentiation it is recomputed instead of stored.

    Args:
        function: `function(start, rows [chunk, d])` returns leaves `[chunk, ...]`; `start` is the index of the first
            row. The last chunk is padded with rows of zeros, whose results are dropped.
        x: rows `[n, d]`.
        chunk: maximum number of rows at a time.

    Returns:
        Leaves `[n, ...]`.

    Raises:
        ValueError: if `chunk` is less than 1.
    """
    n = x.shape[0]
    if chunk < 1:
        raise ValueError(f"`chunk` must be at least 1 (got {chunk}); the default is {DEFAULT_CHUNK}.")
    blocks = max(-(-n // chunk), 1)
    chunk = -(-n // blocks)  # chunks of nearly equal size need little padding
    padded = jnp.pad(x, ((0, blocks * chunk - n), (0, 0))).reshape(blocks, chunk, -1)
    results = jax.lax.map(jax.checkpoint(lambda at: function(*at)), (jnp.arange(blocks) * chunk, padded))
    return jax.tree.map(lambda leaf: leaf.reshape(blocks * chunk, *leaf.shape[2:])[:n], results)


def products(
    kernel: Kernel,
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    vectors: Float[Array, "m p"],
    *,
    first: int | Int[Array, ""] | None = None,
    chunk: int = DEFAULT_CHUNK,
) -> Float[Array, "n p"]:
    """Product of a kernel matrix with vectors, holding only `chunk` rows of the matrix in memory.

    Args:
        kernel: function of squared distances.
        x: points of the matrix rows, `[n, d]`.
        y: points of the matrix columns, `[m, d]`.
        vectors: `[m, p]`.
        first: index in `y` of the first row of `x` if `x` is a part of `y`; the kernel of a point with itself then
            counts as 0. None if they are two different sets.
        chunk: number of rows at a time.

    Returns:
        `sum_j kernel(|x_i - y_j|^2) vectors_j`, `[n, p]`.
    """

    def block(start: Array, rows: Array) -> Array:
        entries = kernel(squared_distances(rows, y))
        if first is not None:
            entries = jnp.where(self_pair_mask(start + first, *entries.shape), 0.0, entries)
        return product(entries, vectors)

    return map_row_chunks(block, x, chunk=chunk)


def sample_sizes(x: Any, y: Any, *, least: int, devices: int = 1) -> tuple[int, int]:
    """Sizes of two samples over all devices, after checking that they can be compared.

    Args:
        x: first sample `[n, d]`, an array of any library.
        y: second sample `[m, d]`.
        least: minimum number of rows of each sample over all devices.
        devices: number of devices, each with as many rows.

    Returns:
        Numbers of rows of `x` and of `y`, over all devices.

    Raises:
        ValueError: if `x` and `y` are not matrices of the same width, or have too few rows.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            f"samples must be matrices of the same width, [n, d] and [m, d] (got {x.shape} and {y.shape}); "
            "flatten each sample to one row."
        )
    n, m = len(x) * devices, len(y) * devices
    if min(n, m) < least:
        raise ValueError(f"samples must have {least} or more rows each (got {n} and {m} rows); pass more.")
    return n, m


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def gaussian_sum(chunk: int, x: Array, y: Array, r: Array, first: Array | None) -> Array:
    """Sum of the Gaussian kernel over all pairs of a row of `x` and a row of `y`.

    Args:
        chunk: number of rows at a time.
        x: rows `[n, d]`.
        y: rows `[m, d]`.
        r: bandwidth, `[]`.
        first: index in `y` of the first row of `x`, as in `products`, or None.

    Returns:
        The sum `[]`, differentiable any number of times with respect to `x`, `y` and `r`.
    """
    kernel = functools.partial(gaussian, bandwidth=r)
    return jnp.sum(products(kernel, x, y, jnp.ones((len(y), 1), y.dtype), first=first, chunk=chunk))


def _gaussian_sum_jvp(chunk: int, primals: tuple[PyTree, ...], tangents: tuple[PyTree, ...]) -> tuple[Array, Array]:
    """JVP rule of `gaussian_sum`: value and gradient in one pass, as products of the kernel matrix with coordinates.

    Automatic differentiation would store the matrix and pass over it once per factor.
    """
    x, y, r, first = primals
    kernel = functools.partial(gaussian, bandwidth=r)
    multiply = functools.partial(products, chunk=chunk)
    ones = jnp.ones((len(y), 1), y.dtype)
    tangent, (x_dot, y_dot, r_dot, _) = jnp.zeros((), x.dtype), tangents
    if isinstance(x_dot, SymbolicZero):
        value = jnp.sum(multiply(kernel, x, y, ones, first=first))
    else:
        moments = multiply(kernel, x, y, jnp.concatenate([y, ones], 1), first=first)
        value = jnp.sum(moments[:, -1])
        tangent += 2 / r * jnp.sum((moments[:, :-1] - x * moments[:, -1:]) * x_dot)
    if not isinstance(y_dot, SymbolicZero):
        ones = jnp.ones((len(x), 1), x.dtype)
        moments = multiply(kernel, y, x, jnp.concatenate([x, ones], 1), first=None if first is None else -first)
        tangent += 2 / r * jnp.sum((moments[:, :-1] - y * moments[:, -1:]) * y_dot)
    if not isinstance(r_dot, SymbolicZero):
        slope = lambda squared: squared / r**2 * kernel(squared)
        tangent += jnp.sum(multiply(slope, x, y, jnp.ones((len(y), 1), y.dtype), first=first)) * r_dot
    return value, tangent


gaussian_sum.defjvp(_gaussian_sum_jvp, symbolic_zeros=True)


def self_pair_mask(start: Array, rows: int, columns: int) -> Array:
    """Mask `[rows, columns]` of the pairs of a point with itself, if the first row is column `start`."""
    return (start + jnp.arange(rows))[:, None] == jnp.arange(columns)[None]
