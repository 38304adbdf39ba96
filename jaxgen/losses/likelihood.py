"""Log-likelihoods of images between 0 and 1 given what a decoder makes, in nats, and their conversion to bits."""

import math

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float
from jaxgen.validation import check_floating

__all__ = [
    "bernoulli_log_likelihood",
    "bits_per_dimension",
    "discretized_gaussian_log_likelihood",
    "gaussian_log_likelihood",
]


def bernoulli_log_likelihood(x: Float[Array, "n ..."], logits: Float[Array, "..."]) -> Float[Array, " n"]:
    """Return the negative cross-entropy between pixels and Bernoulli laws.

    Where pixels are not 0 or 1 it is no log-likelihood, as the numbers between have no probability, but is used as one.

    Args:
        x: rows between 0 and 1, `[n, ...]`.
        logits: the laws' log-odds, of the same shape.

    Returns:
        In nats, summed over each row, `[n]`, <= 0.

    Raises:
        TypeError: if the rows are no floating-point numbers.
        ValueError: if the shapes differ.
    """
    _check("bernoulli_log_likelihood", x, logits)
    return _rows(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits))


def gaussian_log_likelihood(
    x: Float[Array, "n ..."], mean: Float[Array, "..."], *, log_scale: float | Float[Array, ""] = 0.0
) -> Float[Array, " n"]:
    """Return the log-density of rows under normal laws of one deviation.

    Args:
        x: rows `[n, ...]`.
        mean: of the same shape.
        log_scale: logarithm of the deviation.

    Returns:
        In nats, `[n]`.

    Raises:
        TypeError: if the rows are no floating-point numbers.
        ValueError: if the shapes differ.
    """
    _check("gaussian_log_likelihood", x, mean)
    away = (x - mean) * jnp.exp(-jnp.asarray(log_scale))
    return _rows(-0.5 * away**2 - log_scale - 0.5 * math.log(2 * math.pi))


def discretized_gaussian_log_likelihood(
    x: Float[Array, "n ..."],
    mean: Float[Array, "..."],
    *,
    log_scale: float | Float[Array, ""] = 0.0,
    levels: int = 256,
) -> Float[Array, " n"]:
    """Return the log-probability of rows on a scale of so many levels under rounded normal laws.

    A level has the probability of the numbers that are rounded to it; the lowest and the highest have all below and
    above them, so that the probabilities of all levels add up to 1.

    Args:
        x: rows on the levels 0, 1 / (levels - 1), ..., 1, `[n, ...]`.
        mean: of the laws before rounding, of the same shape.
        log_scale: logarithm of their deviation, on the scale of `x`.
        levels: how many.

    Returns:
        In nats, `[n]`, <= 0.

    Raises:
        TypeError: if the rows are no floating-point numbers.
        ValueError: if the shapes differ, or there is one level.
    """
    _check("discretized_gaussian_log_likelihood", x, mean)
    if levels < 2:
        raise ValueError(f"levels is {levels}; make it 2 at least.")
    half = 0.5 / (levels - 1)
    inverse = jnp.exp(-jnp.asarray(log_scale))
    centre, width = (x - mean) * inverse, 2 * half * inverse
    lowest, highest = x < half, x > 1 - half
    # A level is judged from the side of the mean on which its tail is small; the law is symmetric.
    edge = jax.scipy.special.log_ndtr(jnp.where(lowest, centre + width / 2, width / 2 - centre))
    return _rows(jnp.where(lowest | highest, edge, _log_interval(centre, width)))


def _log_interval(centre: Array, width: Array) -> Array:
    """Return the logarithm of the standard normal law's mass on an interval."""
    narrow = width < 0.05
    # Of a narrow one two tails would be nearly equal: the density in the middle, and its curvature.
    wide_width = jnp.where(narrow, 1.0, width)
    top = jax.scipy.special.log_ndtr(-jnp.abs(centre) + wide_width / 2)
    bottom = jax.scipy.special.log_ndtr(-jnp.abs(centre) - wide_width / 2)
    wide = top + jnp.log(-jnp.expm1(bottom - top))
    flat_width = jnp.where(narrow, width, 0.05)
    curved = jnp.log1p(flat_width**2 / 24 * (centre**2 - 1))
    flat = curved - 0.5 * centre**2 - 0.5 * math.log(2 * math.pi) + jnp.log(flat_width)
    return jnp.where(narrow, flat, wide)


def bits_per_dimension(nats: Float[Array, "..."], dimensions: int) -> Float[Array, "..."]:
    """Return what a negative log-likelihood in nats is in bits for each dimension.

    Args:
        nats: negative log-likelihoods.
        dimensions: of a row, all channels counted.

    Returns:
        Of the same shape.
    """
    return nats / (dimensions * math.log(2))


def _rows(terms: Array) -> Array:
    return jnp.sum(terms, tuple(range(1, terms.ndim)))


def _check(name: str, x: Array, made: Array) -> None:
    check_floating(name, x)
    if x.shape != made.shape:
        raise ValueError(f"{name} got rows {x.shape} and what was made of them {made.shape}; give one shape.")
