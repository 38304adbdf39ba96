"""Draws from the edge of a standard normal law: from far shells, and what makes any normal law a standard one."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from scipy import stats

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
    """A normal law's mean and the square root of its covariance."""

    mean: Float[Array, " d"]
    root: Float[Array, "d d"]  # lower triangular

    def standard(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Return rows `[n, d]` as the standard law has them; their norms are Mahalanobis distances."""
        return jax.scipy.linalg.solve_triangular(self.root, (x - self.mean[None]).T, lower=True).T

    def uncolored(self, z: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """Return rows `[n, d]` of the standard law as this law has them."""
        return z @ self.root.T + self.mean[None]


def shell(key: Key[Array, ""], n: int, *, dimensions: int, radius: float | Float[Array, "..."]) -> Float[Array, "n d"]:
    """Draw in uniform directions, at a given distance from the origin.

    Args:
        key: of the directions.
        n: how many.
        dimensions: d.
        radius: one for all, or one for each, `[n]`.

    Returns:
        Rows `[n, d]`.

    Raises:
        ValueError: if the radii are neither one nor n.
    """
    radius = jnp.asarray(radius)
    if radius.shape not in ((), (n,)):
        raise ValueError(f"{n} directions got radii of shape {radius.shape}; give one number, or one for each.")
    direction = jax.random.normal(key, (n, dimensions))
    return jnp.reshape(radius, (-1, 1)) * direction / jnp.linalg.norm(direction, axis=-1, keepdims=True)


def chi_radius(tail: float, *, dimensions: int) -> float:
    """Return the radius beyond which a standard normal law has a given share of its draws, exactly.

    Args:
        tail: the share, between 0 and 1.
        dimensions: d.

    Returns:
        The quantile of the chi law with d degrees of freedom at 1 - tail.

    Raises:
        ValueError: if the tail is no share or there is no dimension.
    """
    if not 0 < tail < 1 or dimensions < 1:
        raise ValueError(f"tail is {tail} in {dimensions} dimensions; give a share between 0 and 1, and 1 or more.")
    return float(stats.chi.isf(tail, dimensions))


def chi_radii(key: Key[Array, ""], n: int, *, dimensions: int) -> Float[Array, " n"]:
    """Draw radii as the norms of a standard normal law's rows are, by the chi law.

    On a `shell` they make the whole law again; times a number above 1, a wider one.

    Args:
        key: of the draws.
        n: how many radii.
        dimensions: d.

    Returns:
        Radii `[n]`.
    """
    return jnp.linalg.norm(jax.random.normal(key, (n, dimensions)), axis=1)


def extreme_radii(key: Key[Array, ""], n: int, *, dimensions: int, draws: int | float) -> Float[Array, " n"]:
    """Draw radii as the largest norm among so many standard normal rows has them: Gumbel's law, to which it tends.

    Its location is the radius beyond which one of the rows is expected, and its scale the reciprocal of the number that
    is expected in the next unit of length, both from the chi law itself.

    Args:
        key: of the draws.
        n: how many radii.
        dimensions: d.
        draws: among how many rows; the more, the further out and the closer together.

    Returns:
        Radii `[n]`, none below 0.

    Raises:
        ValueError: if there are not two draws at least, or infinitely many, or there is no dimension.

    References:
        Embrechts, Kluppelberg and Mikosch, Modelling extremal events (1997), example 3.3.28; Bungert, Master's thesis
        (Heidelberg, 2021), section 3.1.1.
    """
    if not 2 <= draws < math.inf:
        raise ValueError(f"draws is {draws}; give a finite number, 2 at the least, among which the largest is drawn.")
    location = chi_radius(1 / draws, dimensions=dimensions)
    scale = 1 / (draws * float(stats.chi.pdf(location, dimensions)))
    return jnp.maximum(location + scale * jax.random.gumbel(key, (n,)), 0.0)


def bungert_radii(key: Key[Array, ""], n: int, *, dimensions: int, factor: int | float) -> Float[Array, " n"]:
    """Draw radii as the thesis' code does: by the norming of a normal law's largest draw, at some multiple of sqrt(d).

    It takes the norm for normal with mean m = sqrt(d) and deviation 0.7, and the number of draws so that their largest
    lies near `factor` times m. In two dimensions the norm's law is Rayleigh's; in many the radii lie in a thin shell.

    Args:
        key: of the draws.
        n: how many radii.
        dimensions: d.
        factor: s, above 1; the thesis has 3 for points in the plane and 1.5 for images.

    Returns:
        Radii `[n]`, Gumbel with location m + 0.7 b and scale 0.7 / a, where a = sqrt(2 L), b = a - (ln L + ln 4 pi) /
        (2 a) and L = ((s - 1) m)^2.

    Raises:
        ValueError: if there are no dimensions, or the factor is infinite, or so small that it stands for fewer than two
            draws.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), section 3.1.1, and its code.
    """
    if dimensions < 1 or not factor < math.inf:
        raise ValueError(f"factor is {factor} in {dimensions} dimensions; give a finite one, and a dimension or more.")
    mean = math.sqrt(dimensions)
    log_draws = ((factor - 1) * mean) ** 2
    if not (factor > 1 and log_draws >= math.log(2)):
        least = 1 + math.sqrt(math.log(2)) / mean
        raise ValueError(
            f"factor is {factor} in {dimensions} dimensions, which is the largest of fewer than two draws; make it "
            f"{least:.3f} at the least."
        )
    norming = math.sqrt(2 * log_draws)
    location = norming - (math.log(log_draws) + math.log(4 * math.pi)) / (2 * norming)
    return mean + 0.7 * (location + jax.random.gumbel(key, (n,)) / norming)


def whitening(x: Float[Array, "n d"], *, ridge: float = 1e-4) -> Whitening:
    """Return mean and root of the covariance of rows.

    Args:
        x: rows `[n, d]`, n > 1, in any precision; whole numbers are taken as single precision.
        ridge: added to every variance as a share of their mean, so that rows in a plane, or fewer than dimensions, have
            a root too; in single precision 1e-4 is enough, and less may not be.

    Returns:
        The normal law with their moments.

    Raises:
        ValueError: if there are fewer than two rows.
    """
    x = jnp.asarray(x, jnp.promote_types(jnp.asarray(x).dtype, jnp.float32))
    if len(x) < 2:
        raise ValueError(f"{len(x)} rows have no covariance; give 2 at the least.")
    mean = jnp.mean(x, 0)
    covariance = (x - mean[None]).T @ (x - mean[None]) / (len(x) - 1)
    size = jnp.maximum(jnp.trace(covariance) / x.shape[1], jnp.finfo(x.dtype).tiny ** 0.5)
    return Whitening(mean, jnp.linalg.cholesky(covariance + ridge * size * jnp.eye(x.shape[1], dtype=x.dtype)))
