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
from jaxgen.nets.initializers import Initializer, glorot, normal_var_002
from jaxgen.types import Array, Float

__all__ = ["Affine", "Autoencoder", "ConvDecoder", "ConvEncoder", "UpsamplingDecoder", "autoencoder"]


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
        """Map latent vectors `[..., k]` to logits `[..., *shape]`; their sigmoid is the mean of a pixel.

        Raises:
            ValueError: if height or width is not a multiple of `2 ** (len(widths) - 1)`.
        """
        factor = 2 ** (len(self.widths) - 1)
        height, width = (side // factor for side in self.shape[:2])
        if (height * factor, width * factor) != tuple(self.shape[:2]):
            raise ValueError(
                f"image height and width must be multiples of 2 ** (len(widths) - 1) = {factor} (got "
                f"{self.shape[0]} x {self.shape[1]}); give fewer widths, or pad the images."
            )
        x = nn.Dense(height * width * self.widths[0], kernel_init=glorot)(z)
        x = x.reshape(*z.shape[:-1], height, width, self.widths[0])
        for features in self.widths[1:]:
            x = _conv(features, self.size, 1, glorot, None)(x)
            x = jax.nn.relu(self.norm()(x) if self.norm else x)
            x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
        return _conv(self.shape[2], self.size, 1, glorot, None, output_dtype())(x)


def autoencoder(
    shape: tuple[int, ...],
    *,
    latent_dim: int,
    norm: Callable[[], nn.Module] | None = None,
    spectral: bool = False,
) -> Autoencoder:
    """Encoder and decoder of the negative sampling VAE paper, for images of 28 x 28 or 32 x 32 pixels.

    The paper uses 10 latent dimensions for 28 x 28 and 100 for 32 x 32. For 32 x 32, `norm=Affine` matches the
    released code, where batch normalization never updates its statistics. With generated negatives, the paper uses
    `spectral=True` instead.

    Args:
        shape: image shape, (28, 28, c) or (32, 32, c).
        latent_dim: k, width of the latent vectors.
        norm: factory of the normalization layers, for 32 x 32 only.
        spectral: whether to apply spectral normalization to the encoder's convolutions.

    Returns:
        Encoder and decoder.

    Raises:
        ValueError: if there are no networks for the shape, or `norm` is given with 28 x 28.

    References:
        Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019), appendix A.2; Rosca,
        Lakshminarayanan and Mohamed, Distribution matching in variational inference (2018), appendix K, table 4.
    """
    if shape[:2] == (28, 28) and len(shape) == 3 and norm is None:
        return Autoencoder(ConvEncoder(latent_dim=latent_dim, spectral=spectral), ConvDecoder(shape))
    if shape[:2] == (32, 32) and len(shape) == 3:
        layers = ((32, 4, 1), (64, 4, 2), (128, 4, 2), (256, 4, 2))
        encoder = ConvEncoder(layers, latent_dim, glorot, None, norm, spectral)
        return Autoencoder(encoder, UpsamplingDecoder(shape, norm=norm))
    raise ValueError(
        "default networks need images of shape (28, 28, c) without `norm`, or (32, 32, c) "
        f"(got {shape}{' with `norm`' * (norm is not None)}); pass `encoder` and `decoder` of your own."
    )


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
