"""Discriminators, critics, energy networks and statistics networks."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.cnn import layer
from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.nets.initializers import Initializer, normal, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["ConvTrunk", "PairNet"]


class ConvTrunk(nn.Module):
    """Convolutional trunk: convolutions of any size and stride, then one dense layer; no normalization.

    Each convolution pads all four sides by `(size - 1) // 2`.

    Attributes:
        layers: features, kernel size and stride of each convolution.
        width: output width of the dense layer.
        activation: applied after every convolution.
        kernel: initializer of the convolutions' kernels; all other parameters have PyTorch's default initialization.
    """

    layers: Sequence[Sequence[int]] = ((64, 5, 2), (128, 5, 2), (256, 5, 2), (512, 5, 2))
    width: int = 1
    activation: Callable[[Array], Array] = LeakyReLU(0.2)
    kernel: Initializer = normal

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to vectors `[..., width]`."""
        for features, size, stride in self.layers:
            convolution = layer(x, features, self.kernel, size=size, stride=stride, padding=(size - 1) // 2)
            x = self.activation(convolution(x))
        x = x.reshape(*x.shape[:-3], -1)
        bias_init = torch_uniform_bias(x.shape[-1])
        return nn.Dense(self.width, dtype=output_dtype(), kernel_init=torch_uniform, bias_init=bias_init)(x)


class PairNet(nn.Module):
    """Statistics network of a sample and a latent vector.

    It concatenates the sample's features and the vector, and applies the head.

    Attributes:
        head: network `[..., d + k] -> [..., 1]` of the concatenation.
        trunk: feature network `x [..., *row] -> [..., d]`; None: samples are vectors and used as they are.
    """

    head: nn.Module
    trunk: nn.Module | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], z: Float[Array, "... k"]) -> Float[Array, "... d"]:
        """Map samples `[..., *row]` and latent vectors `[..., k]` to scalars `[..., 1]`."""
        features = x if self.trunk is None else self.trunk(x)
        return self.head(jnp.concatenate([features, z], -1))
