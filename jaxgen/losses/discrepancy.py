"""Maximum mean discrepancy (MMD) between two samples, under a Gaussian kernel."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.kernels import DEFAULT_CHUNK, gaussian, gaussian_sum, sample_sizes
from jaxgen.numerics.pairwise_median import median_squared_distance
from jaxgen.numerics.precision import promoted
from jaxgen.sharding import automatic
from jaxgen.types import Array, Float

__all__ = ["median_bandwidth", "mmd2", "mmd2_biased", "mmd2_linear"]


def mmd2(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    chunk: int = DEFAULT_CHUNK,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Unbiased estimate of the squared MMD under the kernel `exp(-|x - y|^2 / bandwidth)`.

    Its expectation is 0 if both distributions are equal, so an estimate may be negative. Memory grows as
    `(n + m) * chunk` times the number of bandwidths, also under differentiation. Higher derivatives with respect to
    `x`, `y` and `bandwidth` are supported.

    Args:
        x: first sample, `[n, d]`.
        y: second sample, `[m, d]`.
        bandwidth: in squared units of the data, > 0; an array gives one estimate per entry.
        chunk: number of rows that are compared at a time.
        axis_name: axis over devices, or None; with an axis, the estimate uses the rows of all devices.

    Returns:
        Estimates, of the shape of `bandwidth`; NaN where it is not positive.

    Raises:
        ValueError: if a sample has fewer than two rows, or the widths differ.

    References:
        Gretton, Borgwardt, Rasch, Schoelkopf and Smola, A kernel two-sample test (2012), lemma 6; DaRocha,
        Demonstrating the basic principles of generative models for Gaussian and uniform mappings (2024), section 2.
    """
    sample_sizes(x, y, least=2, devices=parallel.count(axis_name))
    return _quadratic(x, y, bandwidth, lambda distinct, n: distinct / (n * (n - 1.0)), chunk, axis_name)


def mmd2_biased(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    chunk: int = DEFAULT_CHUNK,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Biased estimate of the squared MMD: never negative (up to rounding), but too large on average.

    It is the squared distance between the mean feature vectors of the two samples.

    Args:
        x: first sample, `[n, d]`.
        y: second sample, `[m, d]`.
        bandwidth: in squared units of the data, > 0; an array gives one estimate per entry.
        chunk: number of rows that are compared at a time.
        axis_name: axis over devices, or None; with an axis, the estimate uses the rows of all devices.

    Returns:
        Estimates, of the shape of `bandwidth`; NaN where it is not positive.

    Raises:
        ValueError: if a sample is empty, or the widths differ.

    References:
        Gretton et al., A kernel two-sample test (2012), equation 5.
    """
    # The kernel of a row with itself is 1, which adds n to the sum over distinct rows.
    return _quadratic(x, y, bandwidth, lambda distinct, n: (distinct + n) / float(n) ** 2, chunk, axis_name)


def mmd2_linear(
    x: Float[Array, "n d"],
    y: Float[Array, "n d"],
    *,
    bandwidth: Float[Array, "..."] | float,
    axis_name: str | None = None,
) -> Float[Array, "..."]:
    """Unbiased estimate of the squared MMD in linear time, from disjoint pairs of rows.

    If both distributions are equal, its standard deviation falls as `n^-1/2`, compared with `n^-1` for `mmd2`.

    Args:
        x: first sample, `[n, d]`, in random order; the last row is left out if n is odd.
        y: second sample, `[n, d]`, likewise.
        bandwidth: in squared units of the data, > 0; an array gives one estimate per entry.
        axis_name: axis over devices, or None; each device pairs its own rows, and the estimates are averaged.

    Returns:
        Estimates, of the shape of `bandwidth`; NaN where it is not positive.

    Raises:
        ValueError: if there are fewer than two rows on a device, or the samples differ in size.

    References:
        Gretton et al., A kernel two-sample test (2012), lemma 14.
    """
    sample_sizes(x, y, least=2)
    if len(x) != len(y):
        raise ValueError(
            f"mmd2_linear needs as many rows in `x` as in `y` (got {len(x)} and {len(y)}); drop rows, or use mmd2."
        )
    x, y = promoted(x, y)
    even = len(x) // 2 * 2
    (a, b), (c, d) = ((rows[0:even:2], rows[1:even:2]) for rows in (x, y))

    def estimate(r: Array) -> Array:
        kernel = lambda one, other: gaussian(jnp.sum((one - other) ** 2, -1), bandwidth=r)
        terms = kernel(a, b) + kernel(c, d) - kernel(a, d) - kernel(b, c)
        return parallel.mean(jnp.mean(terms), axis_name)

    return _per_bandwidth(estimate, jnp.asarray(bandwidth, x.dtype))


def median_bandwidth(
    x: Float[Array, "n d"],
    y: Float[Array, "m d"] | None = None,
    *,
    chunk: int = DEFAULT_CHUNK,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    """Median heuristic for the bandwidth: the median squared distance over all pairs of rows.

    No gradient flows through it.

    Args:
        x: rows `[n, d]`.
        y: further rows `[m, d]`, pooled with `x`, or None.
        chunk: number of rows that are compared at a time.
        axis_name: axis over devices, or None; with an axis, the median is over the rows of all devices.

    Returns:
        The median `[]` in squared units of the data; the mean of the two middle values if the number of pairs is even.
        It is 0, and not a valid bandwidth, if more than half of the pairs have distance 0.

    Raises:
        ValueError: if there are fewer than two rows, or `x` and `y` are not matrices of the same width.

    References:
        Gretton et al., A kernel two-sample test (2012), section 8; DaRocha (2024), section 2.
    """
    sample_sizes(x, x if y is None else y, least=0)
    parts = promoted(x) if y is None else promoted(x, y)
    rows = sum(map(len, parts))
    if rows * parallel.count(axis_name) < 2:
        raise ValueError(f"median_bandwidth needs at least two rows in total (got {rows}); pass more rows.")
    median = functools.partial(median_squared_distance, chunk=chunk, axis_name=axis_name)
    return automatic(lambda *parts: median(jnp.concatenate(parts)), *parts)


def _quadratic(
    x: Array,
    y: Array,
    bandwidth: Array | float,
    mean_kernel: Callable[[Array, int], Array],
    chunk: int,
    axis_name: str | None,
) -> Array:
    """Estimate from all pairs; `mean_kernel(sum over distinct rows, n)` is the mean kernel within one sample."""
    n, m = sample_sizes(x, y, least=1, devices=parallel.count(axis_name))

    def kernel_sum(rows: Array, columns: Array, r: Array, first: Array | None) -> Array:
        share = gaussian_sum(chunk, rows, parallel.gather(columns, axis_name), r, first)
        # The sum over devices, written as a mean, since gradients of a loss are averaged over devices.
        return parallel.mean(share, axis_name) * parallel.count(axis_name)

    def estimates(x: Array, y: Array, bandwidth: Array) -> Array:
        # Centered, because a common offset would cost precision in the squared distances.
        center = jax.lax.stop_gradient(parallel.mean(jnp.mean(y, 0, keepdims=True), axis_name))
        x, y = x - center, y - center
        first = lambda rows: jnp.asarray(parallel.index(axis_name) * len(rows))

        def estimate(r: Array) -> Array:
            within = mean_kernel(kernel_sum(x, x, r, first(x)), n) + mean_kernel(kernel_sum(y, y, r, first(y)), m)
            return within - 2 * kernel_sum(x, y, r, None) / (n * float(m))

        return _per_bandwidth(estimate, bandwidth)

    x, y = promoted(x, y)
    return automatic(estimates, x, y, jnp.asarray(bandwidth, x.dtype))


def _per_bandwidth(estimate: Callable[[Array], Array], bandwidth: Array) -> Array:
    # NaN where the bandwidth is not positive, since 0 would mean "no difference". It is a factor of the estimate and no
    # bandwidth: on a CPU, XLA of jax 0.10.2 leaves the result of `exp` unwritten where it can prove that it is NaN.
    valid = bandwidth > 0
    estimates = jax.vmap(estimate)(jnp.where(valid, bandwidth, 1).reshape(-1)).reshape(bandwidth.shape)
    return estimates * jnp.where(valid, 1, jnp.nan).astype(estimates.dtype)
