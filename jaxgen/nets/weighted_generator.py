"""A generator whose guesses are weighed by where they lie."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["WeightedGenerator"]


class WeightedGenerator(nn.Module):
    """Makes a row from noise, and a logit from the row.

    How often a guess is the nearest one depends on where it lies, not on the noise that brought it there. A weight
    that is a function of the place has few dimensions to learn, and its gradient, which stops at the row, leaves the
    generator alone.

    Attributes:
        generator: `z [..., k] -> x [..., d]`.
        weight: `x [..., d] -> logit [..., 1]`; with inputs, `[..., d + given]`, the row and then the input.
        given: how many of the last columns of `z` are an input, which the weight sees too.
    """

    generator: nn.Module
    weight: nn.Module
    condition_dim: int = 0

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... d1"]:
        """Map noise `[..., k]` to rows with their logit, `[..., d + 1]`."""
        row = self.generator(z)
        place = jnp.concatenate([jax.lax.stop_gradient(row), z[..., z.shape[-1] - self.condition_dim :]], -1)
        return jnp.concatenate([row, self.weight(place)], -1)
