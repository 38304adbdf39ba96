"""Maximum mean discrepancy: how far apart two samples are, by the means of a kernel's features."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.kernels import ROWS, counts, gaussian, gaussian_sum
from jaxgen.numerics.pairwise_median import median_squared_distance
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
        bandwidth: r, in squared units of the data, > 0, else they are NaN; several make as many.
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
    counts(x, y, least=2, devices=parallel.count(axis_name))
    return _quadratic(x, y, bandwidth, lambda others, n: others / (n * (n - 1.0)), chunk, axis_name)


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
        bandwidth: r, in squared units of the data, > 0, else they are NaN; several make as many.
        chunk: rows that are compared at a time.
        axis_name: the axis over devices; the estimate is then that of all devices' rows.

    Returns:
        An estimate for each bandwidth, of its shape.

    Raises:
        ValueError: if there are no rows of either, or widths differ.

    References:
        Gretton et al., A kernel two-sample test (2012), equation 5.
    """
    # A row's kernel with itself is 1.
    return _quadratic(x, y, bandwidth, lambda others, n: (others + n) / float(n) ** 2, chunk, axis_name)


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
    counts(x, y, least=2)
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
        `[]`, in squared units of the data; of an even number of pairs the mean of both middle ones. It is 0, and no
        bandwidth, where more than half of the pairs are equal.

    Raises:
        ValueError: if there are fewer than two rows, or they are no matrices of one width.

    References:
        Gretton et al., A kernel two-sample test (2012), section 8; DaRocha (2024), section 2.
    """
    counts(x, x if y is None else y, least=0)
    z = x if y is None else jnp.concatenate([x, y])
    if len(z) * parallel.count(axis_name) < 2:
        raise ValueError(f"there are {len(z)} rows, which make no pair; give two at least.")
    return median_squared_distance(z, chunk=chunk, axis_name=axis_name)


def _quadratic(
    x: Array, y: Array, bandwidth: Any, own: Callable[[Array, int], Array], chunk: int, axis_name: str | None
) -> Array:
    """Estimate from every pair of rows; `own` makes a sample's mean kernel of its sum over different rows."""
    n, m = counts(x, y, least=1, devices=parallel.count(axis_name))
    x, y = _precise(x, y)
    # Moved to where a common offset costs no precision.
    centre = jax.lax.stop_gradient(parallel.mean(jnp.mean(y, 0, keepdims=True), axis_name))
    x, y = x - centre, y - centre
    first = lambda rows: jnp.asarray(parallel.index(axis_name) * len(rows))

    def total(rows: Array, columns: Array, r: Array, first: Array | None) -> Array:
        share = gaussian_sum(chunk, rows, parallel.gather(columns, axis_name), r, first)
        # A mean, not a sum: what gradients of a loss are averaged by on every device.
        return parallel.mean(share, axis_name) * parallel.count(axis_name)

    def estimate(r: Array) -> Array:
        within = own(total(x, x, r, first(x)), n) + own(total(y, y, r, first(y)), m)
        return within - 2 * total(x, y, r, None) / (n * float(m))

    return _for_each(estimate, bandwidth, x)


def _precise(x: Array, y: Array) -> tuple[Array, Array]:
    """Return both in single precision at least: sums over pairs are large."""
    dtype = jnp.promote_types(jnp.result_type(x, y), jnp.float32)
    return x.astype(dtype), y.astype(dtype)


def _for_each(estimate: Any, bandwidth: Any, x: Array) -> Array:
    bandwidth = jnp.asarray(bandwidth, x.dtype)
    return jax.vmap(estimate)(bandwidth.reshape(-1)).reshape(bandwidth.shape)
