"""Log-density of Gaussian mixtures, for example with the parameters that a mixture density network predicts."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["GaussianMixture", "mixture_log_density"]


class GaussianMixture(NamedTuple):
    """Gaussian mixture in terms of triangular precision factors.

    Component `i` has covariance `inv(factors[i].T @ factors[i])`. Every covariance has such a factor, and its
    log-determinant is the sum of the logarithms of the diagonal.
    """

    logits: Float[Array, "... m"]  # unnormalized log-weights of the components
    means: Float[Array, "... m d"]
    factors: Float[Array, "... m d d"]  # lower triangular, with a positive diagonal


def mixture_log_density(x: Float[Array, "... d"], mixture: GaussianMixture) -> Float[Array, "..."]:
    """Log-density of a Gaussian mixture.

    Args:
        x: points at which it is evaluated, `[..., d]`.
        mixture: `logits [..., m]`, `means [..., m, d]` and `factors [..., m, d, d]`: one mixture per point, or one for
            all points if the leading axes are missing.

    Returns:
        Log-densities in nats, `[...]`.

    Raises:
        ValueError: if the shapes do not match.

    References:
        Bishop, Mixture density networks (1994), equation 22; Guttenberg, Generating the support with extreme value
        losses (2019), equation 3, which lacks a factor of 2 under the root and in the exponent.
    """
    x, logits, means, factors = promoted(x, *mixture)
    d = x.shape[-1]
    if means.shape != (*logits.shape, d) or factors.shape != (*logits.shape, d, d):
        raise ValueError(
            f"`logits`, `means` and `factors` must have shapes [..., m], [..., m, {d}] and [..., m, {d}, {d}] for `x` "
            f"{x.shape} (got {logits.shape}, {means.shape} and {factors.shape})."
        )
    if logits.shape[:-1] not in ((), x.shape[:-1]):
        raise ValueError(
            f"there must be one mixture per point, or one for all (got mixtures {logits.shape[:-1]} for points "
            f"{x.shape[:-1]}); give their leading axes the same shape, or drop those of the mixture."
        )
    per_point = lambda leaf, trailing: jnp.broadcast_to(leaf, (*x.shape[:-1], *leaf.shape[leaf.ndim - trailing :]))
    logits, means, factors = per_point(logits, 1), per_point(means, 2), per_point(factors, 3)
    whitened = jnp.einsum("...mij,...mj->...mi", factors, x[..., None, :] - means)
    log_determinant = jnp.sum(jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1)), -1)
    log_normal = log_determinant - 0.5 * jnp.sum(whitened**2, -1) - 0.5 * d * math.log(2 * math.pi)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + log_normal, -1)
