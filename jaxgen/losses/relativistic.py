"""Relativistic average GAN loss: each score is compared with the mean score of the other class."""

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float
from jaxgen.validation import check_vectors

__all__ = ["relativistic_average"]


def relativistic_average(
    real: Float[Array, " n"], fake: Float[Array, " m"], *, axis_name: str | None = None
) -> Float[Array, ""]:
    """Relativistic average loss of a discriminator.

    The discriminator minimizes this value. The generator in the code of the extreme value paper minimizes its negative.
    Constant scores give 2 ln 2 = 1.386, the optimum if data and samples have the same distribution.

    Args:
        real: discriminator scores of data, `[n]`.
        fake: discriminator scores of generated samples, `[m]`.
        axis_name: axis over devices, or None; with an axis, the means are over the scores of all devices.

    Returns:
        `-mean(log(s(real - mean(fake)))) - mean(log(1 - s(fake - mean(real))))`, `s` being the logistic function, `[]`.
        Under `axis_name` it is the share of this device; the mean of the shares is the loss over all devices.

    Raises:
        ValueError: if the scores are not `[n]` and `[m]`.

    References:
        Jolicoeur-Martineau, The relativistic discriminator (2018), section 4.2.
    """
    check_vectors(real=real, fake=fake)
    real, fake = promoted(real, fake)
    mean = lambda scores: parallel.mean(jnp.mean(scores), axis_name)
    # Only differences count. Without their common constant, the means round less.
    shift = jax.lax.stop_gradient(mean(real))
    real, fake = real - shift, fake - shift
    # log(1 - s(t)) is written as log(s(-t)), which is finite for all finite scores.
    real_term = jnp.mean(jax.nn.log_sigmoid(real - mean(fake)))
    fake_term = jnp.mean(jax.nn.log_sigmoid(mean(real) - fake))
    return -real_term - fake_term
