"""Networks of the comparisons in eager PyTorch (extra `benchmark`), with the parameters of the same Flax modules."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn


def leaky() -> nn.Module:
    """Activation of an energy network."""
    return nn.LeakyReLU(0.2)


def dense(widths: Sequence[int], activation: Callable[[], nn.Module] = lambda: nn.ReLU(inplace=True)) -> nn.Module:
    """Dense layers with an activation between them; the first width is the input's."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


class Permuted(nn.Module):
    """Permute the axes of a batch, except the first."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the permuted tensor."""
        return x.permute(0, *self.axes)


class Pair(nn.Module):
    """Network of samples and latent vectors: a head on the features of a trunk, concatenated with the vectors."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return `[n, 1]`."""
        return self.head(torch.cat([self.trunk(x), z], 1))


_NAMES = {
    nn.Linear: "Dense",
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "TransposedConv",
    nn.BatchNorm2d: "BatchNorm",
}


def adopt(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """Copy the parameters of a Flax module, without the name of the collection, into the same network in PyTorch.

    The network's layers of each kind must be in the order in which Flax numbers them.
    """
    if isinstance(network, Pair):
        adopt(network.head, params["head"])
        if "trunk" in params:
            adopt(network.trunk, params["trunk"])
        return network
    counts: dict[str, int] = {}
    with torch.no_grad():
        for layer in network.modules():
            if type(layer) not in _NAMES:
                continue
            name = _NAMES[type(layer)]
            values = params[f"{name}_{counts.setdefault(name, 0)}"]
            counts[name] += 1
            values = values.get("BatchNorm_0", values)
            weight = np.asarray(values["scale"] if "scale" in values else values["kernel"])
            if isinstance(layer, nn.ConvTranspose2d):  # jaxgen applies the flipped kernel
                weight = np.moveaxis(weight[::-1, ::-1], (2, 3), (0, 1))
            elif weight.ndim > 1:
                weight = np.moveaxis(weight, (-1, -2), (0, 1))
            layer.weight.copy_(torch.tensor(weight.copy()))
            layer.bias.copy_(torch.tensor(np.array(values["bias"])))
    return network


def tensors(*arrays: Any) -> list[torch.Tensor]:
    """Copy arrays into tensors."""
    return [torch.tensor(np.array(array)) for array in arrays]


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    """Take one step on a loss, with gradients of the optimizer's own parameters alone."""
    optimizer.zero_grad()
    loss.backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()
