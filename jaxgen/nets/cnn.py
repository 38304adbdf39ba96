"""Convolutional network for images."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import Initializer, orthogonal, torch_uniform_bias
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvNet", "layer"]


class ConvNet(nn.Module):
    """Convolutional network: 3 x 3 convolutions of stride 2, then dense layers.

    Attributes:
        features: output features of each convolution.
        widths: widths of the dense layers; the last one is the output width.
        activation: applied after every layer but the last.
    """

    features: Sequence[int] = (32, 64)
    widths: Sequence[int] = (128, 10)
    activation: Callable[[Array], Array] = jax.nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to vectors `[..., widths[-1]]`."""
        for features in self.features:
            x = self.activation(layer(x, features, orthogonal, stride=2)(x))
        return MLP(self.widths, self.activation)(x.reshape(*x.shape[:-3], -1))


def layer(
    x: Array,
    features: int,
    kernel: Initializer,
    *,
    size: int = 3,
    stride: int = 1,
    padding: str | int = "SAME",
    convolution: Callable[..., Array] = convolve,
    dtype: Any = None,
) -> nn.Conv:
    """Return a convolution for the input `x`, with biases uniform over +- 1 / sqrt(fan-in)."""
    return nn.Conv(
        features,
        (size, size),
        stride,
        padding,
        kernel_init=kernel,
        bias_init=torch_uniform_bias(size**2 * x.shape[-1]),
        conv_general_dilated=convolution,
        dtype=dtype,
    )
