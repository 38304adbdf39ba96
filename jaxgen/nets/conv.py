"""Convolutional networks that halve their images."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxgen.nets.convolution import convolve
from jaxgen.nets.initialisers import Initialiser, orthogonal, uniform_bias
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
    x: Array, features: int, kernel: Initialiser, *, stride: int = 1, convolution: Callable[..., Array] = convolve
) -> nn.Conv:
    """Return a convolution of 3 by 3 pixels that will be given `x`."""
    bias = uniform_bias(9 * x.shape[-1])
    return nn.Conv(features, (3, 3), stride, kernel_init=kernel, bias_init=bias, conv_general_dilated=convolution)
