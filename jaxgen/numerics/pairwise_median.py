"""The median of all pairs' squared distances, found without keeping a distance."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.kernels import FEW_DIMENSIONS, ROWS, by_rows, itself, squared_distances
from jaxgen.types import Array, Float

__all__ = ["median_squared_distance"]

# Of a set this share is searched first, to know about where its median lies; no smaller part than so many rows.
_PART, _LEAST = 4, 64


def median_squared_distance(
    z: Float[Array, "n d"], *, chunk: int = ROWS, axis_name: str | None = None
) -> Float[Array, ""]:
    """Find the median of all pairs' squared distances, exactly, in memory of `n * chunk`; it has no gradient.

    As many pairs are closer as are further apart, and how many are closer than a guess is counted without keeping a
    distance: the guesses close in on the median as on a function's root.

    Args:
        z: two rows or more, `[n, d]`.
        chunk: rows at a time.
        axis_name: the axis over devices; the median is then that of all devices' rows.

    Returns:
        `[]`: of an even number of pairs the mean of both middle ones. NaN if a coordinate is not finite.
    """
    z = jax.lax.stop_gradient(z).astype(jnp.promote_types(z.dtype, jnp.float32))
    if z.shape[1] > FEW_DIMENSIONS:  # where distances come from products, an offset would cost precision
        z = z - parallel.mean(jnp.mean(z, 0, keepdims=True), axis_name)
    everyone = parallel.gather(z, axis_name)
    n = everyone.shape[0]
    share = z.shape[0]
    first = parallel.index(axis_name) * share
    pairs = n * (n - 1) // 2
    goal = 2.0 * (pairs % 2)

    def excess(t: Array) -> Array:
        """Return how many ordered pairs are within `t` more than are not: exact where it is near 0."""

        def within(start: Array, rows: Array) -> Array:
            squared = squared_distances(rows, everyone)
            counted = jnp.where((squared <= t) & ~itself(start + first, *squared.shape), 1.0, 0.0)
            return jnp.sum(counted, 1)

        each = 2 * by_rows(within, z, chunk=chunk) - (n - 1)
        # A sum of whole numbers is exact but may run over; the other is not exact but knows whether it did.
        exact, near = parallel.total((jnp.sum(each.astype(jnp.int32)), jnp.sum(each)), axis_name)
        return jnp.where(jnp.abs(near) < 2**30, exact.astype(z.dtype), near)

    # Pairs are twice the variance apart on average; a part of a large set knows more.
    centre = parallel.mean(jnp.mean(z, 0, keepdims=True), axis_name)
    weighted_samples = 2 * parallel.mean(jnp.mean(jnp.sum((z - centre) ** 2, -1)), axis_name)
    if n // _PART >= _LEAST:
        weighted_samples = median_squared_distance(everyone[::_PART], chunk=chunk)
    at, value = _root(excess, goal, weighted_samples)

    def neighbours(start: Array, rows: Array) -> tuple[Array, Array]:
        squared = squared_distances(rows, everyone)
        others = ~itself(start + first, *squared.shape)
        below = jnp.max(jnp.where((squared <= at) & others, squared, 0.0), 1)
        return below, jnp.min(jnp.where((squared > at) & others, squared, jnp.inf), 1)

    below, above = (parallel.gather(part, axis_name) for part in by_rows(neighbours, z, chunk=chunk))
    below, above = jnp.max(below), jnp.min(above)
    # Where the count jumps over the goal, all middle pairs are as far apart as this.
    median = jnp.where(value > goal, at, below if pairs % 2 else (below + above) / 2)
    return jnp.where(jnp.all(jnp.isfinite(everyone)), median, jnp.nan)


def _root(excess: Callable[[Array], Array], goal: float, weighted_samples: Array) -> tuple[Array, Array]:
    """Find where a step function that rises over the floats >= 0 comes to a goal: Dekker's method.

    Returns:
        The least place seen where it is not below the goal, and its value: the goal, or else what it jumps to there.
    """
    dtype = weighted_samples.dtype
    whole = jnp.int32 if dtype == jnp.float32 else jnp.int64
    bits = lambda t: jax.lax.bitcast_convert_type(t, whole)  # in the order of the floats themselves
    place = lambda b: jax.lax.bitcast_convert_type(b, dtype)

    def narrow(state: _Bracket) -> _Bracket:
        secant = state.last - (state.f_last - goal) * (state.last - state.before) / (state.f_last - state.f_before)
        t = jnp.where(
            state.passes == 0, 0.96 * weighted_samples, jnp.where(state.passes == 1, 1.04 * weighted_samples, secant)
        )
        # Half of the bracket where the secant leads out of it, and now and then, so that there is an end.
        inside = (t >= 0) & (bits(t) > state.low) & (bits(t) < state.high) & (state.passes % 8 != 7)
        b = jnp.where(inside, bits(t), state.low + (state.high - state.low) // 2)
        f = excess(place(b))
        low, high = jnp.where(f < goal, b, state.low), jnp.where(f < goal, state.high, b)
        value = jnp.where(f < goal, state.value, f)
        return _Bracket(low, high, value, state.last, state.f_last, place(b), f, state.passes + 1)

    zero = jnp.zeros((), dtype)
    ends = jnp.asarray(-1, whole), bits(zero + jnp.inf), zero + jnp.inf
    bracket = jax.lax.while_loop(
        lambda state: (state.value != goal) & (state.high - state.low > 1),
        narrow,
        _Bracket(*ends, zero, zero, zero, zero, jnp.int32(0)),
    )
    return place(bracket.high), bracket.value


class _Bracket(NamedTuple):
    """Where a root is looked for."""

    low: Array  # the greatest float seen below it, as a whole number
    high: Array  # the least seen that is not below it
    value: Array  # of the function there
    before: Array  # the last two places, and the values there
    f_before: Array
    last: Array
    f_last: Array
    passes: Array
