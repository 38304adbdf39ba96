"""Exact nearest neighbors: a fast search with an error bound, and a precise one for the targets that it leaves open."""

import math

import jax
import jax.numpy as jnp

from jaxgen.numerics.kernels import MAX_DIRECT_DIMENSIONS, product, squared_distances
from jaxgen.types import Array, Bool, Float, Int

__all__ = ["first_minimum", "initial_best", "is_nearer", "keep_nearer", "nearest_index"]


def nearest_index(x: Float[Array, "b d"], pool: Float[Array, "n d"]) -> Int[Array, " b"]:
    """Index of the nearest pool row of each target, without a gradient.

    All distances are compared at once, with a bound on their rounding errors. A target is searched again, one by one
    and by `is_nearer`'s formula, if a second candidate lies within this bound. For most data few targets are.

    Args:
        x: targets `[b, d]`, in single precision or better.
        pool: candidates `[n, d]`, of the same dtype.

    Returns:
        Indices `[b]`, of several equally near candidates the first. A candidate with a NaN counts as the nearest.
    """
    x, pool = jax.lax.stop_gradient((x, pool))
    scores, error = _scores(x, pool)
    index = first_minimum(scores)
    smallest = jnp.min(scores, -1)
    chosen = index[:, None] == jax.lax.broadcasted_iota(jnp.int32, scores.shape, 1)
    bound = smallest + jnp.take_along_axis(error, index[:, None], 1)[:, 0]
    others = jnp.min(jnp.where(chosen, jnp.inf, scores - error), -1)
    # NaN needs no second search: its first position is found already.
    is_open = ~((others > bound) | jnp.isnan(smallest))

    def search_again(state: tuple[Array, Array]) -> tuple[Array, Array]:
        index, is_open = state
        row = jnp.argmax(is_open)
        at = index[row]
        for _ in range(2):  # the nearer the reference, the smaller the error
            at = first_minimum(_difference(x[row][None], pool, pool[at][None]))
        return index.at[row].set(at), is_open.at[row].set(False)

    return jax.lax.while_loop(lambda state: jnp.any(state[1]), search_again, (index, is_open))[0]


def is_nearer(x: Float[Array, "b d"], y: Float[Array, "b d"], reference: Float[Array, "b d"]) -> Bool[Array, " b"]:
    """Whether `y` is nearer to `x` than the reference is; True if only `y` has a NaN.

    Args:
        x: targets `[b, d]`.
        y: candidates, one per target, `[b, d]`.
        reference: the nearest candidates so far, `[b, d]`; infinite if there is none.

    Returns:
        Booleans `[b]`.
    """
    is_first_nan = jnp.isnan(y).any(-1) & ~jnp.isnan(reference).any(-1)
    return (_difference(x, y, reference) < 0) | is_first_nan


def initial_best(x: Float[Array, "b d"]) -> tuple[Int[Array, " b"], Float[Array, "b d"]]:
    """Index 0 and an infinitely distant candidate for each target: the start of a search.

    Args:
        x: targets `[b, d]`.

    Returns:
        Indices `[b]` and candidates `[b, d]`.
    """
    return jnp.zeros_like(x[:, 0], jnp.int32), jnp.full_like(x, jnp.inf)


def keep_nearer(
    x: Float[Array, "b d"],
    best: tuple[Int[Array, " b"], Float[Array, "b d"]],
    first: Int[Array, ""],
    part: Float[Array, "n d"],
) -> tuple[Int[Array, " b"], Float[Array, "b d"]]:
    """Keep the nearer of the best candidate so far and the nearest row of another part of the pool.

    Args:
        x: targets `[b, d]`.
        best: index and candidate of each target so far, `[b]` and `[b, d]`.
        first: index of the first row of the part.
        part: candidates `[n, d]`.

    Returns:
        The index and candidate of each target, `[b]` and `[b, d]`; of two equally near ones the earlier.
    """
    index, candidate = best
    x, part = jax.lax.stop_gradient((x, part.astype(x.dtype)))
    at = nearest_index(x, part)
    closer = is_nearer(x, part[at], candidate)  # NaN is kept, so that it shows up in the loss
    return jnp.where(closer, first + at, index), jnp.where(closer[:, None], part[at], candidate)


def first_minimum(values: Float[Array, "... n"]) -> Int[Array, "..."]:
    """`argmin` over the last axis, with NaN as the minimum; unlike `jnp.argmin`, XLA vectorizes it on a CPU.

    Args:
        values: numbers `[..., n]`.

    Returns:
        Indices `[...]`.
    """
    positions = jax.lax.broadcasted_iota(jnp.int32, values.shape, values.ndim - 1)
    smallest = jnp.min(values, -1, keepdims=True)
    chosen = (values <= smallest) | jnp.isnan(values)
    return jnp.min(jnp.where(chosen, positions, values.shape[-1] - 1), -1)


def _difference(x: Array, y: Array, reference: Array) -> Array:
    """`|x - y|^2 - |x - reference|^2`, as a product of differences: the distances themselves would cancel."""
    return jnp.sum((reference - y) * ((x - y) + (x - reference)), -1)


def _scores(x: Array, pool: Array) -> tuple[Array, Array]:
    """Squared distances `[b, n]`, up to a constant per target, and bounds of their rounding errors."""
    epsilon = jnp.finfo(x.dtype).eps
    if x.shape[1] <= MAX_DIRECT_DIMENSIONS:
        scores = squared_distances(x, pool)
        return scores, 8 * epsilon * scores
    # Centered, because a common offset would cost precision in the matrix product. `|x|^2` is the constant left out.
    center = _center(x)
    x, pool = x - center, pool - center
    squares = jnp.sum(pool**2, -1)
    # Rounding errors of a product of d terms grow as sqrt(d).
    relative = (4 + 2 * math.sqrt(x.shape[1])) * epsilon
    norms = jnp.sqrt(squares)
    error = relative * (squares[None] + 2 * jnp.sqrt(jnp.sum(x**2, -1))[:, None] * norms[None])
    return squares[None] - 2 * product(x, pool.T), error


def _center(x: Array) -> Array:
    """Center `[1, d]` of most rows: the median of three medians of three rows, which a few distant rows do not move."""
    rows = x[jnp.array([i * (len(x) - 1) // 8 for i in range(9)])].reshape(3, 3, -1)
    median = lambda a, b, c: jnp.maximum(jnp.minimum(a, b), jnp.minimum(jnp.maximum(a, b), c))
    return median(*median(*rows))[None]
