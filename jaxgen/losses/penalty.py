"""What a function pays for being steep: penalties on its gradient by its input.

Each takes a function of rows `[n, ...]` to `[n]` whose every value comes from its own row alone (no batch statistics):
the gradient of their sum is then every row's own. `jax.vmap` makes one of a function of a single row. It is the rows
that are asked for since a convolution mapped over single rows would, in training, form the gradient of its kernel once
for each of them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["Field", "gradient_penalty", "pixel_gradient_penalty", "pixel_score_penalty", "score_penalty"]

Field = Callable[[Float[Array, "n ..."]], Float[Array, " n"]]


def score_penalty(energy: Field, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """Return the squared norm of the energy's gradient at each row, over all dimensions of the row.

    Taken at the data it makes them lie where the energy is even, and keeps its scale. It is also the score by which
    the paper tells anomalies.

    Args:
        energy: rows `[n, ...]` to `[n]`, each from its own row alone.
        x: rows `[n, ...]`.

    Returns:
        Squared norms `[n]`, in squared units of energy per unit of the rows.

    Raises:
        ValueError: if the energy does not give one number for each row.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 3 and algorithm 1.
    """
    return jnp.sum(_slopes(energy, x) ** 2, tuple(range(1, x.ndim)))


def pixel_score_penalty(energy: Field, x: Float[Array, "n ... channels"]) -> Float[Array, " n"]:
    """Return the squared norm over the channels of each pixel, and the mean of that over the pixels.

    So the released code of the maximum entropy generators reads equation 3: `score_penalty` divided by the number of
    pixels, which makes the weight on images so many times smaller than the one stated. For vectors the two are equal.

    Args:
        energy: rows `[n, ...]` to `[n]`, each from its own row alone.
        x: rows `[n, ..., channels]`.

    Returns:
        Means over pixels `[n]`.

    Raises:
        ValueError: if the energy does not give one number for each row.
    """
    return _mean_over_pixels(jnp.sum(_slopes(energy, x) ** 2, -1))


def gradient_penalty(critic: Field, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    """Return how far the norm of the critic's gradient is from 1 at each row, squared; over all dimensions of the row.

    Args:
        critic: rows `[n, ...]` to `[n]`, each from its own row alone.
        x: where, `[n, ...]`: points drawn between data and samples, with one weight for each row.

    Returns:
        `(|gradient| - 1)^2`, `[n]`; where the gradient is zero this is 1 and is taken to be even.

    Raises:
        ValueError: if the critic does not give one number for each row.

    References:
        Gulrajani et al., Improved training of Wasserstein GANs (2017), equation 3.
    """
    return (_root(score_penalty(critic, x)) - 1) ** 2


def pixel_gradient_penalty(critic: Field, x: Float[Array, "n ... channels"]) -> Float[Array, " n"]:
    """Return the same for the channels of each pixel, and the mean of that over the pixels.

    So the baseline in the released code of the maximum entropy generators reads it: every single pixel's gradient is
    driven to norm 1, which bounds the slope of the critic by the root of the number of pixels instead of by 1. For
    vectors the two are equal.

    Args:
        critic: rows `[n, ...]` to `[n]`, each from its own row alone.
        x: where, `[n, ..., channels]`.

    Returns:
        Means over pixels `[n]`.

    Raises:
        ValueError: if the critic does not give one number for each row.
    """
    return _mean_over_pixels((_root(jnp.sum(_slopes(critic, x) ** 2, -1)) - 1) ** 2)


def _slopes(field: Field, x: Array) -> Array:
    """Return every row's own gradient, `[n, ...]`."""
    values, pull = jax.vjp(field, x)
    if values.shape != x.shape[:1]:
        raise ValueError(
            f"a penalty got values of shape {values.shape} for rows {x.shape}; give a function of rows to one number "
            "each: jax.vmap makes it from a function of one row."
        )
    return pull(jnp.ones_like(values))[0]


def _mean_over_pixels(values: Array) -> Array:
    return jnp.mean(values, tuple(range(1, values.ndim)))


def _root(squared: Array) -> Array:
    """The square root; its gradient is zero, not infinite, at zero."""
    steep = squared > 0
    return jnp.where(steep, jnp.sqrt(jnp.where(steep, squared, 1.0)), 0.0)
