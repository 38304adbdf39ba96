"""Generators of images by transposed convolutions, with batch normalisation."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import Initializer, normal, normal_around_one, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["BatchNorm", "TransposedConv", "TransposedGenerator", "sides_of"]


class BatchNorm(nn.Module):
    """Batch normalisation that uses the batch's statistics just where it may write them down.

    Where the collection `batch_stats` is mutable, as in a training step, the batch is normalised by itself and the
    running mean and variance go a tenth of the way towards its own; elsewhere the running ones are used. So what is
    sampled or scored never depends on its neighbours. The statistics are those of one device's rows.

    Attributes:
        scale: draws the scales.
    """

    scale: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "... features"]) -> Float[Array, "... features"]:
        """Normalise every feature over all leading axes."""
        running = not self.is_mutable_collection("batch_stats")
        return nn.BatchNorm(running, momentum=0.9, epsilon=1e-5, scale_init=self.scale)(x)


class TransposedConv(nn.Module):
    """The transpose of a convolution: every pixel is spread over a window, windows a stride apart.

    Attributes:
        features: of the output.
        size: of the kernel, along both axes.
        stride: pixels between windows, along both axes.
        output: height and width to make, about `stride` times those of the input.
        kernel: draws the kernel.
        bias: draws the biases; None is uniformly over +- 1 / (size sqrt(features)), as PyTorch does.
    """

    features: int
    size: int
    stride: int
    output: Sequence[int]
    kernel: Initializer = normal
    bias: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... rows columns features"]:
        """Map images to images."""
        kernel = self.param("kernel", self.kernel, (self.size, self.size, x.shape[-1], self.features))
        drawn = self.bias or torch_uniform_bias(self.size**2 * self.features)
        bias = self.param("bias", drawn, (self.features,))
        images = x.reshape(-1, *x.shape[-3:])
        before = self.size - 1 - (self.size - 1) // 2
        after = [
            n - (m - 1) * self.stride - 1 + self.size - 1 - before
            for n, m in zip(self.output, images.shape[1:3], strict=True)
        ]
        pads = [(before, pad) for pad in after]
        made = convolve(images, kernel, (1, 1), pads, lhs_dilation=(self.stride, self.stride))
        return (made + jnp.expand_dims(bias, (0, 1, 2))).reshape(*x.shape[:-3], *made.shape[1:])


class TransposedGenerator(nn.Module):
    """Rows of noise to images between -1 and 1: a dense layer to a few pixels, then transposed convolutions.

    Every layer but the last is followed by batch normalisation and a ReLU, the last by a hyperbolic tangent.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of the dense layer's pixels and of each transposed convolution but the last.
        layers: size and stride of each transposed convolution's kernel.
        first: whether normalisation and ReLU follow the dense layer too.
        kernel: draws the kernels of the convolutions; the dense layer is drawn as PyTorch draws it.
        scale: draws the scales of the normalisation.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """

    shape: Sequence[int] = (28, 28, 1)
    widths: Sequence[int] = (512, 256, 128, 64)
    layers: Sequence[Sequence[int]] = ((5, 2),) * 4
    first: bool = True
    kernel: Initializer = normal
    scale: Initializer = normal_around_one

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map rows `[..., k]` to images `[..., *shape]`.

        Raises:
            ValueError: if there are not as many widths as convolutions.
        """
        if len(self.widths) != len(self.layers):
            raise ValueError(f"{len(self.layers)} convolutions need as many widths and got {len(self.widths)}.")
        sides = sides_of(self.shape, [stride for _, stride in self.layers])
        pixels = sides[0][0] * sides[0][1] * self.widths[0]
        x = nn.Dense(pixels, kernel_init=torch_uniform, bias_init=torch_uniform_bias(z.shape[-1]))(z)
        x = x.reshape(*z.shape[:-1], *sides[0], self.widths[0])
        widths = (*self.widths[1:], self.shape[2])
        for place, (width, (size, stride), side) in enumerate(zip(widths, self.layers, sides[1:], strict=True)):
            if place > 0 or self.first:
                x = jax.nn.relu(BatchNorm(self.scale)(x))
            x = TransposedConv(width, size, stride, side, self.kernel)(x)
        return jnp.tanh(x)


def sides_of(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, ...]]:
    """Return height and width before each of several transposed convolutions, and after the last.

    Args:
        shape: of the images that they end in, `(height, width, ...)`.
        strides: of each.

    Returns:
        One pair more than there are strides.
    """
    sides = [tuple(shape[:2])]
    for stride in reversed(strides):
        sides.insert(0, tuple(-(-side // stride) for side in sides[0]))
    return sides
