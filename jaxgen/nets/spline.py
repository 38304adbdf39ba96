"""Monotonic rational-quadratic splines with linear tails, and their coupling layer."""

import math
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.bijections import Moved
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.nets.coupling import transform_half
from jaxgen.types import Array, Float
from jaxgen.validation import check_positive, check_whole

__all__ = ["SplineCoupling", "rational_quadratic_spline", "rational_quadratic_spline_inverse"]

MIN_SHARE = 1e-3  # of the interval, for each bin
MIN_SLOPE = 1e-3


def rational_quadratic_spline(x: Float[Array, "..."], raw: Float[Array, "... p"], *, bound: float) -> Moved:
    """Monotonic rational-quadratic spline on [-bound, bound], and the identity outside.

    Args:
        x: numbers `[...]`.
        raw: unbounded parameters `[..., 3 * bins - 1]`: logits of the bins' widths, logits of their heights, and the
            slopes at inner knots before a softplus. All zeros give the identity.
        bound: end of the interval, positive.

    Returns:
        The transformed numbers and the logarithms of the slopes there, both `[...]`.

    References:
        Durkan, Bekasov, Murray and Papamakarios, Neural spline flows (2019), equations 4 and 5.
    """
    inside = jnp.abs(x) < bound
    widths, heights, slopes = _bins(raw, bound)
    spline = _bin_of(jnp.where(inside, x, 0.0), widths, widths, heights, slopes, bound)
    t = _share((jnp.where(inside, x, 0.0) - spline.x) / spline.width)
    mean_slope = spline.height / spline.width
    curve = t * (1 - t)
    numerator = spline.height * (mean_slope * t**2 + spline.left * curve)
    y = spline.y + numerator / (mean_slope + (spline.left + spline.right - 2 * mean_slope) * curve)
    return jnp.where(inside, y, x), jnp.where(inside, _log_slope(spline, t), 0.0)


def rational_quadratic_spline_inverse(y: Float[Array, "..."], raw: Float[Array, "... p"], *, bound: float) -> Moved:
    """Inverse of `rational_quadratic_spline`, with the same arguments.

    Returns:
        The numbers before the transformation, and the logarithms of the inverse map's slopes, both `[...]`.

    References:
        Durkan et al. (2019), equations 6 to 8 and 29, with the root that does not cancel.
    """
    inside = jnp.abs(y) < bound
    widths, heights, slopes = _bins(raw, bound)
    spline = _bin_of(jnp.where(inside, y, 0.0), heights, widths, heights, slopes, bound)
    mean_slope = spline.height / spline.width
    rise = _share((jnp.where(inside, y, 0.0) - spline.y) / spline.height)
    bend = spline.left + spline.right - 2 * mean_slope
    a = mean_slope - spline.left + rise * bend
    b = spline.left - rise * bend
    c = -mean_slope * rise
    t = _share(-2 * c / (b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 1e-30))))
    x = spline.x + t * spline.width
    return jnp.where(inside, x, y), jnp.where(inside, -_log_slope(spline, t), 0.0)


class SplineCoupling(nn.Module):
    """Coupling layer of monotonic rational-quadratic splines: one spline for each feature of one half.

    A network computes the splines from the other half. Outside of [-bound, bound] a feature stays as it is, so no
    sample is moved far away.

    Attributes:
        conditioner: factory of the network, for vectors or for images; called with the number of outputs.
        flip: if True, the first half of the last axis is transformed, else the second.
        bins: number of bins of each spline.
        bound: end of the interval that is transformed.

    References:
        Durkan, Bekasov, Murray and Papamakarios, Neural spline flows (2019), section 3.
    """

    conditioner: DenseConditioner | ConvConditioner = DenseConditioner()
    flip: bool = False
    bins: int = 8
    bound: float = 5.0

    def __call__(self, x: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the transformed samples, and log |det J|, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(x, condition, rational_quadratic_spline)

    def inverse(self, z: Float[Array, "..."], condition: Float[Array, "... c"] | None = None) -> Moved:
        """Return the inverse-transformed samples, and log |det J| of the inverse map, `[...]`.

        Raises:
            ValueError: if the last axis is shorter than 2.
        """
        return self._along(z, condition, rational_quadratic_spline_inverse)

    def __post_init__(self) -> None:
        check_whole(1, bins=self.bins)
        check_positive(bound=self.bound)
        super().__post_init__()

    @nn.compact
    def _along(self, x: Array, condition: Array | None, spline: Callable[..., Moved]) -> Moved:
        def move(moving: Array, output: Array) -> Moved:
            moved, log_slopes = spline(moving, output.reshape(*moving.shape, 3 * self.bins - 1), bound=self.bound)
            return moved, jnp.sum(log_slopes, tuple(range(-self.conditioner.axes, 0)))

        return transform_half(self.conditioner, self.flip, 3 * self.bins - 1, x, condition, move)


class _Bin(NamedTuple):
    """The bin that a number is in: its lower corner, its size, and the slopes at both ends."""

    x: Array
    y: Array
    width: Array
    height: Array
    left: Array
    right: Array


def _bins(raw: Array, bound: float) -> tuple[Array, Array, Array]:
    """Return widths and heights `[..., bins]`, and slopes at all knots `[..., bins + 1]`."""
    bins = (raw.shape[-1] + 1) // 3
    share = lambda logits: 2 * bound * (MIN_SHARE + (1 - MIN_SHARE * bins) * jax.nn.softmax(logits, -1))
    shift = math.log(math.expm1(1 - MIN_SLOPE))  # slopes are 1 where the parameters are 0
    slopes = MIN_SLOPE + jax.nn.softplus(raw[..., 2 * bins :] + shift)
    end = jnp.ones_like(raw[..., :1])
    return share(raw[..., :bins]), share(raw[..., bins : 2 * bins]), jnp.concatenate([end, slopes, end], -1)


def _bin_of(x: Array, sizes: Array, widths: Array, heights: Array, slopes: Array, bound: float) -> _Bin:
    """Return the bin of each number along the axis whose bins have these sizes.

    Sums over masks replace look-ups: the gradient of a look-up is a scatter, which is slow on a CPU.
    """
    knots = jax.lax.stop_gradient(jnp.cumsum(sizes, -1)[..., :-1]) - bound
    passed = x[..., None] >= knots
    never, always = jnp.zeros_like(passed[..., :1]), jnp.ones_like(passed[..., :1])
    before = jnp.concatenate([passed, never], -1)
    here = jnp.concatenate([always, passed], -1) & ~before
    pick = lambda mask, values: jnp.sum(jnp.where(mask, values, 0.0), -1)
    return _Bin(
        pick(before, widths) - bound,
        pick(before, heights) - bound,
        pick(here, widths),
        pick(here, heights),
        pick(here, slopes[..., :-1]),
        pick(here, slopes[..., 1:]),
    )


def _share(t: Array) -> Array:
    """Remove the rounding errors of shares in [0, 1]; the gradient is that of `t`, which `clip` halves at 0 and 1."""
    return t + jax.lax.stop_gradient(jnp.clip(t, 0.0, 1.0) - t)


def _log_slope(spline: _Bin, t: Array) -> Array:
    """Return the logarithm of the spline's slope at shares `t` of the bins' widths."""
    mean_slope = spline.height / spline.width
    curve = t * (1 - t)
    numerator = spline.right * t**2 + 2 * mean_slope * curve + spline.left * (1 - t) ** 2
    denominator = mean_slope + (spline.left + spline.right - 2 * mean_slope) * curve
    return 2 * jnp.log(mean_slope) + jnp.log(numerator) - 2 * jnp.log(denominator)
