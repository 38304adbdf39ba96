"""What learns the inliers of a table: this library's methods at one size for all tables."""

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
    "BEYOND",
    "FARTHEST",
    "OUTLIERS",
    "WIDE",
    "Bowl",
    "autoencoder",
    "discriminator",
    "energy",
    "flow",
    "outliers",
    "radii",
    "ranged",
]

OUTLIERS = 10_000  # that are drawn for a discriminator
BEYOND = 3.0  # times the middle norm of a standard normal law, how far out in a flow's latent space
WIDE = (0.3, 3.0)  # least and largest deviation of noise about inliers
FARTHEST = 50.0  # deviations within which outliers are kept: a flow's inverse may lead much further
WIDTH = 8.0  # deviations of a column that an autoencoder's range of 0 to 1 holds


def flow(rows: int, dimensions: int, steps: int) -> methods.Flow:
    """Return a flow that learns the density of inliers, blurred by noise.

    Without noise the density of a column with few values grows without bound. The noise is 0.4 times as wide as Scott's
    bandwidth, which for rows of deviation 1 is a power of their number.

    Args:
        rows: n, of inliers.
        dimensions: d.
        steps: of the training.

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
    """Draw distances `[n]` evenly between the middle norm of a standard normal law and `BEYOND` times it."""
    return samplers.chi_radius(0.5, dimensions=dimensions) * jax.random.uniform(key, (n,), minval=1.0, maxval=BEYOND)


def outliers(result: jaxgen.Result, x: Float[np.ndarray, "n d"], seed: int) -> Float[np.ndarray, "m d"]:
    """Draw what a discriminator learns as outliers: half from a flow's edge, half inliers with noise.

    The noise's deviation is drawn for each row, its logarithm evenly between those of `WIDE`: between groups of
    inliers, where an edge does not reach, there are outliers too.

    Args:
        result: flows, of which the first is taken.
        x: inliers `[n, d]`.
        seed: of the draws.

    Returns:
        `OUTLIERS` rows, kept within `FARTHEST` deviations.
    """
    flow: Any = result.config.method
    half = OUTLIERS // 2
    edge = methods.latent_outliers(jax.random.key(seed), result.state_of(0), half, flow=flow, radii=radii)
    chance = np.random.default_rng(seed)
    wide = np.exp(chance.uniform(np.log(WIDE[0]), np.log(WIDE[1]), (half, 1)))
    noisy = chance.choice(x, half) + wide * chance.standard_normal((half, x.shape[1]))
    return np.concatenate([edge, noisy]).clip(-FARTHEST, FARTHEST).astype(np.float32)


def discriminator(steps: int) -> methods.OutlierDiscriminator:
    """Return what learns to tell inliers from outliers."""
    network = nets.MLP((64, 64, 1), nets.LeakyReLU(0.2))
    return methods.OutlierDiscriminator(network, learning_rate=Cosine(1e-3, steps), ema_decay=0.99)


class Bowl(nn.Module):
    """An energy that grows without bound away from the origin, so that its density has a finite integral.

    Far from all rows and samples a network alone may well lead down, and what lies there would pass for an inlier.

    Attributes:
        network: `x [..., d] -> [..., 1]`, to which half the squared norm is added.
    """

    network: nn.Module

    @nn.compact
    def __call__(self, x: Float[jax.Array, "... d"]) -> Float[jax.Array, "... 1"]:
        """Return the energy `[..., 1]` of rows `[..., d]`."""
        return self.network(x) + 0.5 * jnp.sum(x**2, -1, keepdims=True)


def energy(dimensions: int, steps: int) -> methods.MEG:
    """Return a maximum entropy generator of rows of d dimensions."""
    drawn = nets.dense_meg_networks(dimensions, generator=(64, 64), energy=(64, 64))
    return methods.MEG(
        Bowl(drawn.energy), drawn.generator, statistic=drawn.statistic, n_critic=1, learning_rate=Cosine(1e-3, steps)
    )


def autoencoder(dimensions: int, steps: int) -> methods.NegativeSamplingVAE:
    """Return an autoencoder of rows of d dimensions, `ranged`, whose negatives fill its range evenly."""
    latent = max(2, dimensions // 2)
    return methods.NegativeSamplingVAE(
        nets.MLP((64, 64, 2 * latent)),
        nets.MLP((64, 64, dimensions)),
        latent_dim=latent,
        observation_model=methods.Gaussian(log_scale=-2.0, learned=True),
        negatives=methods.Uniform(),
        learning_rate=Cosine(1e-3, steps),
    )


def ranged(x: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return rows of deviation 1 as an autoencoder has them: mostly between 0 and 1, and nowhere cut."""
    return (0.5 + x / WIDTH).astype(np.float32)
