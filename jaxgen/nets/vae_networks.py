"""The networks of the negative sampling paper: images to the law of their latent vectors, and back to images."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.dcgan import TransposedConv, sides_of
from jaxgen.nets.initializers import Initializer, glorot, normal_var_002
from jaxgen.types import Array, Float

__all__ = ["Affine", "Autoencoder", "ConvDecoder", "ConvEncoder", "UpsamplingDecoder", "autoencoder"]


class Autoencoder(NamedTuple):
    """Two networks that belong together."""

    encoder: nn.Module  # x [..., *row] -> [..., 2 k], the means and the log-variances
    decoder: nn.Module  # z [..., k] -> [..., *row], of which a noise model makes a law


class Affine(nn.Module):
    """A scale and a bias for each feature: batch normalisation whose statistics stay where they start, at 0 and 1."""

    @nn.compact
    def __call__(self, x: Float[Array, "... features"]) -> Float[Array, "... features"]:
        """Scale every feature and add to it."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return x * jnp.broadcast_to(scale, x.shape) + jnp.broadcast_to(bias, x.shape)


class ConvEncoder(nn.Module):
    """Images to means and log-variances: convolutions, each followed by a ReLU, then a dense layer.

    Attributes:
        layers: features, size and stride of each convolution.
        latent_dim: k.
        kernel: draws the kernels of the convolutions.
        bias: draws their biases; None leaves them out.
        norm: makes what stands between a convolution and its ReLU, such as `BatchNorm` or `Affine`; None is nothing.
        spectral: whether each convolution's kernel is divided by its largest singular value as a matrix, estimated by
            one power iteration a pass, which goes on from the last that could write to `batch_stats`.
    """

    layers: Sequence[Sequence[int]] = ((8, 5, 2), (16, 5, 1), (32, 5, 2), (64, 5, 1), (64, 5, 2))
    latent_dim: int = 10
    kernel: Initializer = normal_var_002
    bias: Initializer | None = normal_var_002
    norm: Callable[[], nn.Module] | None = None
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... height width channels"]) -> Float[Array, "... d"]:
        """Map images `[..., height, width, channels]` to rows `[..., 2 * latent_dim]`, the means first."""
        for features, size, stride in self.layers:
            made = _conv(features, size, stride, self.kernel, self.bias)
            if self.spectral:
                x = nn.SpectralNorm(made)(x, update_stats=self.is_mutable_collection("batch_stats"))
            else:
                x = made(x)
            x = jax.nn.relu(self.norm()(x) if self.norm else x)
        return nn.Dense(2 * self.latent_dim, kernel_init=glorot)(x.reshape(*x.shape[:-3], -1))


class ConvDecoder(nn.Module):
    """Rows of noise to images: a dense layer, transposed convolutions with ReLUs, and a convolution.

    Attributes:
        shape: height, width and channels of the images.
        width: features of the dense layer's pixels, after which there is no activation.
        layers: features, size and stride of each transposed convolution.
        kernel: draws the kernels and biases of all convolutions.
    """

    shape: Sequence[int] = (28, 28, 1)
    width: int = 64
    layers: Sequence[Sequence[int]] = ((32, 5, 2), (32, 5, 2), (256, 5, 1))
    kernel: Initializer = normal_var_002

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map rows `[..., k]` to `[..., *shape]`: log-odds, or what a sigmoid makes means of."""
        sides = sides_of(self.shape, [stride for _, _, stride in self.layers])
        x = nn.Dense(sides[0][0] * sides[0][1] * self.width, kernel_init=glorot)(z)
        x = x.reshape(*z.shape[:-1], *sides[0], self.width)
        for (features, size, stride), side in zip(self.layers, sides[1:], strict=True):
            x = jax.nn.relu(TransposedConv(features, size, stride, side, self.kernel, self.kernel)(x))
        return _conv(self.shape[2], 5, 1, self.kernel, self.kernel)(x)


class UpsamplingDecoder(nn.Module):
    """Rows of noise to images: a dense layer to a few pixels, which double after each convolution but the last.

    Attributes:
        shape: height, width and channels of the images.
        widths: features of the dense layer's pixels, and of each convolution but the last.
        size: of the kernels, along both axes.
        norm: makes what stands between a convolution and its ReLU; None is nothing.
    """

    shape: Sequence[int] = (32, 32, 3)
    widths: Sequence[int] = (256, 128, 64, 32)
    size: int = 4
    norm: Callable[[], nn.Module] | None = None

    @nn.compact
    def __call__(self, z: Float[Array, "... k"]) -> Float[Array, "... height width channels"]:
        """Map rows `[..., k]` to `[..., *shape]`: log-odds, or what a sigmoid makes means of.

        Raises:
            ValueError: if the images' sides do not halve as often as the pixels double.
        """
        height, width = (side // 2 ** (len(self.widths) - 1) for side in self.shape[:2])
        if (height * 2 ** (len(self.widths) - 1), width * 2 ** (len(self.widths) - 1)) != tuple(self.shape[:2]):
            raise ValueError(f"images of {tuple(self.shape[:2])} do not halve {len(self.widths) - 1} times.")
        x = nn.Dense(height * width * self.widths[0], kernel_init=glorot)(z)
        x = x.reshape(*z.shape[:-1], height, width, self.widths[0])
        for features in self.widths[1:]:
            x = _conv(features, self.size, 1, glorot, None)(x)
            x = jax.nn.relu(self.norm()(x) if self.norm else x)
            x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
        return _conv(self.shape[2], self.size, 1, glorot, None)(x)


def autoencoder(
    shape: tuple[int, ...],
    *,
    latent_dim: int,
    norm: Callable[[], nn.Module] | None = None,
    spectral: bool = False,
) -> Autoencoder:
    """Return the networks of the negative sampling paper for images.

    Those of 28 by 28 have 10 latent dimensions in the paper. Those of 32 by 32 have 100, and `norm=Affine` as released:
    its batch normalisation never saw a statistic. Where negatives are generated, they have `spectral=True` instead.

    Args:
        shape: of an image, (28, 28, c) or (32, 32, c).
        latent_dim: k.
        norm: of the networks for 32 by 32.
        spectral: whether the encoder's convolutions are normalised by their largest singular value.

    Returns:
        Encoder and decoder.

    Raises:
        ValueError: if there are none for such rows.

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
        f"there are no networks for rows of shape {shape}{' with normalisation' * (norm is not None)}; give encoder "
        "and decoder."
    )


def _conv(features: int, size: int, stride: int, kernel: Initializer, bias: Initializer | None) -> nn.Conv:
    return nn.Conv(
        features,
        (size, size),
        stride,
        kernel_init=kernel,
        use_bias=bias is not None,
        bias_init=bias or nn.initializers.zeros,
        conv_general_dilated=convolve,
    )
