"""The relativistic average loss: each sample is judged against the mean judgement of the other kind."""

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.types import Array, Float

__all__ = ["relativistic_average"]


def relativistic_average(
    real: Float[Array, " n"], fake: Float[Array, " m"], *, axis_name: str | None = None
) -> Float[Array, ""]:
    """Return how badly a discriminator tells real from made, relative to the mean of the other kind.

    The discriminator descends on this value, and the generator of the extreme value paper's code on its negative.
    It lies near 2 ln 2 = 1.386 where the two cannot be told apart.

    Args:
        real: the discriminator's scores of data, `[n]`.
        fake: its scores of samples, `[m]`.
        axis_name: the axis over devices; the means are then those of the whole set.

    Returns:
        `- mean log s(real - mean fake) - mean log (1 - s(fake - mean real))`, `s` the logistic function, `[]`; under
        `axis_name` this device's share, whose mean over the devices is the whole set's.

    References:
        Jolicoeur-Martineau, The relativistic discriminator (2018), section 4.2.
    """
    centre = lambda scores: parallel.mean(jnp.mean(scores), axis_name)
    # log(1 - s(t)) is log s(-t): finite wherever the scores are, which log(1 - s(t)) is not.
    found = jnp.mean(jax.nn.log_sigmoid(real - centre(fake)))
    refused = jnp.mean(jax.nn.log_sigmoid(centre(real) - fake))
    return -found - refused
