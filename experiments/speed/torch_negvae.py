"""Training step of negative-sampling VAEs in eager PyTorch (extra `benchmark`)."""

import itertools
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional

from experiments.speed.torch_networks import Permuted, descend

Normal: TypeAlias = tuple[torch.Tensor, torch.Tensor]  # means and log-variances [n, k]


class Autoencoders(nn.Module):
    """Encoder and decoder of images, with their losses and training step.

    Attributes:
        encoder: images `[n, h, w, c]` to `[n, 2 k]`, means and log-variances.
        decoder: latent vectors `[n, k]` to log-odds `[n, h, w, c]`.
        latent_dim: k.
        shift: mean of the negatives' prior.
        adversarial: whether negatives are generated, which adds a term to the decoder's loss.
        shared: whether the computation that both gradients share is done once, as XLA does by itself.
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
        self.encoder_optimizer, self.decoder_optimizer = rmsprop(encoder), rmsprop(decoder)

    def posterior(self, x: torch.Tensor) -> Normal:
        """Return means and log-variances of the latent vectors."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return mean, log_variance.clamp(-10, 10)

    def reconstruction(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return the mean negative log-likelihood of images conditional on latent vectors."""
        return functional.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum") / len(x)

    def encoder_loss(
        self, x: torch.Tensor, negatives: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the encoder's loss, and the latent vectors of the images."""
        mean, log_variance = self.posterior(x)
        z = mean + torch.exp(log_variance / 2) * noise
        negative_term = divergence(self.posterior(negatives), self.shift)
        return divergence((mean, log_variance)) + self.reconstruction(x, z) + negative_term, z.detach()

    def decoder_loss(self, x: torch.Tensor, z: torch.Tensor, prior: torch.Tensor) -> torch.Tensor:
        """Return the decoder's loss."""
        loss = self.reconstruction(x, z)
        if self.adversarial:
            loss = loss + divergence(self.posterior(torch.sigmoid(self.decoder(prior))))
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
        descend(self.encoder_optimizer, loss)
        descend(self.decoder_optimizer, self.decoder_loss(x, z, prior))

    def _share(self, x: torch.Tensor, others: torch.Tensor, noise: torch.Tensor, prior: torch.Tensor) -> None:
        """Take the same step with one pass of the decoder: the encoder's loss contains its gradient."""
        self.encoder_optimizer.zero_grad()
        self.decoder_optimizer.zero_grad()
        negatives = torch.sigmoid(self.decoder(prior)) if self.adversarial else others
        loss, _ = self.encoder_loss(x, negatives.detach(), noise)
        loss.backward()
        self.encoder_optimizer.step()
        if self.adversarial:
            divergence(self.posterior(negatives)).backward(inputs=list(self.decoder.parameters()))
        self.decoder_optimizer.step()


def divergence(posterior: Normal, shift: float = 0.0) -> torch.Tensor:
    """Return the mean KL divergence of normal distributions from one with unit variance and mean `shift`, in nats."""
    mean, log_variance = posterior
    return 0.5 * (log_variance.exp() + (mean - shift) ** 2 - 1 - log_variance).sum(1).mean()


def digits(latent_dim: int, width: int) -> tuple[nn.Module, nn.Module]:
    """Encoder and decoder of images of 28 by 28, with channels last."""
    layers: list[nn.Module] = [Permuted(3, 1, 2)]
    strides, widths = (2, 1, 2, 1, 2), (1, 8, 16, 32, 64, 64)
    for (inputs, outputs), stride, side in zip(itertools.pairwise(widths), strides, (28, 14, 14, 7, 7), strict=True):
        before = 1 if stride == 2 and side % 2 == 0 else 2  # TensorFlow pads the odd row of zeros at the end
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
