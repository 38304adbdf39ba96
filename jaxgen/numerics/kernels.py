"""Distances and kernels between two sets, some rows at a time: what a loss descends on and a test decides by."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxgen.types import Array, Float, Int

__all__ = [
    "FEW_DIMENSIONS",
    "ROWS",
    "Kernel",
    "by_rows",
    "counts",
    "gaussian",
    "gaussian_sum",
    "itself",
    "product",
    "products",
    "squared_distances",
]

Kernel = Callable[[Array], Array]

# Rows compared with all columns at a time: enough to keep a processor busy, few enough for its cache.
ROWS = 256
# Up to this many dimensions the differences are formed one by one; beyond, a matrix product is faster.
FEW_DIMENSIONS = 8
# Products in full precision: an accelerator's default would cost the nearest row its place, and move a hull.
product = functools.partial(jnp.matmul, precision="highest")


def squared_distances(x: Float[Array, "n d"], y: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Return squared Euclidean distances, up to rounding, which is that of the coordinates' size.

    Args:
        x: rows `[n, d]`.
        y: rows `[m, d]`.

    Returns:
        `[n, m]`, not negative.
    """
    if x.shape[-1] <= FEW_DIMENSIONS:
        return sum((x[:, None, i] - y[None, :, i]) ** 2 for i in range(x.shape[-1]))  # type: ignore[return-value]
    return jnp.maximum(jnp.sum(x**2, -1)[:, None] - 2 * product(x, y.T) + jnp.sum(y**2, -1)[None], 0)


def gaussian(squared: Array, *, bandwidth: Array | float) -> Array:
    """Return the Gaussian kernel `exp(-squared / bandwidth)` of squared distances.

    Args:
        squared: of any shape.
        bandwidth: in the same unit, > 0; of a shape that broadcasts.

    Returns:
        Numbers between 0 and 1, of that shape.
    """
    return jnp.exp(-squared / bandwidth)


def by_rows(function: Callable[[Array, Array], Any], x: Float[Array, "n d"], *, chunk: int) -> Any:
    """Apply a function to some rows at a time; where it is differentiated, its inside is made again, not kept.

    Args:
        function: from the index of the first of its rows, and rows `[chunk, d]`, to leaves `[chunk, ...]`. It is given
            rows of zeros where they run out, whose leaves are dropped.
        x: rows `[n, d]`.
        chunk: how many at a time.

    Returns:
        Leaves `[n, ...]`.

    Raises:
        ValueError: if the chunk is no number of rows.
    """
    n = x.shape[0]
    if chunk < 1:
        raise ValueError(f"chunk is {chunk}; make it one row at least.")
    blocks = max(-(-n // chunk), 1)
    chunk = -(-n // blocks)  # as equal as they can be, so that few rows are padding
    padded = jnp.pad(x, ((0, blocks * chunk - n), (0, 0))).reshape(blocks, chunk, -1)
    made = jax.lax.map(jax.checkpoint(lambda at: function(*at)), (jnp.arange(blocks) * chunk, padded))
    return jax.tree.map(lambda leaf: leaf.reshape(blocks * chunk, *leaf.shape[2:])[:n], made)


def products(
    kernel: Kernel,
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    vectors: Float[Array, "m p"],
    *,
    first: int | Int[Array, ""] | None = None,
    chunk: int = ROWS,
) -> Float[Array, "n p"]:
    """Multiply a kernel's matrix with vectors; of the matrix no more is held than `chunk` rows.

    Args:
        kernel: of squared distances.
        x: what the matrix' rows stand for, `[n, d]`.
        y: what its columns stand for, `[m, d]`.
        vectors: `[m, p]`.
        first: the place of the first row of `x` among those of `y`, where a row has no kernel with itself; None where
            they are two sets.
        chunk: rows at a time.

    Returns:
        `sum over j of kernel(|x_i - y_j|^2) vectors_j`, `[n, p]`.
    """

    def block(start: Array, rows: Array) -> Array:
        entries = kernel(squared_distances(rows, y))
        if first is not None:
            entries = jnp.where(itself(start + first, *entries.shape), 0.0, entries)
        return product(entries, vectors)

    return by_rows(block, x, chunk=chunk)


def counts(x: Any, y: Any, *, least: int, devices: int = 1) -> tuple[int, int]:
    """Return how many rows two samples have, or say why they cannot be compared.

    Args:
        x: `[n, d]`, an array of any library.
        y: `[m, d]`.
        least: rows that each must have.
        devices: that hold as many rows each.

    Returns:
        How many rows there are on all devices, of both.

    Raises:
        ValueError: if they are no matrices of one width, or have too few rows.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"samples are {x.shape} and {y.shape}; give [n, d] and [m, d].")
    n, m = len(x) * devices, len(y) * devices
    if min(n, m) < least:
        raise ValueError(f"samples have {n} and {m} rows; give {least} of each at least.")
    return n, m


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def gaussian_sum(chunk: int, x: Array, y: Array, r: Array, first: Array | None) -> Array:
    """Add the Gaussian kernel up over all pairs of a row of `x` and one of `y`.

    Args:
        chunk: rows at a time.
        x: rows `[n, d]`.
        y: rows `[m, d]`.
        r: the bandwidth, `[]`.
        first: the place of the first row of `x` among those of `y`, as in `products`; None where they are two sets.

    Returns:
        `[]`, differentiable by `x`, `y` and `r`, again and again.
    """
    kernel = functools.partial(gaussian, bandwidth=r)
    return jnp.sum(products(kernel, x, y, jnp.ones((len(y), 1), y.dtype), first=first, chunk=chunk))


def _gaussian_sum_jvp(chunk: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    """Find the sum and its gradient in one pass, as the kernel's matrix times coordinates.

    Autodiff would keep the matrix, and run through it once for each of its factors.
    """
    x, y, r, first = primals
    kernel = functools.partial(gaussian, bandwidth=r)
    look = functools.partial(products, chunk=chunk)
    ones = jnp.ones((len(y), 1), y.dtype)
    moved, (x_dot, y_dot, r_dot, _) = jnp.zeros((), x.dtype), tangents
    if isinstance(x_dot, SymbolicZero):
        value = jnp.sum(look(kernel, x, y, ones, first=first))
    else:
        seen = look(kernel, x, y, jnp.concatenate([y, ones], 1), first=first)
        value = jnp.sum(seen[:, -1])
        moved += 2 / r * jnp.sum((seen[:, :-1] - x * seen[:, -1:]) * x_dot)
    if not isinstance(y_dot, SymbolicZero):
        ones = jnp.ones((len(x), 1), x.dtype)
        seen = look(kernel, y, x, jnp.concatenate([x, ones], 1), first=None if first is None else -first)
        moved += 2 / r * jnp.sum((seen[:, :-1] - y * seen[:, -1:]) * y_dot)
    if not isinstance(r_dot, SymbolicZero):
        slope = lambda squared: squared / r**2 * kernel(squared)
        moved += jnp.sum(look(slope, x, y, jnp.ones((len(y), 1), y.dtype), first=first)) * r_dot
    return value, moved


gaussian_sum.defjvp(_gaussian_sum_jvp, symbolic_zeros=True)


def itself(start: Array, rows: int, columns: int) -> Array:
    """Tell where a row, of which `start` is the first, meets itself among the columns: `[rows, columns]`."""
    return (start + jnp.arange(rows))[:, None] == jnp.arange(columns)[None]
