"""The log-density of a mixture of Gaussians whose parameters a network may have made."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["GaussianMixture", "mixture_log_density"]


class GaussianMixture(NamedTuple):
    """Gaussians by the factors of their precisions: component `i` has covariance `inv(factor' factor)`.

    A triangular factor with a positive diagonal is any covariance there is, and its log-determinant is a sum.
    """

    logits: Float[Array, "... m"]  # of the components' weights
    means: Float[Array, "... m d"]
    factors: Float[Array, "... m d d"]  # lower triangular, with a positive diagonal


def mixture_log_density(x: Float[Array, "... d"], mixture: GaussianMixture) -> Float[Array, "..."]:
    """Return the logarithm of a mixture's density.

    Args:
        x: where, `[..., d]`.
        mixture: `logits [..., m]`, `means [..., m, d]` and `factors [..., m, d, d]`, one mixture for each row, or
            without leading axes one for all.

    Returns:
        In nats, `[...]`.

    Raises:
        ValueError: if the shapes do not belong together.

    References:
        Bishop, Mixture density networks (1994), equation 22; Guttenberg, Generating the support with extreme value
        losses (2019), equation 3, which lacks a factor of 2 under the root and in the exponent.
    """
    logits, means, factors = mixture
    d = x.shape[-1]
    if means.shape != (*logits.shape, d) or factors.shape != (*logits.shape, d, d):
        raise ValueError(
            f"mixture_log_density got logits {logits.shape}, means {means.shape} and factors {factors.shape} for x "
            f"{x.shape}; it needs [..., m], [..., m, {d}] and [..., m, {d}, {d}]."
        )
    if logits.shape[:-1] not in ((), x.shape[:-1]):
        raise ValueError(
            f"mixture_log_density got mixtures {logits.shape[:-1]} for rows {x.shape[:-1]}; give one each."
        )
    each = lambda leaf, trailing: jnp.broadcast_to(leaf, (*x.shape[:-1], *leaf.shape[leaf.ndim - trailing :]))
    logits, means, factors = each(logits, 1), each(means, 2), each(factors, 3)
    whitened = jnp.einsum("...mij,...mj->...mi", factors, x[..., None, :] - means)
    log_determinant = jnp.sum(jnp.log(jnp.diagonal(factors, axis1=-2, axis2=-1)), -1)
    log_normal = log_determinant - 0.5 * jnp.sum(whitened**2, -1) - 0.5 * d * math.log(2 * math.pi)
    return jax.nn.logsumexp(jax.nn.log_softmax(logits) + log_normal, -1)
