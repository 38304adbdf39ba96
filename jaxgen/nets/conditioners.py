"""What couplings are conditioned through: networks of any shape, told only how many numbers they must make."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cnn import layer
from jaxgen.nets.initializers import torch_uniform
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvConditioner", "DenseConditioner"]


@dataclasses.dataclass(frozen=True)
class DenseConditioner:
    """Makes a dense network whose last kernel is zero, so that a coupling starts near the identity.

    Attributes:
        widths: of the hidden layers.
        activation: applied after each of them.
    """

    widths: tuple[int, ...] = (128, 128)
    activation: Callable[[Array], Array] = jax.nn.relu
    axes = 1  # of a row

    def __call__(self, outputs: int) -> nn.Module:
        """Return a network `[..., k] -> [..., outputs]`."""
        return MLP((*self.widths, outputs), self.activation, last=nn.initializers.zeros, hidden=torch_uniform)

    def given(self, x: Float[Array, "... k"], condition: Float[Array, "... c"]) -> Float[Array, "... kc"]:
        """Return rows with a condition behind them."""
        return jnp.concatenate([x, condition], -1)


@dataclasses.dataclass(frozen=True)
class ConvConditioner:
    """Makes a convolutional network that keeps images' size, 3 x 3 to the first hidden layer, 1 x 1 to the next, 3 x 3.

    Attributes:
        features: of the two hidden layers.
        activation: applied after each of them.
    """

    features: tuple[int, int] = (64, 64)
    activation: Callable[[Array], Array] = jax.nn.relu
    axes = 3  # of a row

    def __call__(self, outputs: int) -> nn.Module:
        """Return a network `[..., h, w, k] -> [..., h, w, outputs]`."""
        return _Conv(self.features, outputs, self.activation)

    def given(self, x: Float[Array, "... h w k"], condition: Float[Array, "... c"]) -> Float[Array, "... h w kc"]:
        """Return images with a condition behind every pixel."""
        everywhere = jnp.broadcast_to(condition[..., None, None, :], (*x.shape[:-1], condition.shape[-1]))
        return jnp.concatenate([x, everywhere], -1)


class _Conv(nn.Module):
    features: tuple[int, int]
    outputs: int
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        first, second = self.features
        x = self.activation(layer(x, first, torch_uniform)(x))
        x = self.activation(layer(x, second, torch_uniform, size=1)(x))
        return layer(x, self.outputs, nn.initializers.zeros)(x)
