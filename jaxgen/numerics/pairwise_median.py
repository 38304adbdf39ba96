"""Exact median of all pairwise squared distances, in memory that is linear in the number of rows."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.kernels import (
    DEFAULT_CHUNK,
    MAX_DIRECT_DIMENSIONS,
    map_row_chunks,
    self_pair_mask,
    squared_distances,
)
from jaxgen.numerics.precision import promoted
from jaxgen.sharding import varying
from jaxgen.types import Array, Float

__all__ = ["median_squared_distance"]

# The median of every fourth row is the initial guess, if that subset has at least 64 rows.
_SUBSET_STRIDE, _MIN_SUBSET_ROWS = 4, 64


def median_squared_distance(
    z: Float[Array, "n d"], *, chunk: int = DEFAULT_CHUNK, axis_name: str | None = None
) -> Float[Array, ""]:
    """Exact median of the squared distances of all pairs of rows, without a gradient.

    The number of pairs within a threshold is counted chunk by chunk, in memory of `n * chunk`. The median is the
    threshold at which half of the pairs are within; it is found as the root of a function.

    Args:
        z: at least two rows, `[n, d]`.
        chunk: number of rows at a time.
        axis_name: axis over devices, or None; with an axis, the median is over the rows of all devices.

    Returns:
        The median `[]`; the mean of the two middle values if the number of pairs is even. NaN if a coordinate is not
        finite.
    """
    (z,) = promoted(jax.lax.stop_gradient(z))
    if z.shape[1] > MAX_DIRECT_DIMENSIONS:  # here distances use matrix products, in which an offset costs precision
        z = z - parallel.mean(jnp.mean(z, 0, keepdims=True), axis_name)
    all_rows = parallel.gather_constant(z, axis_name)
    n = all_rows.shape[0]
    share = z.shape[0]
    first = parallel.index(axis_name) * share
    pairs = n * (n - 1) // 2
    goal = 2.0 * (pairs % 2)

    def excess(t: Array) -> Array:
        """Number of ordered pairs within `t` minus the number beyond; exact if it is near 0."""

        def within(start: Array, rows: Array) -> Array:
            squared = squared_distances(rows, all_rows)
            counted = (squared <= t) & ~self_pair_mask(start + first, *squared.shape)
            return jnp.sum(counted.astype(z.dtype), 1)

        per_row = 2 * map_row_chunks(within, z, chunk=chunk) - (n - 1)
        # The integer sum is exact but may overflow; the floating-point sum is inexact but shows whether it did.
        exact, rounded = parallel.total(
            (jnp.sum(per_row.astype(jnp.int32), dtype=jnp.int32), jnp.sum(per_row)), axis_name
        )
        return jnp.where(jnp.abs(rounded) < 2**30, exact.astype(z.dtype), rounded)

    # The mean squared distance is twice the variance; for a large set the median of a subset is a closer guess.
    center = parallel.mean(jnp.mean(z, 0, keepdims=True), axis_name)
    guess = 2 * parallel.mean(jnp.mean(jnp.sum((z - center) ** 2, -1)), axis_name)
    if n // _SUBSET_STRIDE >= _MIN_SUBSET_ROWS:
        guess = median_squared_distance(all_rows[::_SUBSET_STRIDE], chunk=chunk)
    at, value = _root(excess, goal, guess)

    def neighbors(start: Array, rows: Array) -> tuple[Array, Array]:
        squared = squared_distances(rows, all_rows)
        others = ~self_pair_mask(start + first, *squared.shape)
        below = jnp.max(jnp.where((squared <= at) & others, squared, 0.0), 1)
        return below, jnp.min(jnp.where((squared > at) & others, squared, jnp.inf), 1)

    below, above = (parallel.gather_constant(part, axis_name) for part in map_row_chunks(neighbors, z, chunk=chunk))
    below, above = jnp.max(below), jnp.min(above)
    # If the count jumps past the goal, all middle pairs have this distance.
    median = jnp.where(value > goal, at, below if pairs % 2 else (below + above) / 2)
    return jnp.where(jnp.all(jnp.isfinite(all_rows)), median, jnp.nan)


def _root(excess: Callable[[Array], Array], goal: float, guess: Array) -> tuple[Array, Array]:
    """Root of `excess(t) - goal` for an increasing step function over floats >= 0, by Dekker's method.

    Returns:
        The smallest evaluated `t` whose value is at least the goal, and that value, which exceeds the goal only if the
        function jumps past it there.
    """
    dtype = guess.dtype
    whole = jnp.int32 if dtype == jnp.float32 else jnp.int64
    bits = lambda t: jax.lax.bitcast_convert_type(t, whole)  # ordered as the floats are
    value_of = lambda b: jax.lax.bitcast_convert_type(b, dtype)

    def narrow(state: _Bracket) -> _Bracket:
        secant = state.last - (state.f_last - goal) * (state.last - state.before) / (state.f_last - state.f_before)
        t = jnp.where(state.passes == 0, 0.96 * guess, jnp.where(state.passes == 1, 1.04 * guess, secant))
        # Bisection if the secant leaves the bracket, and every eighth pass, which guarantees termination.
        inside = (t >= 0) & (bits(t) > state.low) & (bits(t) < state.high) & (state.passes % 8 != 7)
        b = jnp.where(inside, bits(t), state.low + (state.high - state.low) // 2)
        f = excess(value_of(b))
        low, high = jnp.where(f < goal, b, state.low), jnp.where(f < goal, state.high, b)
        value = jnp.where(f < goal, state.value, f)
        return _Bracket(low, high, value, state.last, state.f_last, value_of(b), f, state.passes + 1)

    zero = jnp.zeros((), dtype)
    ends = jnp.asarray(-1, whole), bits(zero + jnp.inf), zero + jnp.inf
    bracket = jax.lax.while_loop(
        lambda state: (state.value != goal) & (state.high - state.low > 1),
        narrow,
        varying(_Bracket(*ends, zero, zero, zero, zero, jnp.int32(0)), guess),
    )
    return value_of(bracket.high), bracket.value


class _Bracket(NamedTuple):
    """State of the root search."""

    low: Array  # bits of the greatest evaluated float with a value below the goal
    high: Array  # bits of the smallest evaluated float with a value not below the goal
    value: Array  # function value at `high`
    before: Array  # the last two evaluated floats, and their function values
    f_before: Array
    last: Array
    f_last: Array
    passes: Array
