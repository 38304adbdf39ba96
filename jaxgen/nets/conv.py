"""Convolutional networks."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.convolution import convolve
from jaxgen.nets.initialisers import Initialiser, orthogonal, uniform, uniform_bias
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = ["ConvGenerator", "ConvNet"]


class ConvGenerator(nn.Module):
    """Rows of noise to images: one pixel, doubled and convolved twice by each block, and the middle cut out.

    Hidden kernels are orthogonal with gain sqrt(2); the last kernel, after which there is no activation, and all
    biases are uniform over +- 1 / sqrt(fan-in): the initialisation of the extreme value paper's code.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of each block; so many blocks, so often the pixels double.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section VI.
    """

    shape: Sequence[int] = (28, 28, 1)
    widths: Sequence[int] = (512, 256, 128, 128, 64)

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map rows `[..., k]` to images `[..., *shape]`."""
        (height, width, channels), side = self.shape, 2 ** len(self.widths)
        if max(height, width) > side:
            raise ValueError(f"{len(self.widths)} blocks make {side} pixels, not {max(height, width)}; add widths.")
        x = z[..., None, None, :]
        for features in self.widths:
            x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
            for _ in range(2):
                x = jax.nn.relu(_layer(x, features, orthogonal)(x))
        x = _layer(x, channels, uniform)(x)
        top, left = (side - height) // 2, (side - width) // 2
        return x[..., top : top + height, left : left + width, :]


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
            x = self.activation(_layer(x, features, orthogonal, stride=2)(x))
        return MLP(self.widths, self.activation)(x.reshape(*x.shape[:-3], -1))


def _layer(x: Array, features: int, kernel: Initialiser, *, stride: int = 1) -> nn.Conv:
    """A convolution of 3 by 3 pixels that will be given `x`."""
    bias = uniform_bias(9 * x.shape[-1])
    return nn.Conv(features, (3, 3), stride, kernel_init=kernel, bias_init=bias, conv_general_dilated=convolve)
