"""Convolutional networks that halve their images."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import Initializer, orthogonal, torch_uniform_bias
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvNet", "layer"]


class ConvNet(nn.Module):
    """Images to rows: convolutions that halve the pixels each, then dense layers.

    Attributes:
        features: of each convolution.
        widths: of the dense layers, the last of which is the output.
        activation: applied after every layer but the last.
    """

    features: Sequence[int] = (32, 64)
    widths: Sequence[int] = (128, 10)
    activation: Callable[[Array], Array] = jax.nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to rows `[..., widths[-1]]`."""
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
) -> nn.Conv:
    """Return a convolution that will be given `x`, its biases torch_uniform over +- 1 / sqrt(fan-in)."""
    return nn.Conv(
        features,
        (size, size),
        stride,
        padding,
        kernel_init=kernel,
        bias_init=torch_uniform_bias(size**2 * x.shape[-1]),
        conv_general_dilated=convolution,
    )
