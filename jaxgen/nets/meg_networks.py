"""Networks of the maximum entropy generators (MEG) paper: generator, energy and statistics network."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.dcgan import TransposedGenerator
from jaxgen.nets.discriminators import ConvTrunk, PairNet
from jaxgen.nets.image_sides import halvings
from jaxgen.nets.initializers import Initializer, normal, torch_uniform, torch_uniform_transposed
from jaxgen.nets.mlp import MLP

__all__ = ["MEGNetworks", "dense_meg_networks", "digit_meg_networks", "image_meg_networks", "photo_meg_networks"]


class MEGNetworks(NamedTuple):
    """Generator, energy and statistics network of a maximum entropy generator."""

    generator: nn.Module  # z [..., k] -> [..., *row]
    energy: nn.Module  # x [..., *row] -> [..., 1]
    statistic: nn.Module  # x [..., *row], z [..., k] -> [..., 1]


def dense_meg_networks(
    dimensions: int, *, generator: Sequence[int] = (512,) * 3, energy: Sequence[int] = (512,) * 3
) -> MEGNetworks:
    """Dense MEG networks with PyTorch's default initialization.

    The defaults are those of the two-dimensional data, with `latent_dim=2`. Those of KDD99 are `generator=(64, 128)`
    and `energy=(256, 128, 128)`, with 121 dimensions and `latent_dim=32`.

    Args:
        dimensions: d, number of features of a sample.
        generator: hidden widths of the generator; its activation is ReLU.
        energy: hidden widths of the energy and the statistics network; their activation is LeakyReLU(0.2).

    Returns:
        Generator, energy and statistics network, for latent vectors of any width.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    critic = MLP((*energy, 1), LeakyReLU(0.2), hidden_kernel_init=torch_uniform)
    return MEGNetworks(
        MLP((*generator, dimensions), jax.nn.relu, hidden_kernel_init=torch_uniform), critic, PairNet(critic)
    )


def digit_meg_networks(channels: int = 1, *, latent_dim: int = 128, width: int = 512) -> MEGNetworks:
    """MEG networks for MNIST and stacked MNIST: images of 28 x 28 pixels between -1 and 1.

    Args:
        channels: number of image channels.
        latent_dim: k, width of the latent vectors and of the image features in the statistics network.
        width: features at the lowest resolution; the next ones have a half, a quarter and an eighth.

    Returns:
        Generator, energy and statistics network.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    generator = TransposedGenerator((28, 28, channels), (width, width // 2, width // 4, width // 8), ((5, 2),) * 4)
    layers = tuple((features, 5, 2) for features in (width // 8, width // 4, width // 2, width))
    return _convolutional(generator, layers, normal, LeakyReLU(0.2), latent_dim, width)


def image_meg_networks(shape: tuple[int, int, int], *, latent_dim: int = 128, features: int = 64) -> MEGNetworks:
    """MEG networks for images of any size between -1 and 1, in the form of those for MNIST.

    Convolutions of stride 2 halve the larger side, rounded up, until it is at most 2 pixels: two of them for 8 x 8,
    four for 28 x 28 and five for 64 x 64. The generator doubles it by equally many transposed convolutions. For 28 x 28
    these are the networks of `digit_meg_networks`.

    Args:
        shape: height, width and channels of an image.
        latent_dim: k, width of the latent vectors and of the image features in the statistics network.
        features: of the first convolution; they double with each convolution, up to eight times this number.

    Returns:
        Generator, energy and statistics network.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    count = max(halvings(shape, smallest=2), 1)
    widths = tuple(min(features * 2**place, 8 * features) for place in range(count))
    generator = TransposedGenerator(tuple(shape), widths[::-1], ((5, 2),) * count)
    layers = tuple((width, 5, 2) for width in widths)
    return _convolutional(generator, layers, normal, LeakyReLU(0.2), latent_dim, widths[-1])


def photo_meg_networks(side: int = 32, *, latent_dim: int = 128, width: int = 512) -> MEGNetworks:
    """MEG networks for CIFAR-10 (32 x 32) and CelebA (64 x 64): color images between -1 and 1.

    Args:
        side: height and width of the images, 32 or 64 pixels.
        latent_dim: k, width of the latent vectors and of the image features in the statistics network.
        width: features at the lowest resolution.

    Returns:
        Generator, energy and statistics network.

    Raises:
        ValueError: if `side` is neither 32 nor 64.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    if side not in (32, 64):
        raise ValueError(
            f"`side` must be 32 or 64 (got {side}); resize the images, or build a MEGNetworks of your own."
        )
    rising = (width // 8, width // 4, width // 2, width)[: 3 + side // 64]
    generator = TransposedGenerator(
        (side, side, 3),
        (width, *reversed(rising)),
        (*((4, 2) for _ in rising), (3, 1)),
        first=False,
        kernel=torch_uniform_transposed,
        scale=nn.initializers.ones,
    )
    pairs = tuple(layer for features in rising for layer in ((features, 3, 1), (features, 4, 2)))
    return _convolutional(generator, (*pairs, (width, 3, 1)), torch_uniform, LeakyReLU(0.1), latent_dim, width)


def _convolutional(
    generator: nn.Module,
    layers: tuple[tuple[int, int, int], ...],
    kernel: Initializer,
    activation: LeakyReLU,
    latent_dim: int,
    width: int,
) -> MEGNetworks:
    trunk = lambda last: ConvTrunk(layers, last, activation, kernel)
    head = MLP((width, 1), activation, hidden_kernel_init=torch_uniform)
    return MEGNetworks(generator, trunk(1), PairNet(head, trunk(latent_dim)))
