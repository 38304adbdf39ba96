"""Networks that give a row or a pair of rows one number: energies and statistics."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.cnn import layer
from jaxgen.nets.initializers import Initializer, normal, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["ConvTrunk", "PairNet"]


class ConvTrunk(nn.Module):
    """Images to rows: convolutions of any size and stride, then one dense layer; no normalisation.

    Images are padded by half of one less than the kernel, rounded down, on all four sides.

    Attributes:
        layers: features, size and stride of each convolution.
        width: of the dense layer, which is the output.
        activation: applied after every convolution.
        kernel: draws the kernels of the convolutions; all else is drawn as PyTorch draws it.
    """

    layers: Sequence[Sequence[int]] = ((64, 5, 2), (128, 5, 2), (256, 5, 2), (512, 5, 2))
    width: int = 1
    activation: Callable[[Array], Array] = LeakyReLU(0.2)
    kernel: Initializer = normal

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to rows `[..., width]`."""
        for features, size, stride in self.layers:
            made = layer(x, features, self.kernel, size=size, stride=stride, padding=(size - 1) // 2)
            x = self.activation(made(x))
        x = x.reshape(*x.shape[:-3], -1)
        return nn.Dense(self.width, kernel_init=torch_uniform, bias_init=torch_uniform_bias(x.shape[-1]))(x)


class PairNet(nn.Module):
    """A row and a vector to one number: the row's features with the vector behind them, through a head.

    Attributes:
        head: `[..., d + k] -> [..., 1]`.
        trunk: `x [..., *row] -> [..., d]`; None where rows are vectors and their own features.
    """

    head: nn.Module
    trunk: nn.Module | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."], z: Float[Array, "... k"]) -> Float[Array, "... d"]:
        """Map rows `[..., *row]` and vectors `[..., k]` to numbers `[..., 1]`."""
        features = x if self.trunk is None else self.trunk(x)
        return self.head(jnp.concatenate([features, z], -1))
