"""The benchmark's other side: the same training steps written plainly in eager PyTorch (extra `benchmark`)."""

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["PerTarget", "SharedPool", "adopt", "convolutional", "dense", "descend", "value"]


class PerTarget(nn.Module):
    """The extreme value loss of targets that have guesses of their own.

    Attributes:
        generator: noise `[b * n, k]` -> `[b * n, d + 1]`, the last number being the logit.
    """

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, noise: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the loss of targets `[b, d]`."""
        batch, d = x.shape
        made = self.generator(noise).view(batch, -1, d + 1)
        distance, nearest = ((made[..., :d] - x[:, None]) ** 2).mean(-1).min(1)
        log_probability = functional.log_softmax(made[..., d], 1)
        return distance.mean() - log_probability.gather(1, nearest[:, None]).mean()


class SharedPool(nn.Module):
    """The extreme value loss of targets that share one pool of guesses, all of which are differentiated.

    Attributes:
        generator: noise `[n, k]` -> images `[n, channels, height, width]`.
        head: noise `[n, k]` -> logits `[n, 1]`.
    """

    def __init__(self, generator: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.generator, self.head = generator, head

    def forward(self, noise: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the loss of images `[b, height, width, channels]`."""
        made, targets = self.generator(noise).permute(0, 2, 3, 1).flatten(1), x.flatten(1)
        nearest = torch.cdist(targets, made.detach()).argmin(1)
        log_probability = functional.log_softmax(self.head(noise)[:, 0], 0)
        return functional.mse_loss(made[nearest], targets) - log_probability[nearest].mean()


def dense(widths: Sequence[int], activation: Callable[[], nn.Module] = lambda: nn.ReLU(inplace=True)) -> nn.Module:
    """Return dense layers with an activation between them; the first width is the input's."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def convolutional(latent_dim: int, widths: Sequence[int], shape: Sequence[int]) -> nn.Module:
    """Return the image generator: one pixel, doubled and convolved twice by each block, and the middle cut out."""
    height, width, channels = shape
    layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1))]
    for inputs, outputs in zip((latent_dim, *widths), widths, strict=False):
        layers += [nn.Upsample(scale_factor=2)]
        for features in (inputs, outputs):
            layers += [nn.Conv2d(features, outputs, 3, padding=1), nn.ReLU(inplace=True)]
    top, left = (2 ** len(widths) - height) // 2, (2 ** len(widths) - width) // 2
    layers += [nn.Conv2d(widths[-1], channels, 3, padding=1), nn.ZeroPad2d((-left, -left, -top, -top))]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)  # 1.7 times as fast on a CPU


def adopt(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """Give a network the parameters of the Flax module that it repeats.

    Args:
        network: of linear layers or convolutions.
        params: `{"params": ...}` of layers that are numbered in the same order.

    Returns:
        The network.
    """
    mine = [layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    layers = params["params"]
    theirs = [layers[name] for name in sorted(layers, key=lambda name: int(re.findall(r"\d+$", name)[0]))]
    with torch.no_grad():
        for layer, given in zip(mine, theirs, strict=True):
            layer.weight.copy_(torch.tensor(np.moveaxis(np.asarray(given["kernel"]), (-1, -2), (0, 1))))
            layer.bias.copy_(torch.tensor(np.asarray(given["bias"])))
    return network


def value(loss: nn.Module, noise: np.ndarray, x: np.ndarray) -> float:
    """Return a loss without differentiating it."""
    with torch.no_grad():
        return float(loss(torch.tensor(np.asarray(noise)), torch.tensor(np.asarray(x))))


def descend(loss: nn.Module, optimizer: torch.optim.Optimizer, noise: tuple[int, int], x: torch.Tensor) -> None:
    """Take one training step on targets, with fresh noise of a shape."""
    found = loss(torch.randn(noise), x)
    optimizer.zero_grad()
    found.backward()
    optimizer.step()
