"""The benchmark's other side for autoencoders: their training step in eager PyTorch."""

import itertools

import torch
from torch import nn
from torch.nn import functional

from experiments.speed.torch_meg import Permuted

__all__ = ["Autoencoders", "digits"]

Law = tuple[torch.Tensor, torch.Tensor]  # means and log-variances


class Autoencoders(nn.Module):
    """Encoder and decoder of images, each with its share of a training step.

    Attributes:
        encoder: images `[n, h, w, c]` to `[n, 2 k]`, means and log-variances.
        decoder: latent vectors `[n, k]` to log-odds `[n, h, w, c]`.
        latent_dim: k.
        shift: of the negatives' prior.
        adversarial: whether negatives are generated, for which the decoder pays.
        shared: whether what both networks' gradients have in common is computed once, as XLA finds by itself.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        shift: float,
        *,
        adversarial: bool,
        shared: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.latent_dim, self.shift, self.adversarial, self.shared = latent_dim, shift, adversarial, shared
        rmsprop = lambda net: torch.optim.RMSprop(net.parameters(), 1e-4, alpha=0.9, eps=1e-10)
        self.encoding, self.decoding = rmsprop(encoder), rmsprop(decoder)

    def law(self, x: torch.Tensor) -> Law:
        """Return means and log-variances of latent vectors."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    def reconstruction(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the mean negative log-likelihood of images, given latent vectors."""
        return functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)

    def encoder_loss(
        self, x: torch.Tensor, negatives: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the encoder descends on, and the latent vectors of the images."""
        mean, log_variance = self.law(x)
        z = mean + torch.exp(log_variance / 2) * noise
        away = divergence(self.law(negatives), self.shift)
        return divergence((mean, log_variance)) + self.reconstruction(x, z) + away, z.detach()

    def decoder_loss(self, x: torch.Tensor, z: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        """Return what the decoder descends on."""
        loss = self.reconstruction(x, z)
        if self.adversarial:
            loss = loss + divergence(self.law(torch.sigmoid(self.decoder(prior))))
        return loss

    def step(self, x: torch.Tensor, others: torch.Tensor) -> None:
        """Update the encoder, then the decoder on the same latent vectors."""
        noise, prior = torch.randn(2, len(x), self.latent_dim)
        if self.shared:
            self._share(x, others, noise, prior)
            return
        if self.adversarial:
            with torch.no_grad():
                others = torch.sigmoid(self.decoder(prior))
        loss, z = self.encoder_loss(x, others, noise)
        _descend(self.encoding, loss)
        _descend(self.decoding, self.decoder_loss(x, z, prior))

    def _share(self, x: torch.Tensor, others: torch.Tensor, noise: torch.Tensor, prior: torch.Tensor) -> None:
        """Do the same with one pass of the decoder: its gradient is in that of the encoder's loss."""
        self.encoding.zero_grad()
        self.decoding.zero_grad()
        made = torch.sigmoid(self.decoder(prior)) if self.adversarial else others
        loss, _ = self.encoder_loss(x, made.detach(), noise)
        loss.backward()
        self.encoding.step()
        if self.adversarial:
            divergence(self.law(made)).backward(inputs=list(self.decoder.parameters()))
        self.decoding.step()


def divergence(law: Law, shift: float = 0.0) -> torch.Tensor:
    """Return the mean divergence of normal laws from one of unit variance, in nats."""
    mean, log_variance = law
    return 0.5 * (log_variance.exp() + (mean - shift) ** 2 - 1 - log_variance).sum(1).mean()


def digits(latent_dim: int, width: int) -> tuple[nn.Module, nn.Module]:
    """Return encoder and decoder of images of 28 by 28, which stand with their channel last."""
    layers: list[nn.Module] = [Permuted(3, 1, 2)]
    strides, widths = (2, 1, 2, 1, 2), (1, 8, 16, 32, 64, 64)
    for (inputs, outputs), stride, side in zip(itertools.pairwise(widths), strides, (28, 14, 14, 7, 7), strict=True):
        before = 1 if stride == 2 and side % 2 == 0 else 2  # the odd row of zeros is behind, as TensorFlow has it
        layers += [nn.ZeroPad2d((before, 2, before, 2)), nn.Conv2d(inputs, outputs, 5, stride), nn.ReLU()]
    encoder = nn.Sequential(*layers, Permuted(2, 3, 1), nn.Flatten(), nn.Linear(1024, 2 * latent_dim))
    decoder = nn.Sequential(
        nn.Linear(latent_dim, 7 * 7 * 64),
        nn.Unflatten(1, (7, 7, 64)),
        Permuted(3, 1, 2),
        nn.ConvTranspose2d(64, 32, 5, 2, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, 32, 5, 2, 2, 1),
        nn.ReLU(),
        nn.ConvTranspose2d(32, width, 5, 1, 2),
        nn.ReLU(),
        nn.Conv2d(width, 1, 5, 1, 2),
        Permuted(2, 3, 1),
    )
    return encoder, decoder


def _descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward(inputs=[p for group in optimizer.param_groups for p in group["params"]])
    optimizer.step()
