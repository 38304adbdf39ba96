"""The benchmark's other side for energies: their training step and their chains in eager PyTorch."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

__all__ = ["Adversaries", "Chains", "Pair", "adopt", "digits", "leaky"]


def leaky() -> nn.Module:
    """Return what stands between the layers of an energy."""
    return nn.LeakyReLU(0.2)


class Pair(nn.Module):
    """Features of rows with vectors behind them, through a head."""

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return numbers `[n, 1]`."""
        return self.head(torch.cat([self.trunk(x), z], 1))


class Permuted(nn.Module):
    """Move the axes of a batch; the first stays."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same numbers in another order."""
        return x.permute(0, *self.axes)


class Adversaries(nn.Module):
    """A maximum entropy generator: energy, generator and statistic, each with its share of a training step.

    Attributes:
        energy: rows to `[n, 1]`.
        generator: noise to rows.
        statistic: rows and noise to `[n, 1]`.
        penalty: lambda.
        latent_dim: of the noise.
    """

    def __init__(
        self, energy: nn.Module, generator: nn.Module, statistic: nn.Module, penalty: float, latent_dim: int
    ) -> None:
        super().__init__()
        self.energy, self.generator, self.statistic = energy, generator, statistic
        self.penalty, self.latent_dim = penalty, latent_dim
        adam = lambda *parts: torch.optim.Adam([p for part in parts for p in part.parameters()], 1e-4, (0.5, 0.9))
        self.judging, self.making = adam(energy), adam(generator, statistic)

    def critic_loss(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return how much higher the data's energy is than the samples', with what it pays for being steep."""
        with torch.no_grad():
            made = self.generator(z)
        x = x.detach().requires_grad_()
        real = self.energy(x)
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        return real.mean() - self.energy(made).mean() + self.penalty * (slope**2).flatten(1).sum(1).mean()

    def generator_loss(self, z: torch.Tensor, strangers: torch.Tensor) -> torch.Tensor:
        """Return the mean energy of samples, less half of what they tell of their noise."""
        made = self.generator(z)
        pairs, apart = self.statistic(made, z), self.statistic(made, strangers)
        information = -functional.softplus(-pairs).mean() - functional.softplus(apart).mean()
        return self.energy(made).mean() - 0.5 * information

    def step(self, x: torch.Tensor, n_critic: int) -> None:
        """Update the energy on each share of the rows, then generator and statistic."""
        for share in x.chunk(n_critic):
            self._descend(self.judging, self.critic_loss(share, torch.randn(len(share), self.latent_dim)))
        z = torch.randn(len(share), self.latent_dim)
        self._descend(self.making, self.generator_loss(z, z[torch.randperm(len(z))]))

    def _descend(self, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
        optimizer.step()


class Chains:
    """Metropolis-adjusted Langevin chains on the energy of what a generator makes, one evaluation a step.

    Attributes:
        energy: rows to `[n, 1]`.
        generator: noise to rows.
        step_size: of each chain.
    """

    def __init__(self, energy: nn.Module, generator: nn.Module, z: torch.Tensor, step_size: float) -> None:
        self.energy, self.generator, self.step_size = energy, generator, step_size
        self.place = self.look(z)

    def look(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return places with their log-densities and scores."""
        z = z.detach().requires_grad_()
        log_density = -self.energy(self.generator(z))[:, 0]
        (score,) = torch.autograd.grad(log_density.sum(), z)
        return z.detach(), log_density.detach(), score

    def step(self) -> torch.Tensor:
        """Move every chain once; return the probabilities with which they were to."""
        z, log_density, score = self.place
        noise = torch.randn_like(z)
        there = self.look(z + self.step_size * score + (2 * self.step_size) ** 0.5 * noise)
        back = ((z - there[0] - self.step_size * there[2]) ** 2).sum(1) / (4 * self.step_size)
        acceptance = torch.exp((there[1] - log_density - back + (noise**2).sum(1) / 2).clamp(max=0))
        moved = torch.rand(len(z)) < acceptance
        mix = lambda new, old: torch.where(moved.view(-1, *[1] * (old.dim() - 1)), new, old)
        self.place = tuple(mix(new, old) for new, old in zip(there, self.place, strict=True))
        return acceptance


def digits(latent_dim: int, width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Return energy, generator and statistic of images of 28 by 28, which stand with their channel last."""

    def trunk(last: int) -> nn.Module:
        widths = (1, width // 8, width // 4, width // 2, width)
        layers: list[nn.Module] = [Permuted(3, 1, 2)]
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 5, 2, 2), leaky()]
        return nn.Sequential(*layers, Permuted(2, 3, 1), nn.Flatten(), nn.Linear(4 * width, last))

    widths = (width, width // 2, width // 4, width // 8, 1)
    layers: list[nn.Module] = [nn.Linear(latent_dim, 4 * width), nn.Unflatten(1, (2, 2, width)), Permuted(3, 1, 2)]
    for inputs, outputs, extra in zip(widths, widths[1:], (1, 0, 1, 1), strict=False):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 5, 2, 2, extra)]
    generator = nn.Sequential(*layers, Permuted(2, 3, 1), nn.Tanh())
    head = nn.Sequential(nn.Linear(2 * latent_dim, width), leaky(), nn.Linear(width, 1))
    return trunk(1), generator, Pair(trunk(latent_dim), head)


def adopt(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """Give a network the parameters of the Flax module that it repeats.

    Args:
        network: whose layers of each kind stand in the order in which Flax numbers them.
        params: of the module, without the collection's name.

    Returns:
        The network.
    """
    if isinstance(network, Pair):
        adopt(network.head, params["head"])
        if "trunk" in params:
            adopt(network.trunk, params["trunk"])
        return network
    seen: dict[str, int] = {}
    with torch.no_grad():
        for layer in network.modules():
            if type(layer) not in _NAMES:
                continue
            name = _NAMES[type(layer)]
            given = params[f"{name}_{seen.setdefault(name, 0)}"]
            seen[name] += 1
            given = given.get("BatchNorm_0", given)
            weight = np.asarray(given["scale"] if "scale" in given else given["kernel"])
            if isinstance(layer, nn.ConvTranspose2d):  # ours meets every pixel with the kernel turned round
                weight = np.moveaxis(weight[::-1, ::-1], (2, 3), (0, 1))
            elif weight.ndim > 1:
                weight = np.moveaxis(weight, (-1, -2), (0, 1))
            layer.weight.copy_(torch.tensor(weight.copy()))
            layer.bias.copy_(torch.tensor(np.array(given["bias"])))
    return network


_NAMES = {
    nn.Linear: "Dense",
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "TransposedConv",
    nn.BatchNorm2d: "BatchNorm",
}
