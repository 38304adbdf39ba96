"""The likelihood of an invertible network."""

import math

import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["flow_nll"]


def flow_nll(z: Float[Array, "... d"], log_det: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the negative log-density of rows whose latent vectors are standard normal, by change of variables.

    Args:
        z: latent vectors `[..., d]`.
        log_det: logarithms of the volume's growth from rows to latent vectors, `[...]`.

    Returns:
        In nats, `[...]`.

    Raises:
        ValueError: if the shapes do not belong together.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), equation 2.10, which lacks the half before the squared norm and the
        normal law's constant, and takes the determinant out of the sum.
    """
    if log_det.shape != z.shape[:-1]:
        raise ValueError(f"flow_nll got vectors {z.shape} and log-volumes {log_det.shape}; give [..., d] and [...].")
    return 0.5 * jnp.sum(z**2, -1) + 0.5 * z.shape[-1] * math.log(2 * math.pi) - log_det
