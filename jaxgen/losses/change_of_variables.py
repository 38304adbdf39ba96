"""Negative log-likelihood of normalizing flows, by the change of variables formula."""

import math

import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["flow_nll"]


def flow_nll(z: Float[Array, "... d"], log_det: Float[Array, "..."]) -> Float[Array, "..."]:
    """Negative log-density under a normalizing flow whose latent distribution is standard normal.

    Args:
        z: latent vectors `[..., d]`, the flow's encodings of the samples.
        log_det: `log |det dz/dx|` of the encoding at each sample, `[...]`.

    Returns:
        Negative log-densities of the samples in nats, `[...]`.

    Raises:
        ValueError: if `log_det` does not have the shape of `z` without its last axis.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), equation 2.10. The printed equation lacks the factor 1/2 of the
        squared norm and the normal constant, and takes the determinant out of the sum.
    """
    if log_det.shape != z.shape[:-1]:
        raise ValueError(
            f"`log_det` must have the shape of `z` without its last axis (got z {z.shape} and log_det "
            f"{log_det.shape}); pass one log-determinant per latent vector."
        )
    z, log_det = promoted(z, log_det)
    return 0.5 * jnp.sum(z**2, -1) + 0.5 * z.shape[-1] * math.log(2 * math.pi) - log_det
