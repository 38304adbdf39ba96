"""Encoders and decoders of the negative sampling VAE paper."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.dcgan import TransposedConv, sides_of
from jaxgen.nets.image_sides import halvings
from jaxgen.nets.initializers import Initializer, glorot, normal_var_002
from jaxgen.nets.mlp import MLP
from jaxgen.types import Array, Float

__all__ = [
    "Affine",
    "Autoencoder",
    "ConvDecoder",
    "ConvEncoder",
    "UpsamplingDecoder",
    "autoencoder",
    "dense_autoencoder",
]


class Autoencoder(NamedTuple):
    """Encoder and decoder of a variational autoencoder."""

    encoder: nn.Module  # x [..., *row] -> [..., 2 k], means and log-variances of the latent vector
    decoder: nn.Module  # z [..., k] -> [..., *row], parameters of the observation model


class Affine(nn.Module):
    """Scale and bias for each feature: batch normalization with fixed mean 0 and variance 1.

    Attributes:
        dtype: dtype of the result; None is that of input and parameters together.
    """

    dtype: Any = dataclasses.field(default=None, metadata={"omit_default": True})

    @nn.compact
    def __call__(self, x: Float[Array, "... features"]) -> Float[Array, "... features"]:
        """Multiply every feature by its scale and add its bias."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        result = x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(bias, x.shape)
        return result if self.dtype is None else result.astype(self.dtype)


class ConvEncoder(nn.Module):
    """Convolutional encoder: convolutions with ReLUs, then a dense layer to means and log-variances.

    Attributes:
        layers: features, kernel size and stride of each convolution.
        latent_dim: k, width of the latent vectors.
        kernel: initializer of the convolutions' kernels.
        bias: initializer of the convolutions' biases; None: no biases.
        norm: factory of the layer between a convolution and its ReLU, such as `BatchNorm` or `Affine`; None: no layer.
        spectral: whether each convolution's kernel, as a matrix, is divided by its largest singular value (spectral
            normalization). Each pass runs one power iteration, and keeps its state if `batch_stats` is mutable.
    """

    layers: Sequence[Sequence[int]] = ((8, 5, 2), (16, 5, 1), (32, 5, 2), (64, 5, 1), (64, 5, 2))
    latent_dim: int = 10
    kernel: Initializer = normal_var_002
    bias: Initializer | None = normal_var_002
    norm: Callable[[], nn.Module] | None = None
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to vectors `[..., 2 * latent_dim]`, the means first."""
        for features, size, stride in self.layers:
            convolution = _conv(features, size, stride, self.kernel, self.bias)
            if self.spectral:
                x = nn.SpectralNorm(convolution)(x, update_stats=self.is_mutable_collection("batch_stats"))
            else:
                x = convolution(x)
            x = jax.nn.relu(self.norm()(x) if self.norm else x)
        last = nn.Dense(2 * self.latent_dim, dtype=output_dtype(), kernel_init=glorot)
        return last(x.reshape(*x.shape[:-3], -1))


class ConvDecoder(nn.Module):
    """Convolutional decoder: a dense layer, transposed convolutions with ReLUs, and a 5 x 5 convolution.

    Attributes:
        shape: height, width and channels of the images.
        width: features of the dense layer, which has no activation.
        layers: features, kernel size and stride of each transposed convolution.
        kernel: initializer of all convolutions' kernels and biases.
    """

    shape: Sequence[int] = (28, 28, 1)
    width: int = 64
    layers: Sequence[Sequence[int]] = ((32, 5, 2), (32, 5, 2), (256, 5, 1))
    kernel: Initializer = normal_var_002

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map latent vectors `[..., k]` to logits `[..., *shape]`; their sigmoid is the mean of a pixel."""
        sides = sides_of(self.shape, [stride for _, _, stride in self.layers])
        x = nn.Dense(sides[0][0] * sides[0][1] * self.width, kernel_init=glorot)(z)
        x = x.reshape(*z.shape[:-1], *sides[0], self.width)
        for (features, size, stride), side in zip(self.layers, sides[1:], strict=True):
            x = jax.nn.relu(TransposedConv(features, size, stride, side, self.kernel, self.kernel)(x))
        return _conv(self.shape[2], 5, 1, self.kernel, self.kernel, output_dtype())(x)


class UpsamplingDecoder(nn.Module):
    """Upsampling decoder: a dense layer, then convolutions with nearest-neighbor upsampling between them.

    Each upsampling doubles height and width; where half of a side was rounded up, the last row or column is dropped.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of the dense layer, and of each convolution but the last.
        size: kernel size along both axes.
        norm: factory of the layer between a convolution and its ReLU; None: no layer.
    """

    shape: Sequence[int] = (32, 32, 3)
    widths: Sequence[int] = (256, 128, 64, 32)
    size: int = 4
    norm: Callable[[], nn.Module] | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map latent vectors `[..., k]` to logits `[..., *shape]`; their sigmoid is the mean of a pixel."""
        sides = sides_of(self.shape, (2,) * (len(self.widths) - 1))
        x = nn.Dense(sides[0][0] * sides[0][1] * self.widths[0], kernel_init=glorot)(z)
        x = x.reshape(*z.shape[:-1], *sides[0], self.widths[0])
        for features, (height, width) in zip(self.widths[1:], sides[1:], strict=True):
            x = _conv(features, self.size, 1, glorot, None)(x)
            x = jax.nn.relu(self.norm()(x) if self.norm else x)
            x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)[..., :height, :width, :]
        return _conv(self.shape[2], self.size, 1, glorot, None, output_dtype())(x)


def autoencoder(
    shape: tuple[int, ...],
    *,
    latent_dim: int,
    norm: Callable[[], nn.Module] | None = None,
    spectral: bool = False,
) -> Autoencoder:
    """Encoder and decoder for images, in the form of the negative sampling VAE paper's.

    Images with both sides below 32 have networks in the form of those for 28 x 28, the others of those for 32 x 32; for
    these two sizes they are the paper's. Convolutions of stride 2 halve the larger side, rounded up, until it is at
    most 4 pixels: one of them for 8 x 8, two for 16 x 16, three for 28 x 28 and 32 x 32, four for 64 x 64. For each
    one fewer than three, the encoder's last two layers are left out, and the decoder has half the features, in its last
    hidden layer a quarter.

    The paper uses 10 latent dimensions for 28 x 28 and 100 for 32 x 32. For 32 x 32, `norm=Affine` matches the
    released code, where batch normalization never updates its statistics. With generated negatives, the paper uses
    `spectral=True` instead.

    Args:
        shape: height, width and channels of an image.
        latent_dim: k, width of the latent vectors.
        norm: factory of the normalization layers, for images with a side of at least 32 only.
        spectral: whether to apply spectral normalization to the encoder's convolutions.

    Returns:
        Encoder and decoder.

    Raises:
        ValueError: if the shape is not that of an image, or `norm` is given for a smaller image.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), appendix A.2; Rosca,
        Lakshminarayanan and Mohamed, Distribution matching in variational inference (2018), appendix K, table 4.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"`shape` must be height, width and channels of an image (got {shape}); use `dense_autoencoder` for "
            "vectors."
        )
    count = max(halvings(shape, smallest=4), 1)
    if max(shape[:2]) >= 32:
        widths = tuple(min(64 * 2**place, 256) for place in range(count))
        layers = ((32, 4, 1), *((features, 4, 2) for features in widths))
        encoder = ConvEncoder(layers, latent_dim, glorot, None, norm, spectral)
        return Autoencoder(encoder, UpsamplingDecoder(shape, (*widths[::-1], 32), norm=norm))
    if norm is not None:
        raise ValueError(f"`norm` needs images with a side of at least 32 (got {shape}); use norm=None.")
    layers = ((8, 5, 2), (16, 5, 1), (32, 5, 2), (64, 5, 1), (64, 5, 2))[: 2 * count]
    part = 2 ** (3 - count)
    decoder = ((32 // part, 5, 2),) * max(count - 1, 1) + ((256 // part**2, 5, 1),)
    return Autoencoder(ConvEncoder(layers, latent_dim, spectral=spectral), ConvDecoder(shape, 64 // part, decoder))


def dense_autoencoder(dimensions: int, *, latent_dim: int, widths: Sequence[int] = (128, 128)) -> Autoencoder:
    """Dense encoder and decoder for vectors.

    Args:
        dimensions: d, number of features of a sample.
        latent_dim: k, width of the latent vectors.
        widths: hidden widths of the encoder; the decoder has them in the opposite order.

    Returns:
        Encoder and decoder.
    """
    hidden = tuple(widths)
    return Autoencoder(MLP((*hidden, 2 * latent_dim)), MLP((*hidden[::-1], dimensions)))


def _conv(
    features: int, size: int, stride: int, kernel: Initializer, bias: Initializer | None, dtype: Any = None
) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        stride,
        dtype=dtype,
        kernel_init=kernel,
        use_bias=bias is not None,
        bias_init=bias or nn.initializers.zeros,
        conv_general_dilated=convolve,
    )
