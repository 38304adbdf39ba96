"""Dense networks."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float, Key

__all__ = ["MLP"]


class MLP(nn.Module):
    """Dense layers with an activation between them, and none after the last.

    Hidden kernels are orthogonal with gain sqrt(2); the last kernel and all biases are uniform over
    +- 1 / sqrt(fan-in): the initialisation of the extreme value paper's code.

    Attributes:
        widths: width of each layer, the last of which is the output.
        activation: applied after every layer but the last.
    """

    widths: Sequence[int]
    activation: Callable[[Array], Array] = jax.nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "... k"]) -> Float[Array, "... d"]:
        """Map rows `[..., k]` to rows `[..., widths[-1]]`."""
        hidden = jax.nn.initializers.orthogonal(jnp.sqrt(2.0))
        for width in self.widths[:-1]:
            x = self.activation(nn.Dense(width, kernel_init=hidden, bias_init=_uniform(x.shape[-1]))(x))
        uniform = _uniform(x.shape[-1])
        return nn.Dense(self.widths[-1], kernel_init=uniform, bias_init=uniform)(x)


def _uniform(fan_in: int) -> Callable[..., Array]:
    """Uniform over +- 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5

    def draw(key: Key[Array, ""], shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
