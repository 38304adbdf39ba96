"""Wasserstein generators with a gradient penalty: the baseline of the maximum entropy generators paper."""

import dataclasses
from collections.abc import Callable

import jax

from jaxgen import losses
from jaxgen.methods.energy_gan import EnergyGAN
from jaxgen.types import Array, Float, Key

__all__ = ["WGANGP", "on_lines", "within_boxes"]


def on_lines(key: Key[Array, ""], x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Draw a point on the line from each row to a sample: one weight for each row, as WGAN-GP does.

    Args:
        key: of the draws.
        x: rows `[n, ...]`.
        made: samples, of the same shape.

    Returns:
        Points, of the same shape.
    """
    weight = jax.random.uniform(key, (x.shape[0], *(1,) * (x.ndim - 1)))
    return made + weight * (x - made)


def within_boxes(key: Key[Array, ""], x: Float[Array, "n ..."], made: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Draw a point in the box between each row and a sample: one weight for each number.

    The baseline in the released code of the maximum entropy generators does so, and it is another method. Arguments and
    what is returned are those of `on_lines`.
    """
    return made + jax.random.uniform(key, x.shape) * (x - made)


@dataclasses.dataclass(frozen=True)
class WGANGP(EnergyGAN):
    """A generator against a critic whose gradient is held near norm 1 between data and samples.

    The critic is the energy here, low where there are data: the usual one with the other sign, which changes neither
    loss. `penalty=10, regularizer=losses.pixel_gradient_penalty, between=within_boxes` is the baseline in the released
    code of the maximum entropy generators, which is not WGAN-GP on images.

    Attributes:
        penalty: weight of the regulariser.
        regularizer: takes the energy and rows `[n, ...]`, and returns what each of them pays, `[n]`.
        between: takes a key, rows and as many samples, and returns where the regulariser looks.

    All other attributes, and what a step does with a minibatch, are those of `EnergyGAN`.

    References:
        Gulrajani, Ahmed, Arjovsky, Dumoulin and Courville, Improved training of Wasserstein GANs (2017), algorithm 1.
    """

    penalty: float = 10.0
    regularizer: Callable[[losses.Field, Array], Array] = losses.gradient_penalty
    between: Callable[[Key[Array, ""], Array, Array], Array] = on_lines

    def _judged(self, key: Key[Array, ""], energy: losses.Field, x: Array, made: Array) -> tuple[Array, Array]:
        return energy(x), self.regularizer(energy, self.between(key, x, made))
