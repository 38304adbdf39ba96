"""Conditioner networks of coupling layers: factories that are called with the number of outputs."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cnn import layer
from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.nets.initializers import torch_uniform
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvConditioner", "DenseConditioner"]


@dataclasses.dataclass(frozen=True)
class DenseConditioner:
    """Factory of dense conditioner networks for vectors.

    The last kernel is initialized to zero, so that a coupling starts near the identity.

    Attributes:
        widths: widths of the hidden layers.
        activation: applied after each hidden layer.
    """

    widths: tuple[int, ...] = (128, 128)
    activation: Callable[[Array], Array] = jax.nn.relu
    axes = 1  # number of axes of one sample

    def __call__(self, outputs: int) -> nn.Module:
        """Return a network `[..., k] -> [..., outputs]`."""
        return MLP(
            (*self.widths, outputs),
            self.activation,
            last_kernel_init=nn.initializers.zeros,
            hidden_kernel_init=torch_uniform,
        )

    def condition(self, x: Float[Array, "... k"], condition: Float[Array, "... c"]) -> Float[Array, "... kc"]:
        """Concatenate a condition to the vectors."""
        return jnp.concatenate([x, condition], -1)


@dataclasses.dataclass(frozen=True)
class ConvConditioner:
    """Factory of convolutional conditioner networks for images; height and width are preserved.

    The kernels are 3 x 3, 1 x 1 and 3 x 3. The last one is initialized to zero.

    Attributes:
        features: features of the two hidden layers.
        activation: applied after each hidden layer.
    """

    features: tuple[int, int] = (64, 64)
    activation: Callable[[Array], Array] = jax.nn.relu
    axes = 3  # number of axes of one sample

    def __call__(self, outputs: int) -> nn.Module:
        """Return a network `[..., h, w, k] -> [..., h, w, outputs]`."""
        return _Conv(self.features, outputs, self.activation)

    def condition(self, x: Float[Array, "... h w k"], condition: Float[Array, "... c"]) -> Float[Array, "... h w kc"]:
        """Concatenate a condition to the features of every pixel."""
        per_pixel = jnp.broadcast_to(condition[..., None, None, :], (*x.shape[:-1], condition.shape[-1]))
        return jnp.concatenate([x, per_pixel], -1)


class _Conv(nn.Module):
    features: tuple[int, int]
    outputs: int
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        first, second = self.features
        x = self.activation(layer(x, first, torch_uniform)(x))
        x = self.activation(layer(x, second, torch_uniform, size=1)(x))
        return layer(x, self.outputs, nn.initializers.zeros, dtype=output_dtype())(x)
