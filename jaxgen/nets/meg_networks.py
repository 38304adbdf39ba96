"""The networks of the maximum entropy generators paper, three to each kind of data."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.dcgan import TransposedGenerator
from jaxgen.nets.discriminators import ConvTrunk, PairNet
from jaxgen.nets.initializers import Initializer, normal, torch_uniform, torch_uniform_transposed
from jaxgen.nets.mlp import MLP

__all__ = ["MEGNetworks", "dense_meg_networks", "digit_meg_networks", "photo_meg_networks"]


class MEGNetworks(NamedTuple):
    """Networks that are trained against and with each other."""

    generator: nn.Module  # z [..., k] -> [..., *row]
    energy: nn.Module  # x [..., *row] -> [..., 1]
    statistic: nn.Module  # x [..., *row], z [..., k] -> [..., 1]


def dense_meg_networks(
    dimensions: int, *, generator: Sequence[int] = (512,) * 3, energy: Sequence[int] = (512,) * 3
) -> MEGNetworks:
    """Return dense networks, drawn as PyTorch draws them.

    Those of the plane are the defaults with `latent_dim=2`; those of KDD99 are `generator=(64, 128)` and
    `energy=(256, 128, 128)` with 121 dimensions and `latent_dim=32`.

    Args:
        dimensions: d, of a row.
        generator: hidden widths of the generator, between which stands ReLU.
        energy: hidden widths of energy and statistic, between which stands LeakyReLU(0.2).

    Returns:
        Generator, energy and statistic; the noise may have any width.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    judge = MLP((*energy, 1), LeakyReLU(0.2), hidden=torch_uniform)
    return MEGNetworks(MLP((*generator, dimensions), jax.nn.relu, hidden=torch_uniform), judge, PairNet(judge))


def digit_meg_networks(channels: int = 1, *, latent_dim: int = 128, width: int = 512) -> MEGNetworks:
    """Return the networks of (stacked) MNIST: images of 28 by 28 between -1 and 1.

    Args:
        channels: of the images.
        latent_dim: k, to which the statistic's trunk reduces an image too.
        width: features of the smallest images, of which larger ones have a half, a quarter and an eighth.

    Returns:
        Generator, energy and statistic.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    generator = TransposedGenerator((28, 28, channels), (width, width // 2, width // 4, width // 8), ((5, 2),) * 4)
    layers = tuple((features, 5, 2) for features in (width // 8, width // 4, width // 2, width))
    return _convolutional(generator, layers, normal, LeakyReLU(0.2), latent_dim, width)


def photo_meg_networks(side: int = 32, *, latent_dim: int = 128, width: int = 512) -> MEGNetworks:
    """Return the networks of CIFAR-10 (32 by 32) and CelebA (64 by 64): images of three colours between -1 and 1.

    Args:
        side: 32 or 64.
        latent_dim: k, to which the statistic's trunk reduces an image too.
        width: features of the smallest images.

    Returns:
        Generator, energy and statistic.

    Raises:
        ValueError: if there are no networks for such images.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), released code.
    """
    if side not in (32, 64):
        raise ValueError(f"there are networks for images of 32 or 64 pixels a side, not {side}.")
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
    head = MLP((width, 1), activation, hidden=torch_uniform)
    return MEGNetworks(generator, trunk(1), PairNet(head, trunk(latent_dim)))
