"""The density law of extreme value losses: how thickly guesses lie that are trained on the least of their distances.

Where n guesses of density q are independent, a target is about (n q)^(-1/d) away from the nearest, so the mean of the
distance to the power r is the integral of p q^(-r/d) up to a factor, and least where q is proportional to p^(d/(d+r)).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["nearest_log_density", "pushforward_log_density", "zador_exponent", "zador_log_weights"]


def zador_exponent(dimensions: int | float, power: int | float) -> float:
    """Return the exponent of the data's density to which many trained guesses lie: d / (d + r).

    Args:
        dimensions: d, of the set near which the data lie: a manifold's own, not those of the space around it.
        power: r, exponent of the distance in the loss.

    Returns:
        A number between 0, guesses uniform over the support, and 1, guesses that follow the data.

    Raises:
        ValueError: if one of them is not positive.

    References:
        Zador, Asymptotic quantization error of continuous signals and the quantization dimension (1982).
    """
    if not (dimensions > 0 and power > 0):
        raise ValueError(f"the density law got {dimensions} dimensions and power {power}; make both positive.")
    return dimensions / (dimensions + power)


def zador_log_weights(
    log_density: Float[Array, "..."], *, dimensions: int | float, power: int | float
) -> Float[Array, "..."]:
    """Weigh guesses by the density law: p is proportional to q^((d+r)/d), hence p / q to q^(r/d).

    Args:
        log_density: log q of each guess `[...]`, up to a common constant.
        dimensions: d, of the set near which the data lie.
        power: r, exponent of the distance in the loss.

    Returns:
        Log-weights `[...]`, up to a common constant.

    Raises:
        ValueError: if `dimensions` or `power` is not positive.
    """
    return (1 / zador_exponent(dimensions, power) - 1) * log_density


def nearest_log_density(
    distances: Float[Array, "... m"], *, guesses: int, dimensions: int | float
) -> Float[Array, "..."]:
    """Estimate a density from how far the nearest members of several independent pools are.

    The mass within the distance of the nearest of n draws is about exponential with mean 1 / n, so m of them give the
    density with a relative variance of 1 / (m - 2), whatever the place, and without bias where the density is even.
    It is zero distance, hence infinite density, where guesses coincide in every pool.

    Args:
        distances: Euclidean distances to the nearest member of each of m pools, `[..., m]`.
        guesses: n, the size of a pool. The fewer, the wider the estimate looks around.
        dimensions: d, of the set on which the density is.

    Returns:
        Log-densities `[...]`, per unit of d-dimensional volume.

    Raises:
        ValueError: if there are fewer than two pools, or `guesses` or `dimensions` is not positive.
    """
    pools = distances.shape[-1]
    if pools < 2 or guesses < 1 or not dimensions > 0:
        raise ValueError(
            f"nearest_log_density got {pools} pools of {guesses} guesses in {dimensions} dimensions; "
            "it needs two pools at least, of one guess at least, in a positive number of dimensions."
        )
    unit_ball = dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2 + 1)
    volumes = jax.nn.logsumexp(dimensions * jnp.log(distances), -1) + unit_ball
    return math.log((pools - 1) / guesses) - volumes


def pushforward_log_density(
    generate: Callable[[Float[Array, " d"]], Float[Array, " d"]], noise: Float[Array, "n d"]
) -> Float[Array, " n"]:
    """Return the density of what a map makes of standard normal noise, by change of variables.

    It is the density of one sheet of the map: where a fold brings other noise to the same place, theirs is not
    counted, and what is returned is too low.

    Args:
        generate: one row of noise `[d]` to one sample `[d]`.
        noise: `[n, d]`.

    Returns:
        log N(z) - log |det dg/dz| at each row, `[n]`.

    Raises:
        ValueError: if samples have other dimensions than noise.
    """
    dimensions = noise.shape[-1]
    makes = jax.eval_shape(generate, noise[0]).shape
    if makes != (dimensions,):
        raise ValueError(
            f"a change of variables got noise of {dimensions} dimensions for samples of shape {makes}; "
            "make the two equal, or estimate the density by nearest_log_density."
        )
    _, log_volume = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(generate))(noise))
    log_normal = -0.5 * jnp.sum(noise**2, -1) - dimensions / 2 * math.log(2 * math.pi)
    return log_normal - log_volume
