"""Zador's theorem for extreme value losses: the density of trained candidates, and density estimates.

With n independent candidates of density q, the distance from a target to the nearest is about (n q)^(-1/d). The mean of
its power r is the integral of p q^(-r/d), up to a factor. The minimum has q proportional to p^(d/(d+r)).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["nearest_log_density", "pushforward_log_density", "zador_exponent", "zador_log_weights"]


def zador_exponent(dimensions: int | float, power: int | float) -> float:
    """Zador's exponent `d / (d + r)`: many trained candidates have the density of the data to this power.

    Args:
        dimensions: d, intrinsic dimension of the data, not the dimension of the surrounding space.
        power: r, exponent of the distance in the loss.

    Returns:
        A number between 0 (candidates uniform over the support) and 1 (candidates distributed as the data).

    Raises:
        ValueError: if `dimensions` or `power` is not positive.

    References:
        Zador, Asymptotic quantization error of continuous signals and the quantization dimension (1982).
    """
    if not (dimensions > 0 and power > 0):
        raise ValueError(
            f"`dimensions` and `power` must be positive (got {dimensions} and {power}); use for example 2 and 2."
        )
    return dimensions / (dimensions + power)


def zador_log_weights(
    log_density: Float[Array, "..."], *, dimensions: int | float, power: int | float
) -> Float[Array, "..."]:
    """Importance log-weights that turn trained candidates into samples of the data distribution.

    The data density p is proportional to q^((d+r)/d), so the weight p / q is proportional to q^(r/d).

    Args:
        log_density: log q of each candidate `[...]`, up to a common constant.
        dimensions: d, intrinsic dimension of the data.
        power: r, exponent of the distance in the loss.

    Returns:
        Log-weights `[...]`, up to a common constant.

    Raises:
        ValueError: if `dimensions` or `power` is not positive.
    """
    (log_density,) = promoted(log_density)
    return (1 / zador_exponent(dimensions, power) - 1) * log_density


def nearest_log_density(
    distances: Float[Array, "... m"], *, pool_size: int, dimensions: int | float
) -> Float[Array, "..."]:
    """Nearest-neighbor density estimate from the distances to several independent pools of samples.

    The mass within the nearest of n samples is about exponential with mean 1 / n. From m pools the estimate has
    relative variance 1 / (m - 2) everywhere, and no bias where the density is locally constant. It is infinite where
    the nearest distances of all pools are zero.

    Args:
        distances: Euclidean distances to the nearest member of each of m pools, `[..., m]`.
        pool_size: n, number of samples in a pool; a smaller n averages over a wider neighborhood.
        dimensions: d, dimension of the set on which the density is defined.

    Returns:
        Log-densities `[...]`, per unit of d-dimensional volume.

    Raises:
        ValueError: if there are fewer than two pools, or `pool_size` or `dimensions` is not positive.
    """
    pools = distances.shape[-1]
    if pools < 2 or pool_size < 1 or not dimensions > 0:
        raise ValueError(
            "nearest_log_density needs at least two pools, of at least one sample, and positive `dimensions` "
            f"(got {pools} pools of {pool_size} samples in {dimensions} dimensions)."
        )
    (distances,) = promoted(distances)
    unit_ball = dimensions / 2 * math.log(math.pi) - math.lgamma(dimensions / 2 + 1)
    volumes = jax.nn.logsumexp(dimensions * jnp.log(distances), -1) + unit_ball
    return math.log((pools - 1) / pool_size) - volumes


def pushforward_log_density(
    generate: Callable[[Float[Array, " d"]], Float[Array, " d"]], noise: Float[Array, "n d"]
) -> Float[Array, " n"]:
    """Log-density of a generator's samples under standard normal noise, by the change of variables formula.

    It is exact for an injective generator. If several noise vectors map to one sample, only the given one is counted,
    and the result is too low.

    Args:
        generate: function from one noise vector `[d]` to one sample `[d]`.
        noise: noise vectors `[n, d]` of the samples.

    Returns:
        `log N(z) - log |det dg/dz|` for each noise vector, `[n]`.

    Raises:
        ValueError: if samples and noise have different dimensions.
    """
    (noise,) = promoted(noise)
    dimensions = noise.shape[-1]
    sample_shape = jax.eval_shape(generate, jax.ShapeDtypeStruct((dimensions,), noise.dtype)).shape
    if sample_shape != (dimensions,):
        raise ValueError(
            f"samples must have the dimension of the noise (got noise of {dimensions} dimensions for samples of shape "
            f"{sample_shape}); make them equal, or use nearest_log_density."
        )
    _, log_volume = jnp.linalg.slogdet(jax.vmap(jax.jacfwd(generate))(noise))
    log_normal = -0.5 * jnp.sum(noise**2, -1) - dimensions / 2 * math.log(2 * math.pi)
    return log_normal - log_volume
