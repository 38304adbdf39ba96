"""Kullback-Leibler divergences of diagonal normal laws, in closed form."""

import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["gaussian_kl", "negative_prior_kl"]


def gaussian_kl(
    mean: Float[Array, "... d"],
    log_variance: Float[Array, "..."],
    *,
    prior_mean: float | Float[Array, "..."] = 0.0,
    prior_log_variance: float | Float[Array, "..."] = 0.0,
) -> Float[Array, "..."]:
    """Return how far diagonal normal laws are from a prior, KL(law || prior).

    Args:
        mean: of the laws, `[..., d]`.
        log_variance: logarithms of their variances, `[..., d]`.
        prior_mean: of the prior, a number, `[d]` or `[..., d]`.
        prior_log_variance: of the prior, likewise.

    Returns:
        In nats, `[...]`, 0 where the laws are the prior.

    Raises:
        ValueError: if the shapes do not belong together.

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2013), appendix B.
    """
    priors = jnp.asarray(prior_mean), jnp.asarray(prior_log_variance)
    fit = lambda prior: prior.shape in ((), mean.shape[-1:], mean.shape)
    if log_variance.shape != mean.shape or not all(map(fit, priors)):
        raise ValueError(
            f"gaussian_kl got means {mean.shape}, log-variances {log_variance.shape} and a prior's {priors[0].shape} "
            f"and {priors[1].shape}; give the first two one shape [..., d], and the prior's that, [d] or a number."
        )
    prior_mean, prior_log_variance = (jnp.broadcast_to(prior, mean.shape) for prior in priors)
    gap = log_variance - prior_log_variance
    # expm1: near the prior both terms vanish, and 1 would swallow what is left of the exponential.
    away = (mean - prior_mean) ** 2 * jnp.exp(-prior_log_variance)
    return 0.5 * jnp.sum(jnp.expm1(gap) - gap + away, -1)


def negative_prior_kl(
    mean: Float[Array, "... d"], log_variance: Float[Array, "..."], *, shift: float
) -> Float[Array, "..."]:
    """Return how far the latent laws of negative samples are from their prior, the normal law N((shift, ...), 1).

    It is `d * shift ** 2 / 2` nats from the standard normal law, the prior of the data.

    Args:
        mean: of the laws, `[..., d]`.
        log_variance: logarithms of their variances, `[..., d]`.
        shift: how far in each dimension.

    Returns:
        In nats, `[...]`.

    Raises:
        ValueError: if the shapes do not belong together.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), equation 1, the last term.
    """
    return gaussian_kl(mean, log_variance, prior_mean=shift)
