"""One-class models of tables: this library's methods, with one network size for all tables."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import jaxgen
from jaxgen import methods, nets, samplers
from jaxgen.optim import Cosine

__all__ = [
    "MAX_RADIUS",
    "MAX_STDS",
    "NOISE_STD",
    "NUM_OUTLIERS",
    "QuadraticEnergy",
    "autoencoder",
    "discriminator",
    "energy",
    "flow",
    "outliers",
    "radii",
    "unit_scaled",
]

NUM_OUTLIERS = 10_000  # training outliers of a discriminator
MAX_RADIUS = 3.0  # largest radius of latent vectors, divided by the median radius of a standard normal distribution
NOISE_STD = (0.3, 3.0)  # least and largest standard deviation of the noise added to inliers
MAX_STDS = 50.0  # standard deviations at which outliers are clipped: a flow's inverse may lead much further
WIDTH = 8.0  # standard deviations of a column that map to the range [0, 1] of an autoencoder


def flow(rows: int, dimensions: int, steps: int) -> methods.Flow:
    """Flow of the density of inliers, smoothed by noise.

    Without noise the density of a column with few values grows without bound. The standard deviation of the noise is
    0.4 times Scott's bandwidth, which for standardized rows is a power of their number.

    Args:
        rows: number of inliers.
        dimensions: number of columns, d.
        steps: training steps.

    References:
        Scott, Multivariate density estimation (1992), section 6.3.
    """
    return methods.Flow(
        nets.dense_flow(dimensions, depth=4, widths=(64,)),
        noise=0.4 * rows ** (-1 / (dimensions + 4)),
        learning_rate=Cosine(1e-3, steps),
        ema_decay=0.99,
    )


def radii(key: Any, n: int, *, dimensions: int) -> Float[jax.Array, " n"]:
    """Draw uniform radii `[n]`, from the median radius of a standard normal distribution to `MAX_RADIUS` times it."""
    median = samplers.chi_radius(0.5, dimensions=dimensions)
    return median * jax.random.uniform(key, (n,), minval=1.0, maxval=MAX_RADIUS)


def outliers(result: jaxgen.Result, x: Float[np.ndarray, "n d"], seed: int) -> Float[np.ndarray, "m d"]:
    """Draw training outliers: half from the tails of a flow's latent space, half inliers with noise.

    The noise's standard deviation is drawn for each row, log-uniformly between the numbers of `NOISE_STD`. It yields
    outliers between clusters of inliers too, which the flow's tails do not reach.

    Args:
        result: trained flows, of which the first is used.
        x: inliers `[n, d]`.
        seed: seed of the samples.

    Returns:
        `NUM_OUTLIERS` rows, clipped at `MAX_STDS` standard deviations.
    """
    flow: Any = result.config.method
    half = NUM_OUTLIERS // 2
    tails = methods.latent_outliers(jax.random.key(seed), result.state_of(0), half, flow=flow, radii=radii)
    generator = np.random.default_rng(seed)
    std = np.exp(generator.uniform(np.log(NOISE_STD[0]), np.log(NOISE_STD[1]), (half, 1)))
    noisy = generator.choice(x, half) + std * generator.standard_normal((half, x.shape[1]))
    return np.concatenate([tails, noisy]).clip(-MAX_STDS, MAX_STDS).astype(np.float32)


def discriminator(steps: int) -> methods.OutlierDiscriminator:
    """Discriminator of inliers and outliers."""
    network = nets.MLP((64, 64, 1), nets.LeakyReLU(0.2))
    return methods.OutlierDiscriminator(network, learning_rate=Cosine(1e-3, steps), ema_decay=0.99)


class QuadraticEnergy(nn.Module):
    """Energy network plus half the squared norm, so that exp(-energy) has a finite integral.

    The energy of the network alone may decrease far away from all rows and samples, which would count as inliers there.

    Attributes:
        network: `x [..., d] -> [..., 1]`.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, x: Float[jax.Array, "... d"]) -> Float[jax.Array, "... 1"]:
        """Return the energy `[..., 1]` of rows `[..., d]`."""
        return self.network(x) + 0.5 * jnp.sum(x**2, -1, keepdims=True)


def energy(dimensions: int, steps: int) -> methods.MEG:
    """Maximum entropy generator of rows of d dimensions."""
    networks = nets.dense_meg_networks(dimensions, generator=(64, 64), energy=(64, 64))
    critic, schedule = QuadraticEnergy(networks.energy), Cosine(1e-3, steps)
    return methods.MEG(critic, networks.generator, statistic=networks.statistic, n_critic=1, learning_rate=schedule)


def autoencoder(dimensions: int, steps: int) -> methods.NegativeSamplingVAE:
    """Negative-sampling VAE of `unit_scaled` rows of d dimensions, with uniform negatives in [0, 1]."""
    latent = max(2, dimensions // 2)
    return methods.NegativeSamplingVAE(
        nets.MLP((64, 64, 2 * latent)),
        nets.MLP((64, 64, dimensions)),
        latent_dim=latent,
        observation_model=methods.Gaussian(log_scale=-2.0, learn_scale=True),
        negatives=methods.Uniform(),
        learning_rate=Cosine(1e-3, steps),
    )


def unit_scaled(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Map standardized rows affinely so that most entries lie in [0, 1]; none is clipped."""
    return (0.5 + x / WIDTH).astype(np.float32)
