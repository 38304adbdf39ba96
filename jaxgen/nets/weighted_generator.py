"""Generator with an importance weight for each sample."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["WeightedGenerator"]


class WeightedGenerator(nn.Module):
    """Generator with a weight network: maps noise to a sample, and the sample to a logit.

    How often a guess is the nearest one depends on its position, not on the noise it came from. So the weight is a
    function of the sample, which has few dimensions to learn. Its gradient stops at the sample and does not reach the
    generator.

    Attributes:
        generator: network `z [..., k] -> x [..., d]`.
        weight: network `x [..., d] -> logit [..., 1]`; its input is `[..., d + condition_dim]` with a condition, the
            sample first.
        condition_dim: number of last columns of `z` that hold the condition, which the weight network also receives.
    """

    generator: nn.Module
    weight: nn.Module
    condition_dim: int = 0

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... d1"]:
        """Map noise `[..., k]` to samples with their logit in the last column, `[..., d + 1]`."""
        sample = self.generator(z)
        position = jnp.concatenate([jax.lax.stop_gradient(sample), z[..., z.shape[-1] - self.condition_dim :]], -1)
        return jnp.concatenate([sample, self.weight(position)], -1)
