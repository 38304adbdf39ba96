"""Whether two samples have one law: a permutation test by the kernels' maximum mean discrepancy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from jaxgen.metrics.samples import two_samples
from jaxgen.numerics.kernels import ROWS, gaussian, products
from jaxgen.numerics.pairwise_median import median_squared_distance

__all__ = ["TwoSample", "mmd2_variance", "permutation_test"]

# Differences this small between statistics of order one are rounding, and count as none.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class TwoSample:
    """What a permutation test found.

    Attributes:
        statistic: of the samples as they are; the larger, the further apart.
        p_value: probability of such a statistic, or a larger one, where both laws are one.
        null: the statistic under each permutation, `[B]`, in order.
    """

    statistic: float
    p_value: float
    null: np.ndarray

    def quantile(self, level: float = 0.05) -> float:
        """Return what a statistic must exceed to have a p-value of at most `level`; inf where none can.

        Args:
            level: the probability of a false alarm, between 0 and 1.

        Returns:
            One of the permutations' statistics, or inf where there are fewer than `1 / level - 1` of them.

        Raises:
            ValueError: if the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level is {level}; make it a share between 0 and 1, such as 0.05.")
        above = int(level * (len(self.null) + 1) + 1e-9) - 1  # permutations that may lie at or above it
        return float(self.null[len(self.null) - 1 - above]) if above >= 0 else float("inf")


def permutation_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bandwidths: ArrayLike | float | None = None,
    permutations: int = 999,
    seed: int = 0,
    chunk: int = ROWS,
) -> TwoSample:
    """Test whether two samples have one law by their maximum mean discrepancy, over several bandwidths at once.

    Where the rows of both are exchangeable, `p <= level` has at most the probability `level`, whatever the bandwidths,
    so long as these do not depend on which row is of which sample; exactly that one where no statistics are equal and
    `level * (permutations + 1)` is a whole number. Statistics that differ by rounding, 1e-6, count as equal: bandwidths
    some thousand times the data's squared spread, whose estimates all lie so near to 0, raise no alarm.

    For each bandwidth the unbiased estimate `losses.mmd2` is divided by the root mean square of the pooled kernel, and
    those quotients are fused by a soft maximum. Another constant in the place of the number of pooled pairs, by which
    that mean square is one, would make it sharper or softer, and leave the level as it is. A single bandwidth's test is
    that of its estimate alone.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        bandwidths: r of the kernels `exp(-|x - y|^2 / r)`, `[k]`, in squared units of the data; None is 2^-3 to 2^3
            times the median of the pooled squared distances, or their mean where the median is 0.
        permutations: B.
        seed: of the permutations.
        chunk: rows that are compared at a time; memory is `(n + m) * (chunk + B)`.

    Returns:
        The fused statistic, its p-value `(1 + number of permutations not below it) / (B + 1)`, and theirs.

    Raises:
        ValueError: if there are fewer than two rows of either, widths differ, a number is not finite, a bandwidth is
            not positive, or there is no permutation.

    References:
        Biggs, Schrab and Gretton, MMD-FUSE: learning and combining kernels for two-sample testing without data
        splitting (2023), section 4; Phipson and Smyth, Permutation p-values should never be zero (2010).
    """
    x, y = two_samples(x, y, least=2)
    if permutations < 1:
        raise ValueError(f"there are {permutations} permutations; make it one at least, such as 999.")
    n, m = len(x), len(y)
    # In units of the data's own spread, so that single precision holds them.
    pooled = np.concatenate([x, y])
    pooled -= pooled.mean(0)
    unit = float(np.sqrt(np.mean(np.sum(pooled**2, 1))) or 1.0)
    z = jnp.asarray(pooled / unit, jnp.float32)
    if bandwidths is None:
        # Where most pairs are equal their median is 0, and the mean, twice the variance, is taken.
        bandwidths = (float(_median(z)) or 2.0) * unit**2 * 2.0 ** np.arange(-3, 4)
    bandwidths = np.atleast_1d(np.asarray(bandwidths, np.float64))
    if bandwidths.ndim != 1 or not len(bandwidths) or not np.all((bandwidths > 0) & np.isfinite(bandwidths)):
        raise ValueError(f"bandwidths are {bandwidths}; give one positive number at least.")
    generator = np.random.default_rng(seed)
    first = np.repeat([np.float32(1), np.float32(0)], [n, m])
    # The samples as they are come first and are treated like every permutation of them.
    members = np.concatenate([first[None], generator.permuted(np.tile(first, (permutations, 1)), axis=1)])
    scale = np.sqrt(min(n, m) * (min(n, m) - 1.0))
    found = []
    for r in bandwidths:
        seen, square = (np.asarray(part, np.float64) for part in _sums(z, members.T, jnp.float32(r / unit**2), chunk))
        own, rows = np.einsum("bi,ib->b", members, seen[:, :-1]), seen[:, -1]
        whole, joined = rows.sum(), members @ rows
        # Of the ordered pairs within x, within y, and one of each.
        within_y = whole - 2 * joined + own
        estimates = own / (n * (n - 1.0)) + within_y / (m * (m - 1.0)) - 2 * (joined - own) / (n * float(m))
        found.append(estimates / np.sqrt(max(square.sum() / (len(z) * (len(z) - 1.0)), 1e-30)))
    fused = special.logsumexp(scale * np.stack(found), axis=0, b=1 / len(bandwidths)) / scale
    equal = np.abs(fused[1:] - fused[0]) <= _ROUNDING
    null = np.sort(np.where(equal, fused[0], fused[1:]))
    not_below = np.sum(null >= fused[0])
    return TwoSample(float(fused[0]), float((1 + not_below) / (permutations + 1)), null)


def mmd2_variance(x: ArrayLike, y: ArrayLike, *, bandwidth: float, chunk: int = ROWS) -> float:
    """Estimate the variance of `losses.mmd2` over new samples, where the laws differ.

    To first order an estimate is a mean over the rows of `x` and one over those of `y` of what each contributes, and
    their variances are estimated by those of the rows at hand. Where both laws are one all rows contribute alike, and
    what is left is of second order, of which this says nothing: there `permutation_test` has the distribution.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        bandwidth: r, in squared units of the data.
        chunk: rows that are compared at a time.

    Returns:
        The variance, >= 0.

    Raises:
        ValueError: if there are fewer than two rows of either, widths differ, a number is not finite, or the bandwidth
            is not positive.

    References:
        Serfling, Approximation theorems of mathematical statistics (1980), section 5.5.1; Sutherland et al., Generative
        models and model criticism via optimized maximum mean discrepancy (2017), section 2.
    """
    x, y = two_samples(x, y, least=2)
    if not bandwidth > 0:
        raise ValueError(f"bandwidth is {bandwidth}; make it positive.")
    n, m = len(x), len(y)
    centre, unit = np.concatenate([x, y]).mean(0), np.sqrt(bandwidth)
    a, b = (jnp.asarray((rows - centre) / unit, jnp.float32) for rows in (x, y))
    own_x, cross_x, own_y, cross_y = (np.asarray(rows, np.float64) for rows in _row_sums(a, b, chunk))
    contributed_x = 2 * (own_x / (n - 1) - cross_x / m)
    contributed_y = 2 * (own_y / (m - 1) - cross_y / n)
    return float(contributed_x.var(ddof=1) / n + contributed_y.var(ddof=1) / m)


@jax.jit
def _median(z: jax.Array) -> jax.Array:
    return median_squared_distance(z)


@functools.partial(jax.jit, static_argnums=3)
def _sums(z: jax.Array, members: jax.Array, r: jax.Array, chunk: int) -> tuple[jax.Array, jax.Array]:
    """Return each row's kernels with the others, added up over each set of members `[n, B]` and over all, `[n, B + 1]`;
    and their squares over all, `[n]`.
    """
    ones = jnp.ones((len(z), 1), z.dtype)
    sums = functools.partial(products, x=z, y=z, first=0, chunk=chunk)
    seen = sums(functools.partial(gaussian, bandwidth=r), vectors=jnp.concatenate([members, ones], 1))
    return seen, sums(functools.partial(gaussian, bandwidth=r / 2), vectors=ones)[:, 0]


@functools.partial(jax.jit, static_argnums=2)
def _row_sums(x: jax.Array, y: jax.Array, chunk: int) -> tuple[jax.Array, ...]:
    """Return each row's kernels with its own sample's other rows and with the other sample's, of x and of y."""

    def sums(rows: jax.Array, columns: jax.Array, first: int | None) -> jax.Array:
        kernel, ones = functools.partial(gaussian, bandwidth=1.0), jnp.ones((len(columns), 1), columns.dtype)
        return products(kernel, rows, columns, ones, first=first, chunk=chunk)[:, 0]

    return sums(x, x, 0), sums(x, y, None), sums(y, y, 0), sums(y, x, None)
