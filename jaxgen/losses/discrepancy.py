"""Maximum mean discrepancy: how far apart two samples are, by the means of a kernel's features."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from jaxgen import parallel
from jaxgen.kernels import ROWS, gaussian, median_squared_distance, products
from jaxgen.types import Array, Float

__all__ = ["median_bandwidth", "mmd2", "mmd2_biased", "mmd2_linear"]


def mmd2(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    chunk: int = ROWS,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Estimate the squared maximum mean discrepancy of two samples without bias, by the kernel `exp(-|x - y|^2 / r)`.

    It is 0 in expectation where both have one law, so an estimate may be negative. Memory grows with `n + m` times
    `chunk`, and with the number of bandwidths, under differentiation too; it may be differentiated again, by any of its
    arguments.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        bandwidth: r, in squared units of the data, > 0; several make as many estimates.
        chunk: rows that are compared at a time.
        axis_name: the axis over devices; the estimate is then that of all devices' rows.

    Returns:
        An estimate for each bandwidth, of its shape.

    Raises:
        ValueError: if there are fewer than two rows of either, or widths differ.

    References:
        Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A kernel two-sample test (2012), lemma 6; DaRocha,
        Demonstrating the basic principles of generative models for Gaussian and uniform mappings (2024), section 2.
    """
    n, m = _counts(x, y, axis_name, 2)
    x, y = _centred(x, y, axis_name)

    def estimate(r: Array) -> Array:
        within = _within(x, r, chunk, axis_name) / (n * (n - 1.0)) + _within(y, r, chunk, axis_name) / (m * (m - 1.0))
        return within - 2 * _across(x, y, r, chunk, axis_name) / (n * float(m))

    return _for_each(estimate, bandwidth, x)


def mmd2_biased(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    chunk: int = ROWS,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Measure the squared distance of two samples' mean features: at least 0, up to rounding, and too large on average.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        bandwidth: r, in squared units of the data, > 0; several make as many estimates.
        chunk: rows that are compared at a time.
        axis_name: the axis over devices; the estimate is then that of all devices' rows.

    Returns:
        An estimate for each bandwidth, of its shape.

    Raises:
        ValueError: if there are no rows of either, or widths differ.

    References:
        Gretton et al., A kernel two-sample test (2012), equation 5.
    """
    n, m = _counts(x, y, axis_name, 1)
    x, y = _centred(x, y, axis_name)

    def estimate(r: Array) -> Array:
        within = (_within(x, r, chunk, axis_name) + n) / float(n) ** 2 + (_within(y, r, chunk, axis_name) + m) / float(
            m
        ) ** 2
        return within - 2 * _across(x, y, r, chunk, axis_name) / (n * float(m))

    return _for_each(estimate, bandwidth, x)


def mmd2_linear(
    x: Float[Array, "n d"],
    y: Float[Array, "n d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Estimate the squared maximum mean discrepancy without bias in linear time: each row is compared with two others.

    Its deviation falls as `n^-1/2`, that of `mmd2` where both laws are one as `n^-1`.

    Args:
        x: one sample, `[n, d]`, in random order; of an odd number the last is left out.
        y: the other, as many.
        bandwidth: r, in squared units of the data, > 0; several make as many estimates.
        axis_name: the axis over devices; each pairs its own rows.

    Returns:
        An estimate for each bandwidth, of its shape.

    Raises:
        ValueError: if there are fewer than two rows on a device, or the samples differ in size.

    References:
        Gretton et al., A kernel two-sample test (2012), lemma 14.
    """
    _counts(x, y, None, 2)
    if len(x) != len(y):
        raise ValueError(f"mmd2_linear pairs rows of {len(x)} and {len(y)}; give as many of each, or use mmd2.")
    x, y = _precise(x, y)
    even = len(x) // 2 * 2
    (a, b), (c, d) = ((rows[0:even:2], rows[1:even:2]) for rows in (x, y))

    def estimate(r: Array) -> Array:
        kernel = lambda one, other: gaussian(jnp.sum((one - other) ** 2, -1), bandwidth=r)
        each = kernel(a, b) + kernel(c, d) - kernel(a, d) - kernel(b, c)
        return parallel.mean(jnp.mean(each), axis_name)

    return _for_each(estimate, bandwidth, x)


def median_bandwidth(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"] | None = None,
    *,
    chunk: int = ROWS,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Return the median of all pairs' squared distances, a customary bandwidth; no gradient flows through it.

    Args:
        x: rows `[n, d]`.
        y: more of them, `[m, d]`, pooled with the former; None where there are no others.
        chunk: rows that are compared at a time.
        axis_name: the axis over devices; the median is then that of all devices' rows.

    Returns:
        `[]`, in squared units of the data; of an even number of pairs the mean of both middle ones.

    Raises:
        ValueError: if there are fewer than two rows, or widths differ.

    References:
        Gretton et al., A kernel two-sample test (2012), section 8; DaRocha (2024), section 2.
    """
    if y is not None and x.shape[1:] != y.shape[1:]:
        raise ValueError(f"rows have {x.shape[1:]} and {y.shape[1:]} coordinates; give as many of both.")
    z = x if y is None else jnp.concatenate([x, y])
    if len(z) * parallel.count(axis_name) < 2:
        raise ValueError(f"there are {len(z)} rows, which make no pair; give two at least.")
    return median_squared_distance(z, chunk=chunk, axis_name=axis_name)


def _counts(x: Array, y: Array, axis_name: str | None, least: int) -> tuple[int, int]:
    """Return how many rows there are on all devices, of both samples."""
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(f"samples are {x.shape} and {y.shape}; give [n, d] and [m, d].")
    n, m = (len(rows) * parallel.count(axis_name) for rows in (x, y))
    if min(n, m) < least:
        raise ValueError(f"samples have {n} and {m} rows; give {least} of each at least.")
    return n, m


def _centred(x: Array, y: Array, axis_name: str | None) -> tuple[Array, Array]:
    """Move both where a common offset costs no precision, in single precision at least: sums over pairs are large."""
    x, y = _precise(x, y)
    centre = jax.lax.stop_gradient(parallel.mean(jnp.mean(y, 0, keepdims=True), axis_name))
    return x - centre, y - centre


def _precise(x: Array, y: Array) -> tuple[Array, Array]:
    dtype = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
    return x.astype(dtype), y.astype(dtype)


def _for_each(estimate: Any, bandwidth: Any, x: Array) -> Array:
    bandwidth = jnp.asarray(bandwidth, x.dtype)
    return jax.vmap(estimate)(bandwidth.reshape(-1)).reshape(bandwidth.shape)


def _within(x: Array, r: Array, chunk: int, axis_name: str | None) -> Array:
    """Add the kernel up over all pairs of two different rows, each pair twice."""
    first = jnp.asarray(parallel.index(axis_name) * len(x))
    return _over_devices(_kernel_sum(chunk, x, parallel.gather(x, axis_name), r, first), axis_name)


def _across(x: Array, y: Array, r: Array, chunk: int, axis_name: str | None) -> Array:
    """Add the kernel up over all pairs of a row and one of the other sample."""
    return _over_devices(_kernel_sum(chunk, x, parallel.gather(y, axis_name), r, None), axis_name)


def _over_devices(share: Array, axis_name: str | None) -> Array:
    # A mean, not a sum: what gradients of a loss are averaged by on every device.
    return parallel.mean(share, axis_name) * parallel.count(axis_name)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _kernel_sum(chunk: int, x: Array, y: Array, r: Array, first: Array | None) -> Array:
    """Add `exp(-|x_i - y_j|^2 / r)` up, but for a row and itself, where `first` tells which those are."""
    kernel = functools.partial(gaussian, bandwidth=r)
    return jnp.sum(products(kernel, x, y, jnp.ones((len(y), 1), y.dtype), first=first, chunk=chunk))


def _kernel_sum_jvp(chunk: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
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


_kernel_sum.defjvp(_kernel_sum_jvp, symbolic_zeros=True)
