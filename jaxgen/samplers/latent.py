"""Log-densities over a generator's noise, for Markov chains in latent space."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["latent_log_density", "tilted_log_density"]

Energy = Callable[[Float[Array, "..."]], Float[Array, ""]]
Generator = Callable[[Float[Array, "..."]], Float[Array, "..."]]
LogDensity = Callable[[Float[Array, "..."]], Float[Array, ""]]


def latent_log_density(energy: Energy, generate: Generator) -> LogDensity:
    """Published log-density over noise: minus the energy of the generated sample.

    It includes neither the noise distribution nor the generator's volume element, so the distribution of the generated
    samples has no simple form. It cannot be normalized if the energy is bounded: a chain may then drift to noise on
    which the generator was not trained.

    Args:
        energy: function from one sample to a scalar `[]`.
        generate: function from one noise vector `[k]` to one sample.

    Returns:
        Log-density up to a constant, a function from one noise vector `[k]` to `[]`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 10.
    """
    return lambda noise: -promoted(energy(generate(noise)))[0]


def tilted_log_density(energy: Energy, generate: Generator) -> LogDensity:
    """Log-density over noise: the standard normal, tilted by the energy of the generated sample.

    The generated samples have the generator's density times `exp(-energy)`, up to a constant, whatever the generator's
    volume element. The energy should therefore be a correction of the generator, such as a discriminator's logit.

    Args:
        energy: function from one sample to a scalar `[]`.
        generate: function from one noise vector `[k]` to one sample.

    Returns:
        Log-density up to a constant, a function from one noise vector `[k]` to `[]`. `MALA.beta` multiplies both terms;
        to temper only the energy, scale it inside `energy`.

    References:
        Che et al., Your GAN is secretly an energy-based model and you should use discriminator driven latent sampling
        (2020).
    """
    tilt = latent_log_density(energy, generate)
    return lambda noise: tilt(noise) - 0.5 * jnp.sum(promoted(noise)[0] ** 2)
