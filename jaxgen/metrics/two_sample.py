"""Two-sample test with the maximum mean discrepancy (MMD), and the variance of the MMD."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from jaxgen.metrics._validation import two_samples
from jaxgen.numerics.kernels import DEFAULT_CHUNK, gaussian, products
from jaxgen.numerics.pairwise_median import median_squared_distance

__all__ = ["PermutationTestResult", "mmd2_variance", "permutation_test"]

# Statistics of order one that differ by less count as equal: such differences are rounding errors.
_ROUNDING = 1e-6
# Scales to which standardized numbers are clipped. Farther ones would leave the others no precision.
_FARTHEST = 1e3


@dataclasses.dataclass(frozen=True)
class PermutationTestResult:
    """Result of a permutation test.

    Attributes:
        statistic: the statistic of the two samples; larger means more different.
        p_value: probability of such a statistic or a larger one, if both samples have the same distribution.
        null: the statistics of the permutations, `[B]`, in ascending order.
    """

    statistic: float
    p_value: float
    null: np.ndarray

    def critical_value(self, level: float = 0.05) -> float:
        """Return the critical value: a statistic above it has a p-value of at most `level`.

        Args:
            level: significance level, between 0 and 1.

        Returns:
            One of the permutations' statistics, or inf if there are fewer than `1 / level - 1` permutations.

        Raises:
            ValueError: if `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1 (got {level}); try level=0.05.")
        above = int(level * (len(self.null) + 1) + 1e-9) - 1  # how many permutations may reach such a statistic
        return float(self.null[len(self.null) - 1 - above]) if above >= 0 else float("inf")


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bandwidths: ArrayLike | float | None = None,
    num_permutations: int = 999,
    seed: int = 0,
    chunk: int = DEFAULT_CHUNK,
    standardize: bool = True,
) -> PermutationTestResult:
    """Two-sample permutation test with the maximum mean discrepancy, fused over several bandwidths.

    If the rows of both samples are exchangeable, `p <= level` has at most the probability `level`. It has exactly that
    probability if all statistics differ and `level * (num_permutations + 1)` is a whole number. The bandwidths must not
    depend on which sample a row belongs to. Statistics that differ by less than 1e-6 count as equal. Bandwidths a
    thousand times the squared spread of the data or more therefore never reject, since all their estimates are near 0.

    For each bandwidth the unbiased estimate `losses.mmd2` is divided by the root mean square of the pooled kernel. A
    soft maximum over the bandwidths fuses these ratios. The mean square is taken over the pooled pairs; another
    normalization would make the maximum sharper or softer, and keep the level. With a single bandwidth the test is that
    of its estimate alone.

    By default each column is centered by its pooled median and divided by a robust pooled scale, so that neither its
    units nor a few distant rows hide a difference. Numbers beyond 1,000 scales are clipped. The pooled sample does not
    depend on the split, so the level stays exact.

    Args:
        x: the first sample, `[n, d]`.
        y: the second sample, `[m, d]`.
        bandwidths: r of the kernels `exp(-|x - y|^2 / r)`, `[k]`, in squared units of the columns: standardized ones,
            or with `standardize=False` the data. None takes 2^-3 to 2^3 times the median of the pooled squared
            distances, or their mean if the median is 0.
        num_permutations: B, the number of permutations.
        seed: random seed of the permutations.
        chunk: number of rows compared at a time; memory is `(n + m) * (chunk + B)`.
        standardize: whether to divide each column by its scale, the median absolute deviation. If that is 0, it is the
            interquartile range, and if that is 0 too, the mean absolute deviation. False compares the columns as given.

    Returns:
        The fused statistic, its p-value `(1 + number of num_permutations not below it) / (B + 1)`, and the statistics
        of the permutations.

    Raises:
        ValueError: if a sample has fewer than two rows, the widths differ, or a number is not finite; if a bandwidth is
            not positive, or `num_permutations` is below 1.

    References:
        Biggs, Schrab and Gretton, MMD-FUSE: learning and combining kernels for two-sample testing without data
        splitting (2023), section 4; Phipson and Smyth, Permutation p-values should never be zero (2010).
    """
    x, y = two_samples(x, y, least=2)
    if num_permutations < 1:
        raise ValueError(f"`num_permutations` must be at least 1 (got {num_permutations}); try num_permutations=999.")
    n, m = len(x), len(y)
    # Scaled by the spread of the data, so that squared distances neither overflow nor underflow in single precision.
    pooled = _standardized(np.concatenate([x, y])) if standardize else np.concatenate([x, y])
    pooled = pooled - pooled.mean(0)
    unit = float(np.sqrt(np.mean(np.sum(pooled**2, 1))) or 1.0)
    z = jnp.asarray(pooled / unit, jnp.float32)
    if bandwidths is None:
        # If most pairs are equal the median is 0; then the mean squared distance is used, which is 2 in these units.
        bandwidths = (float(_median(z)) or 2.0) * unit**2 * 2.0 ** np.arange(-3, 4)
    bandwidths = np.atleast_1d(np.asarray(bandwidths, np.float64))
    if bandwidths.ndim != 1 or not len(bandwidths) or not np.all((bandwidths > 0) & np.isfinite(bandwidths)):
        raise ValueError(f"`bandwidths` must be positive numbers [k] with k >= 1 (got {bandwidths}); give r > 0.")
    generator = np.random.default_rng(seed)
    first = np.repeat([np.float32(1), np.float32(0)], [n, m])
    # Row 0 is the original split, so that it is computed with the same rounding as the permutations.
    members = np.concatenate([first[None], generator.permuted(np.tile(first, (num_permutations, 1)), axis=1)])
    scale = np.sqrt(min(n, m) * (min(n, m) - 1.0))
    ratios = []
    for r in bandwidths:
        sums, square = (np.asarray(part, np.float64) for part in _sums(z, members.T, jnp.float32(r / unit**2), chunk))
        within_x, of_row = np.einsum("bi,ib->b", members, sums[:, :-1]), sums[:, -1]
        total, of_x = of_row.sum(), members @ of_row
        # Sums over ordered pairs: within x, within y, and between x and y.
        within_y = total - 2 * of_x + within_x
        between = of_x - within_x
        estimates = within_x / (n * (n - 1.0)) + within_y / (m * (m - 1.0)) - 2 * between / (n * float(m))
        ratios.append(estimates / np.sqrt(max(square.sum() / (len(z) * (len(z) - 1.0)), 1e-30)))
    fused = special.logsumexp(scale * np.stack(ratios), axis=0, b=1 / len(bandwidths)) / scale
    equal = np.abs(fused[1:] - fused[0]) <= _ROUNDING
    null = np.sort(np.where(equal, fused[0], fused[1:]))
    not_below = np.sum(null >= fused[0])
    return PermutationTestResult(float(fused[0]), float((1 + not_below) / (num_permutations + 1)), null)


def mmd2_variance(x: ArrayLike, y: ArrayLike, *, bandwidth: float, chunk: int = DEFAULT_CHUNK) -> float:
    """Estimate the variance of `losses.mmd2` over new samples, for two different distributions.

    To first order the estimate is a mean over the rows of `x` plus a mean over the rows of `y`. The variances of both
    means are estimated from the given rows. If both distributions are equal, the first-order terms vanish and this
    estimate does not apply; use `permutation_test` instead.

    Args:
        x: the first sample, `[n, d]`.
        y: the second sample, `[m, d]`.
        bandwidth: r of the kernel `exp(-|x - y|^2 / r)`, in squared units of the data.
        chunk: number of rows compared at a time.

    Returns:
        The variance, >= 0.

    Raises:
        ValueError: if a sample has fewer than two rows, the widths differ, a number is not finite, or the bandwidth is
            not positive.

    References:
        Serfling, Approximation theorems of mathematical statistics (1980), section 5.5.1; Sutherland et al., Generative
        models and model criticism via optimized maximum mean discrepancy (2017), section 2.
    """
    x, y = two_samples(x, y, least=2)
    if not bandwidth > 0:
        raise ValueError(f"`bandwidth` must be positive (got {bandwidth}); give r > 0 in squared units of the data.")
    n, m = len(x), len(y)
    center, unit = np.concatenate([x, y]).mean(0), np.sqrt(bandwidth)
    a, b = (jnp.asarray((rows - center) / unit, jnp.float32) for rows in (x, y))
    within_x, cross_x, within_y, cross_y = (np.asarray(rows, np.float64) for rows in _row_sums(a, b, chunk))
    terms_x = 2 * (within_x / (n - 1) - cross_x / m)
    terms_y = 2 * (within_y / (m - 1) - cross_y / n)
    return float(terms_x.var(ddof=1) / n + terms_y.var(ddof=1) / m)


def _standardized(pooled: np.ndarray) -> np.ndarray:
    """Return columns `[n, d]` relative to their medians and robust scales, clipped; constant columns become 0."""
    # In units of the largest number first, so that differences do not overflow.
    largest = np.abs(pooled).max(0)
    units = pooled / np.where(largest > 0, largest, 1.0)
    centered = units - np.median(units, 0)
    distance = np.abs(centered)
    mad, range_ = np.median(distance, 0), np.subtract(*np.quantile(units, [0.75, 0.25], 0))
    scale = np.where(mad > 0, mad, np.where(range_ > 0, range_, distance.mean(0)))
    return np.clip(centered / np.where(scale > 0, scale, 1.0), -_FARTHEST, _FARTHEST)


@jax.jit
def _median(z: jax.Array) -> jax.Array:
    return median_squared_distance(z)


@functools.partial(jax.jit, static_argnums=3)
def _sums(z: jax.Array, members: jax.Array, r: jax.Array, chunk: int) -> tuple[jax.Array, jax.Array]:
    """Return sums of each row's kernel with the other rows.

    Args:
        z: pooled rows, `[n, d]`.
        members: 1 for the rows of the first sample, else 0, for each of B splits, `[n, B]`.
        r: the bandwidth, `[]`.
        chunk: number of rows compared at a time.

    Returns:
        Sums over the first sample of each split and, in the last column, over all rows, `[n, B + 1]`; sums of the
        squared kernel over all rows, `[n]`.
    """
    ones = jnp.ones((len(z), 1), z.dtype)
    sums = functools.partial(products, x=z, y=z, first=0, chunk=chunk)
    by_split = sums(functools.partial(gaussian, bandwidth=r), vectors=jnp.concatenate([members, ones], 1))
    return by_split, sums(functools.partial(gaussian, bandwidth=r / 2), vectors=ones)[:, 0]


@functools.partial(jax.jit, static_argnums=2)
def _row_sums(x: jax.Array, y: jax.Array, chunk: int) -> tuple[jax.Array, ...]:
    """Return kernel sums of each row with the rest of its sample and with the other sample.

    In order: within x `[n]`, x with y `[n]`, within y `[m]`, y with x `[m]`.
    """

    def sums(rows: jax.Array, columns: jax.Array, first: int | None) -> jax.Array:
        kernel, ones = functools.partial(gaussian, bandwidth=1.0), jnp.ones((len(columns), 1), columns.dtype)
        return products(kernel, rows, columns, ones, first=first, chunk=chunk)[:, 0]

    return sums(x, x, 0), sums(x, y, None), sums(y, y, 0), sums(y, x, None)
