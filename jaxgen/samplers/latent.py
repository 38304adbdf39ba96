"""Densities over a generator's noise, for chains that move there instead of among the data."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["latent_log_density", "tilted_log_density"]

Energy = Callable[[Float[Array, "..."]], Float[Array, ""]]
Generator = Callable[[Float[Array, "..."]], Float[Array, "..."]]
LogDensity = Callable[[Float[Array, "..."]], Float[Array, ""]]


def latent_log_density(energy: Energy, generate: Generator) -> LogDensity:
    """Return the published density over noise: minus the energy of what is generated.

    It holds neither the noise's own law nor the generator's volume, so what is generated from its draws has no simple
    law; and where the energy is bounded it cannot be normalised: a chain may wander off to noise that the generator
    never saw.

    Args:
        energy: one sample to a scalar `[]`.
        generate: one row of noise `[k]` to one sample.

    Returns:
        A function of one row of noise `[k]` to `[]`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 10.
    """
    return lambda noise: -energy(generate(noise))


def tilted_log_density(energy: Energy, generate: Generator) -> LogDensity:
    """Return the standard normal law of the noise, tilted by the energy of what is generated.

    What is generated from its draws has the generator's own density times exp(-energy), whatever the generator's
    volume. The energy then has to be what the generator lacks, such as the logit of a discriminator between the two.

    Args:
        energy: one sample to a scalar `[]`.
        generate: one row of noise `[k]` to one sample.

    Returns:
        A function of one row of noise `[k]` to `[]`. `MALA.beta` multiplies both terms; to temper the energy alone,
        scale it in `energy`.

    References:
        Che et al., Your GAN is secretly an energy-based model and you should use discriminator driven latent sampling
        (2020).
    """
    tilt = latent_log_density(energy, generate)
    return lambda noise: tilt(noise) - 0.5 * jnp.sum(noise**2)
