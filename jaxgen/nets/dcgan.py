"""DCGAN generator: transposed convolutions with batch normalization."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from jaxgen.nets.compute_dtype import output_dtype, promoted_layer
from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.initializers import Initializer, normal, normal_around_one, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["BatchNorm", "TransposedConv", "TransposedGenerator", "sides_of"]


class BatchNorm(nn.Module):
    """Batch normalization that uses batch statistics if and only if `batch_stats` is mutable.

    If the collection is mutable, as in a training step, the batch's mean and variance are used. The running statistics
    then move a tenth of the way towards them. Otherwise the running statistics are used, so that a sample or a score
    never depends on the other samples of its batch. Statistics are computed per device.

    Attributes:
        scale: initializer of the scales.
    """

    scale: Initializer = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "... features"]) -> Float[Array, "... features"]:
        """Normalize every feature over all leading axes."""
        running = not self.is_mutable_collection("batch_stats")
        return nn.BatchNorm(running, momentum=0.9, epsilon=1e-5, scale_init=self.scale)(x)


class TransposedConv(nn.Module):
    """Transposed convolution with a given output size.

    Attributes:
        features: number of output features.
        size: kernel size along both axes.
        stride: stride along both axes.
        output: height and width of the output, about `stride` times those of the input.
        kernel: initializer of the kernel.
        bias: initializer of the biases; None: uniform over +- 1 / (size sqrt(features)), PyTorch's default.
        dtype: dtype of the result and of the products; None is that of input and parameters together.
    """

    features: int
    size: int
    stride: int
    output: Sequence[int]
    kernel: Initializer = normal
    bias: Initializer | None = None
    dtype: Any = dataclasses.field(default=None, metadata={"omit_default": True})

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... rows columns features"]:
        """Map images `[..., height, width, channels]` to images `[..., *output, features]`."""
        kernel = self.param("kernel", self.kernel, (self.size, self.size, x.shape[-1], self.features), jnp.float32)
        bias_init = self.bias or torch_uniform_bias(self.size**2 * self.features)
        bias = self.param("bias", bias_init, (self.features,), jnp.float32)
        if self.dtype is None:
            x, kernel, bias = promote_dtype(x, kernel, bias)
        else:
            x, kernel, bias = promoted_layer(x, kernel, bias, dtype=self.dtype)
        images = x.reshape(-1, *x.shape[-3:])
        before = self.size - 1 - (self.size - 1) // 2
        after = [
            n - (m - 1) * self.stride - 1 + self.size - 1 - before
            for n, m in zip(self.output, images.shape[1:3], strict=True)
        ]
        pads = [(before, pad) for pad in after]
        result = convolve(images, kernel, (1, 1), pads, lhs_dilation=(self.stride, self.stride))
        result = (result + jnp.expand_dims(bias, (0, 1, 2))).reshape(*x.shape[:-3], *result.shape[1:])
        return result if self.dtype is None else result.astype(self.dtype)


class TransposedGenerator(nn.Module):
    """DCGAN generator: a dense layer, then transposed convolutions, to images between -1 and 1.

    Batch normalization and a ReLU follow every layer but the last; a tanh follows the last.

    Attributes:
        shape: height, width and channels of the images.
        widths: input features of each transposed convolution; the first is also the dense layer's feature count.
        layers: kernel size and stride of each transposed convolution.
        first: whether batch normalization and a ReLU also follow the dense layer.
        kernel: initializer of the transposed convolutions' kernels; the dense layer has PyTorch's default.
        scale: initializer of the batch normalization scales.

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
        """Map latent vectors `[..., k]` to images `[..., *shape]`.

        Raises:
            ValueError: if `widths` and `layers` differ in length.
        """
        if len(self.widths) != len(self.layers):
            raise ValueError(
                f"`widths` and `layers` must have the same length (got {len(self.widths)} and {len(self.layers)}); "
                "give one width for each transposed convolution."
            )
        sides = sides_of(self.shape, [stride for _, stride in self.layers])
        pixels = sides[0][0] * sides[0][1] * self.widths[0]
        x = nn.Dense(pixels, kernel_init=torch_uniform, bias_init=torch_uniform_bias(z.shape[-1]))(z)
        x = x.reshape(*z.shape[:-1], *sides[0], self.widths[0])
        widths = (*self.widths[1:], self.shape[2])
        for place, (width, (size, stride), side) in enumerate(zip(widths, self.layers, sides[1:], strict=True)):
            if place > 0 or self.first:
                x = jax.nn.relu(BatchNorm(self.scale)(x))
            dtype = output_dtype() if place == len(widths) - 1 else None
            x = TransposedConv(width, size, stride, side, self.kernel, dtype=dtype)(x)
        return jnp.tanh(x)


def sides_of(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, ...]]:
    """Return height and width before each of several transposed convolutions, and after the last.

    Args:
        shape: shape of the final images, `(height, width, ...)`.
        strides: stride of each transposed convolution.

    Returns:
        A list of `len(strides) + 1` pairs (height, width).
    """
    sides = [tuple(shape[:2])]
    for stride in reversed(strides):
        sides.insert(0, tuple(-(-side // stride) for side in sides[0]))
    return sides
