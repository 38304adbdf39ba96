"""Kullback-Leibler divergences between diagonal normal distributions, in closed form."""

import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["gaussian_kl", "negative_prior_kl"]


def gaussian_kl(
    mean: Float[Array, "... d"],
    log_variance: Float[Array, "..."],
    *,
    prior_mean: float | Float[Array, "..."] = 0.0,
    prior_log_variance: float | Float[Array, "..."] = 0.0,
) -> Float[Array, "..."]:
    """KL divergence `KL(N(mean, variance) || prior)` between diagonal normal distributions.

    Args:
        mean: means `[..., d]`.
        log_variance: logarithms of the variances, `[..., d]`.
        prior_mean: mean of the prior: a number, `[d]` or `[..., d]`.
        prior_log_variance: logarithm of the prior's variance: a number, `[d]` or `[..., d]`.

    Returns:
        Divergences in nats, `[...]`; 0 if the distribution equals the prior.

    Raises:
        ValueError: if the shapes do not match.

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2013), appendix B.
    """
    mean, log_variance = promoted(mean, log_variance)
    priors = jnp.asarray(prior_mean, mean.dtype), jnp.asarray(prior_log_variance, mean.dtype)
    fits = lambda prior: prior.shape in ((), mean.shape[-1:], mean.shape)
    if log_variance.shape != mean.shape or not all(map(fits, priors)):
        raise ValueError(
            f"`mean` and `log_variance` must have the same shape [..., d] (got {mean.shape} and {log_variance.shape}), "
            f"and the prior's must be numbers, [d] or [..., d] (got {priors[0].shape} and {priors[1].shape})."
        )
    prior_mean, prior_log_variance = (jnp.broadcast_to(prior, mean.shape) for prior in priors)
    log_ratio = log_variance - prior_log_variance
    # expm1, because near the prior `exp(log_ratio) - 1` would lose all digits.
    squared = (mean - prior_mean) ** 2 * jnp.exp(-prior_log_variance)
    return 0.5 * jnp.sum(jnp.expm1(log_ratio) - log_ratio + squared, -1)


def negative_prior_kl(
    mean: Float[Array, "... d"], log_variance: Float[Array, "..."], *, shift: float
) -> Float[Array, "..."]:
    """KL divergence from the prior of negative samples, the normal distribution `N((shift, ..., shift), I)`.

    That prior is `d * shift ** 2 / 2` nats from the standard normal distribution, which is the prior of the data.

    Args:
        mean: means of the latent distributions, `[..., d]`.
        log_variance: logarithms of their variances, `[..., d]`.
        shift: mean of the prior in each dimension.

    Returns:
        Divergences in nats, `[...]`.

    Raises:
        ValueError: if the shapes do not match.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), equation 1, the last term.
    """
    return gaussian_kl(mean, log_variance, prior_mean=shift)
