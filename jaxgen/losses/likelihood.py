"""Log-likelihoods of images with values in [0, 1] under a decoder's output, in nats, and bits per dimension."""

import math

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float
from jaxgen.validation import check_floating

__all__ = [
    "bernoulli_log_likelihood",
    "bits_per_dimension",
    "discretized_gaussian_log_likelihood",
    "gaussian_log_likelihood",
]


def bernoulli_log_likelihood(x: Float[Array, "n ..."], logits: Float[Array, "..."]) -> Float[Array, " n"]:
    """Log-likelihood of pixels under independent Bernoulli distributions (negative binary cross-entropy).

    For pixels other than 0 and 1 it is not a log-likelihood, since those values have no probability. It is often used
    as one regardless.

    Args:
        x: samples with values in [0, 1], `[n, ...]`.
        logits: log-odds of each pixel, of the same shape.

    Returns:
        Sums over each sample in nats, `[n]`, <= 0.

    Raises:
        TypeError: if `x` is not floating-point.
        ValueError: if the shapes differ.
    """
    x, logits = _checked("bernoulli_log_likelihood", x, logits)
    return _sum_per_sample(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits))


def gaussian_log_likelihood(
    x: Float[Array, "n ..."], mean: Float[Array, "..."], *, log_scale: float | Float[Array, ""] = 0.0
) -> Float[Array, " n"]:
    """Log-density under independent normal distributions with one common standard deviation.

    Args:
        x: samples `[n, ...]`.
        mean: means, of the same shape.
        log_scale: logarithm of the standard deviation, `[]`.

    Returns:
        Log-densities in nats, `[n]`.

    Raises:
        TypeError: if `x` is not floating-point.
        ValueError: if the shapes differ.
    """
    x, mean = _checked("gaussian_log_likelihood", x, mean)
    log_scale = jnp.asarray(log_scale, x.dtype)
    standardized = (x - mean) * jnp.exp(-log_scale)
    return _sum_per_sample(-0.5 * standardized**2 - log_scale - 0.5 * math.log(2 * math.pi))


def discretized_gaussian_log_likelihood(
    x: Float[Array, "n ..."],
    mean: Float[Array, "..."],
    *,
    log_scale: float | Float[Array, ""] = 0.0,
    levels: int = 256,
) -> Float[Array, " n"]:
    """Log-probability of quantized samples under normal distributions that are rounded to the same levels.

    The probability of a level is the mass of the interval that is rounded to it. The lowest and highest level also get
    the mass below and above them, so that the probabilities of all levels add up to 1.

    Args:
        x: samples with values on the levels 0, 1 / (levels - 1), ..., 1, `[n, ...]`.
        mean: means before rounding, of the same shape.
        log_scale: logarithm of the standard deviation before rounding, in the units of `x`, `[]`.
        levels: number of levels, >= 2.

    Returns:
        Log-probabilities in nats, `[n]`, <= 0.

    Raises:
        TypeError: if `x` is not floating-point.
        ValueError: if the shapes differ, or `levels` is less than 2.
    """
    x, mean = _checked("discretized_gaussian_log_likelihood", x, mean)
    if levels < 2:
        raise ValueError(f"`levels` must be at least 2 (got {levels}); 8-bit images have 256.")
    half = 0.5 / (levels - 1)
    inverse = jnp.exp(-jnp.asarray(log_scale, x.dtype))
    center, width = (x - mean) * inverse, 2 * half * inverse
    lowest, highest = x < half, x > 1 - half
    # By symmetry the smaller tail can be used, which keeps the relative precision.
    edge = jax.scipy.special.log_ndtr(jnp.where(lowest, center + width / 2, width / 2 - center))
    return _sum_per_sample(jnp.where(lowest | highest, edge, _log_interval(center, width)))


def _log_interval(center: Array, width: Array) -> Array:
    """Log-mass of an interval under the standard normal distribution."""
    narrow = width < 0.05
    # The two tails of a narrow interval nearly cancel; there a second-order expansion about its center is used.
    wide_width = jnp.where(narrow, 1.0, width)
    top = jax.scipy.special.log_ndtr(-jnp.abs(center) + wide_width / 2)
    bottom = jax.scipy.special.log_ndtr(-jnp.abs(center) - wide_width / 2)
    wide = top + jnp.log(-jnp.expm1(bottom - top))
    narrow_width = jnp.where(narrow, width, 0.05)
    curvature = jnp.log1p(narrow_width**2 / 24 * (center**2 - 1))
    expanded = curvature - 0.5 * center**2 - 0.5 * math.log(2 * math.pi) + jnp.log(narrow_width)
    return jnp.where(narrow, expanded, wide)


def bits_per_dimension(nats: Float[Array, "..."], dimensions: int) -> Float[Array, "..."]:
    """Convert negative log-likelihoods in nats per sample to bits per dimension.

    Args:
        nats: negative log-likelihoods of whole samples, `[...]`.
        dimensions: number of values in a sample, including all channels.

    Returns:
        Bits per dimension, `[...]`.
    """
    (nats,) = promoted(nats)
    return nats / (dimensions * math.log(2))


def _sum_per_sample(terms: Array) -> Array:
    return jnp.sum(terms, tuple(range(1, terms.ndim)))


def _checked(name: str, x: Array, parameters: Array) -> tuple[Array, ...]:
    """Samples and parameters in a common dtype."""
    check_floating(name, x)
    if x.shape != parameters.shape:
        raise ValueError(
            f"{name} needs samples and distribution parameters of the same shape (got {x.shape} and "
            f"{parameters.shape}); pass one parameter for each value."
        )
    return promoted(x, parameters)
