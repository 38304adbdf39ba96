"""Wasserstein GAN with gradient penalty: the baseline of the maximum entropy generators paper."""

import dataclasses
from collections.abc import Callable

import jax

from jaxgen import losses
from jaxgen.methods.energy_gan import EnergyGAN
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float, Key

__all__ = ["WGANGP", "interpolate_rows", "interpolate_pixels"]


def interpolate_rows(
    key: Key[Array, ""], x: Float[Array, "n ..."], samples: Float[Array, "n ..."]
) -> Float[Array, "n ..."]:
    """Draw a point on the line between each row and a sample, with one weight per row, as in WGAN-GP.

    Args:
        key: of the draws.
        x: rows `[n, ...]`.
        samples: generated samples, of the same shape.

    Returns:
        Points, of the same shape.
    """
    x, samples = promoted(x, samples)
    weight = jax.random.uniform(key, (x.shape[0], *(1,) * (x.ndim - 1)), x.dtype)
    return samples + weight * (x - samples)


def interpolate_pixels(
    key: Key[Array, ""], x: Float[Array, "n ..."], samples: Float[Array, "n ..."]
) -> Float[Array, "n ..."]:
    """Draw a point in the box between each row and a sample, with one weight per dimension.

    The baseline in the released code of the maximum entropy generators does so, which differs from WGAN-GP. Arguments
    and return value are those of `interpolate_rows`.
    """
    x, samples = promoted(x, samples)
    return samples + jax.random.uniform(key, x.shape, x.dtype) * (x - samples)


@dataclasses.dataclass(frozen=True)
class WGANGP(EnergyGAN):
    """Wasserstein GAN with gradient penalty.

    The penalty keeps the critic's gradient norm near 1 between data and samples.

    The critic is an energy here, low on data. This is the usual critic with the opposite sign, which changes neither
    loss. `penalty=10, regularizer=losses.pixel_gradient_penalty, between=interpolate_pixels` is the baseline in the
    released
    code of the maximum entropy generators; on images it is not WGAN-GP.

    All other attributes, and how a step uses a minibatch, are those of `EnergyGAN`.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        penalty: weight of the regularizer.
        regularizer: takes the energy and rows `[n, ...]`, and returns the penalty of each, `[n]`.
        between: takes a key, rows and equally many samples, and returns the points where the regularizer is evaluated.

    References:
        Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, Improved training of Wasserstein GANs (2017), algorithm 1.
    """

    penalty: float = 10.0
    regularizer: Callable[[losses.Field, Array], Array] = losses.gradient_penalty
    between: Callable[[Key[Array, ""], Array, Array], Array] = interpolate_rows

    def _energy_and_penalty(
        self, key: Key[Array, ""], energy: losses.Field, x: Array, samples: Array
    ) -> tuple[Array, Array]:
        return energy(x), self.regularizer(energy, self.between(key, x, samples))
