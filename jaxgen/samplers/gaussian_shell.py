"""Samples on shells around a normal distribution: directions, radii, and whitening."""

import math
import numbers
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxgen.numerics.precision import promoted
from jaxgen.sharding import automatic
from jaxgen.types import Array, Float, Key

__all__ = [
    "Whitening",
    "bungert_radii",
    "chi_radii",
    "chi_radius",
    "extreme_radii",
    "shell",
    "whitening",
]


class Whitening(NamedTuple):
    """Affine map between a normal distribution and the standard normal, from its mean and covariance factor."""

    mean: Float[Array, " d"]
    root: Float[Array, "d d"]  # lower triangular; the covariance is `root @ root.T`

    def whiten(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Whiten samples `[n, d]`: subtract the mean and divide by `root`; their norms are Mahalanobis distances."""
        x, mean, root = promoted(x, *self)
        return jax.scipy.linalg.solve_triangular(root, (x - mean[None]).T, lower=True).T

    def unwhiten(self, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Map standard normal samples `[n, d]` to this normal distribution: the inverse of `whiten`."""
        z, mean, root = promoted(z, *self)
        return z @ root.T + mean[None]


def shell(key: Key[Array, ""], n: int, *, dimensions: int, radius: float | Float[Array, "..."]) -> Float[Array, "n d"]:
    """Uniform samples on spheres around the origin.

    Args:
        key: random key of the directions.
        n: number of samples.
        dimensions: d.
        radius: radius of the sphere: one for all samples, or one for each, `[n]`.

    Returns:
        Samples `[n, d]`.

    Raises:
        ValueError: if `radius` has neither shape `[]` nor `[n]`, or is negative, or `dimensions` is not a whole number
            of at least 1.
    """
    _check_dimensions(dimensions)
    radius = jnp.asarray(radius, float if isinstance(radius, int | float) else None)
    radius = radius.astype(jnp.promote_types(radius.dtype, jnp.float32))
    if not isinstance(radius, jax.core.Tracer) and not np.all(np.asarray(radius) >= 0):
        raise ValueError(f"`radius` must not be negative or NaN (got {radius}); pass a radius of at least 0.")
    if radius.shape not in ((), (n,)):
        raise ValueError(
            f"`radius` must have shape () or ({n},) (got {radius.shape}); pass one radius, or one per sample."
        )
    direction = jax.random.normal(key, (n, dimensions), radius.dtype)
    return jnp.reshape(radius, (-1, 1)) * direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)


def chi_radius(tail: float, *, dimensions: int) -> float:
    """Radius that a standard normal sample exceeds with a given probability.

    Args:
        tail: probability of a larger norm, between 0 and 1.
        dimensions: d, >= 1.

    Returns:
        The quantile at `1 - tail` of the chi distribution with d degrees of freedom.

    Raises:
        ValueError: if `tail` is not between 0 and 1, or `dimensions` is not a whole number of at least 1.
    """
    _check_dimensions(dimensions)
    if not 0 < tail < 1:
        raise ValueError(f"`tail` must be between 0 and 1 (got {tail}); use for example tail=0.01.")
    return float(stats.chi.isf(tail, dimensions))


def chi_radii(key: Key[Array, ""], n: int, *, dimensions: int) -> Float[Array, " n"]:
    """Radii from the chi distribution, the norms of standard normal samples.

    With these radii `shell` samples the standard normal distribution; scaled radii give a wider or narrower one.

    Args:
        key: random key.
        n: number of radii.
        dimensions: d.

    Returns:
        Radii `[n]`.

    Raises:
        ValueError: if `dimensions` is not a whole number of at least 1.
    """
    _check_dimensions(dimensions)
    return jnp.linalg.norm(jax.random.normal(key, (n, dimensions)), axis=1)


def extreme_radii(key: Key[Array, ""], n: int, *, dimensions: int, draws: int | float) -> Float[Array, " n"]:
    """Radii from the Gumbel limit of the largest norm among many standard normal samples.

    Its location is the radius that one of the `draws` samples is expected to exceed. Its scale is
    `1 / (draws * density)`, with the chi density at the location.

    Args:
        key: random key.
        n: number of radii.
        dimensions: d, >= 1.
        draws: number of samples among which the norm is the largest, >= 2 and finite. More draws give radii that are
            larger and closer together.

    Returns:
        Radii `[n]`, >= 0.

    Raises:
        ValueError: if `draws` is less than 2 or infinite, or `dimensions` is not a whole number of at least 1.

    References:
        Embrechts, Kluppelberg and Mikosch, Modelling extremal events (1997), example 3.3.28; Bungert, Master's thesis
        (Heidelberg, 2021), section 3.1.1.
    """
    if not 2 <= draws < math.inf:
        raise ValueError(f"`draws` must be finite and at least 2 (got {draws}); use for example 1000.")
    location = chi_radius(1 / draws, dimensions=dimensions)
    scale = 1 / (draws * float(stats.chi.pdf(location, dimensions)))
    return jnp.maximum(location + scale * jax.random.gumbel(key, (n,)), 0.0)


def bungert_radii(key: Key[Array, ""], n: int, *, dimensions: int, factor: int | float) -> Float[Array, " n"]:
    """Radii as in the code of Bungert's thesis: Gumbel distributed, near a multiple of sqrt(d).

    The norm is approximated as normal with mean m = sqrt(d) and standard deviation 0.7. The number of samples is set so
    that the largest norm lies near `factor * m`. In two dimensions the exact norm has a Rayleigh distribution; in many
    dimensions the radii lie in a thin shell.

    Args:
        key: random key.
        n: number of radii.
        dimensions: d, >= 1.
        factor: s, > 1 and finite; the thesis uses 3 for points in the plane and 1.5 for images.

    Returns:
        Radii `[n]`, Gumbel with location m + 0.7 b and scale 0.7 / a, where a = sqrt(2 L), b = a - (ln L + ln 4 pi) /
        (2 a) and L = ((s - 1) m)^2.

    Raises:
        ValueError: if `dimensions` is not a whole number of at least 1, or `factor` is infinite, or so small that it
            corresponds to fewer than two draws.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 3.1.1, and its code.
    """
    _check_dimensions(dimensions)
    if not factor < math.inf:
        raise ValueError(f"`factor` must be finite (got {factor}); use for example factor=1.5.")
    mean = math.sqrt(dimensions)
    log_draws = ((factor - 1) * mean) ** 2
    if not (factor > 1 and log_draws >= math.log(2)):
        minimum = 1 + math.sqrt(math.log(2)) / mean
        raise ValueError(
            f"`factor` must correspond to at least two draws (got {factor} in {dimensions} dimensions); use at least "
            f"{minimum:.3f}."
        )
    norming = math.sqrt(2 * log_draws)
    location = norming - (math.log(log_draws) + math.log(4 * math.pi)) / (2 * norming)
    return mean + 0.7 * (location + jax.random.gumbel(key, (n,)) / norming)


def whitening(x: Float[Array, "n d"], *, ridge: float = 1e-4) -> Whitening:
    """Whitening transform of samples: their mean and a Cholesky factor of their covariance.

    Args:
        x: samples `[n, d]`, n >= 2, in any precision; integers are converted to single precision.
        ridge: added to every variance, relative to the mean variance. It makes the covariance of degenerate samples, or
            of fewer samples than dimensions, positive definite. In single precision 1e-4 suffices; less may not.

    Returns:
        The transform for the normal distribution with these moments.

    Raises:
        ValueError: if there are fewer than two samples, or `ridge` is negative or infinite.
    """
    (x,) = promoted(x)
    if not 0 <= ridge < math.inf:
        raise ValueError(f"`ridge` must be finite and at least 0 (got {ridge}); the default is 1e-4.")
    if len(x) < 2:
        raise ValueError(f"whitening needs at least 2 samples for a covariance (got {len(x)}); pass more samples.")

    def moments(x: Array) -> Whitening:
        mean = jnp.mean(x, 0)
        covariance = (x - mean[None]).T @ (x - mean[None]) / (len(x) - 1)
        size = jnp.maximum(jnp.trace(covariance) / x.shape[1], jnp.finfo(x.dtype).tiny ** 0.5)
        return Whitening(mean, jnp.linalg.cholesky(covariance + ridge * size * jnp.eye(x.shape[1], dtype=x.dtype)))

    return automatic(moments, x)


def _check_dimensions(dimensions: int) -> None:
    if not isinstance(dimensions, numbers.Integral) or dimensions < 1:
        raise ValueError(f"`dimensions` must be a whole number of at least 1 (got {dimensions!r}); try dimensions=2.")
