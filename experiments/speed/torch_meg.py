"""Training step and chains of maximum entropy generators in eager PyTorch (extra `benchmark`)."""

import itertools

import torch
from torch import nn
from torch.nn import functional

from experiments.speed.torch_networks import Pair, Permuted, descend, leaky


class Adversaries(nn.Module):
    """Maximum entropy generator: energy, generator and statistic network, with their losses and training step.

    Attributes:
        energy: samples to `[n, 1]`.
        generator: noise to samples.
        statistic: samples and noise to `[n, 1]`.
        penalty: weight of the gradient penalty, lambda.
        latent_dim: dimension of the noise.
    """

    def __init__(
        self, energy: nn.Module, generator: nn.Module, statistic: nn.Module, penalty: float, latent_dim: int
    ) -> None:
        super().__init__()
        self.energy, self.generator, self.statistic = energy, generator, statistic
        self.penalty, self.latent_dim = penalty, latent_dim
        adam = lambda *parts: torch.optim.Adam([p for part in parts for p in part.parameters()], 1e-4, (0.5, 0.9))
        self.critic_optimizer, self.generator_optimizer = adam(energy), adam(generator, statistic)

    def critic_loss(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Mean energy of data minus that of samples, plus the gradient penalty at the data."""
        with torch.no_grad():
            samples = self.generator(z)
        x = x.detach().requires_grad_()
        real = self.energy(x)
        (gradient,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        return real.mean() - self.energy(samples).mean() + self.penalty * (gradient**2).flatten(1).sum(1).mean()

    def generator_loss(self, z: torch.Tensor, shuffled: torch.Tensor) -> torch.Tensor:
        """Mean energy of samples, minus half their mutual information with the noise; `shuffled` breaks the pairs."""
        samples = self.generator(z)
        joint, marginal = self.statistic(samples, z), self.statistic(samples, shuffled)
        information = -functional.softplus(-joint).mean() - functional.softplus(marginal).mean()
        return self.energy(samples).mean() - 0.5 * information

    def step(self, x: torch.Tensor, n_critic: int) -> None:
        """Update the energy on each chunk of the batch, then generator and statistic network."""
        for share in x.chunk(n_critic):
            descend(self.critic_optimizer, self.critic_loss(share, torch.randn(len(share), self.latent_dim)))
        z = torch.randn(len(share), self.latent_dim)
        descend(self.generator_optimizer, self.generator_loss(z, z[torch.randperm(len(z))]))


class Chains:
    """MALA chains in the latent space of a generator, with one evaluation a step.

    Attributes:
        energy: samples to `[n, 1]`.
        generator: latent vectors to samples.
        step_size: step size of all chains.
        position: latent vectors, their log-densities and scores.
    """

    def __init__(self, energy: nn.Module, generator: nn.Module, z: torch.Tensor, step_size: float) -> None:
        self.energy, self.generator, self.step_size = energy, generator, step_size
        self.position = self.evaluate(z)

    def evaluate(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return latent vectors with their log-densities and scores."""
        z = z.detach().requires_grad_()
        log_density = -self.energy(self.generator(z))[:, 0]
        (score,) = torch.autograd.grad(log_density.sum(), z)
        return z.detach(), log_density.detach(), score

    def step(self) -> torch.Tensor:
        """Take one step of every chain; return the acceptance probabilities."""
        z, log_density, score = self.position
        noise = torch.randn_like(z)
        proposal = self.evaluate(z + self.step_size * score + (2 * self.step_size) ** 0.5 * noise)
        back = ((z - proposal[0] - self.step_size * proposal[2]) ** 2).sum(1) / (4 * self.step_size)
        acceptance = torch.exp((proposal[1] - log_density - back + (noise**2).sum(1) / 2).clamp(max=0))
        accepted = torch.rand(len(z)) < acceptance
        select = lambda new, old: torch.where(accepted.view(-1, *[1] * (old.dim() - 1)), new, old)
        self.position = tuple(select(new, old) for new, old in zip(proposal, self.position, strict=True))
        return acceptance


def digits(latent_dim: int, width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Energy, generator and statistic network of images of 28 by 28, with channels last."""

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
