"""Gradient penalties: regularizers on the gradient of a function with respect to its input.

Each takes a function from a batch `[n, ...]` to values `[n]`. Each value must depend on its own sample alone (no batch
statistics), so that the gradient of the sum holds every sample's own gradient. `jax.vmap` turns a function of one
sample into such a function. Functions of batches are used because mapping a convolution over single samples would, in
training, compute the gradient of its kernel once per sample.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float

__all__ = ["Field", "gradient_penalty", "pixel_gradient_penalty", "pixel_score_penalty", "score_penalty"]

# A function from a batch to one value per sample.
Field = Callable[[Float[Array, "n ..."]], Float[Array, " n"]]


def score_penalty(energy: Field, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """Squared norm of the energy's gradient at each sample, over all its dimensions.

    Minimized at the data, it flattens the energy there and limits its scale. The paper also uses it as its anomaly
    score.

    Args:
        energy: batch `[n, ...]` to values `[n]`, each from its own sample alone.
        x: samples `[n, ...]`.

    Returns:
        Squared norms `[n]`, in squared units of energy per unit of `x`.

    Raises:
        ValueError: if the energy does not return one value per sample.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 3 and algorithm 1.
    """
    return jnp.sum(_gradients(energy, x) ** 2, tuple(range(1, x.ndim)))


def pixel_score_penalty(energy: Field, x: Float[Array, "n ... channels"]) -> Float[Array, " n"]:
    """Squared norm of the energy's gradient over the channels of each pixel, averaged over pixels.

    The released code of the maximum entropy generators implements equation 3 in this form. It is `score_penalty`
    divided by the number of pixels, so on images its weight is smaller than stated by that factor. For vectors both are
    equal.

    Args:
        energy: batch `[n, ...]` to values `[n]`, each from its own sample alone.
        x: samples `[n, ..., channels]`.

    Returns:
        Means over pixels `[n]`.

    Raises:
        ValueError: if the energy does not return one value per sample.
    """
    return _mean_over_pixels(jnp.sum(_gradients(energy, x) ** 2, -1))


def gradient_penalty(critic: Field, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """WGAN-GP gradient penalty: squared difference between the norm of the critic's gradient and 1.

    Args:
        critic: batch `[n, ...]` to values `[n]`, each from its own sample alone.
        x: points `[n, ...]`, random interpolations between data and generated samples with one weight per pair.

    Returns:
        `(|gradient| - 1)^2`, `[n]`, over all dimensions of a sample. At a zero gradient the value is 1 and its own
        derivative is taken as 0.

    Raises:
        ValueError: if the critic does not return one value per sample.

    References:
        Gulrajani et al., Improved training of Wasserstein GANs (2017), equation 3.
    """
    return (_sqrt(score_penalty(critic, x)) - 1) ** 2


def pixel_gradient_penalty(critic: Field, x: Float[Array, "n ... channels"]) -> Float[Array, " n"]:
    """WGAN-GP gradient penalty over the channels of each pixel, averaged over pixels.

    The baseline in the released code of the maximum entropy generators uses this form. It drives the gradient of every
    single pixel to norm 1, which bounds the critic's slope by the root of the number of pixels instead of by 1. For
    vectors it equals `gradient_penalty`.

    Args:
        critic: batch `[n, ...]` to values `[n]`, each from its own sample alone.
        x: points `[n, ..., channels]`, as for `gradient_penalty`.

    Returns:
        Means over pixels `[n]`.

    Raises:
        ValueError: if the critic does not return one value per sample.
    """
    return _mean_over_pixels((_sqrt(jnp.sum(_gradients(critic, x) ** 2, -1)) - 1) ** 2)


def _gradients(field: Field, x: Array) -> Array:
    """Gradient of each sample's value with respect to that sample, `[n, ...]`."""
    values, pull = jax.vjp(field, *promoted(x))
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"the penalized function must return one value per sample (got shape {values.shape} for a batch "
            f"{x.shape}); jax.vmap makes such a function from a function of one sample."
        )
    return pull(jnp.ones_like(values))[0]


def _mean_over_pixels(values: Array) -> Array:
    return jnp.mean(values, tuple(range(1, values.ndim)))


def _sqrt(squared: Array) -> Array:
    """Square root whose gradient at zero is zero instead of infinite."""
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
