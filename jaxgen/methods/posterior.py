"""The normal laws of latent vectors given rows, and bounds of the rows' likelihood by them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import losses
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key

__all__ = ["Posterior", "Weighed", "bounded", "regret", "weighed"]

LOG_VARIANCES = (-10.0, 10.0)  # where they are kept

Likelihood = Callable[[Array], Array]  # latent vectors [n, k], one a row, to the rows' log-likelihoods [n]


class Posterior(NamedTuple):
    """The normal laws of latent vectors given rows."""

    mean: Float[Array, "n k"]
    log_variance: Float[Array, "n k"]

    def at(self, noise: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return latent vectors for standard normal noise `[n, k]`, or `[k]`, the same for all."""
        spread = jnp.exp(0.5 * self.log_variance)
        return self.mean + spread * jnp.broadcast_to(noise, spread.shape)


@jax.custom_vjp
def bounded(log_variance: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Keep log-variances between -10 and 10, and of those outside the gradients that lead back."""
    return jnp.clip(log_variance, *LOG_VARIANCES)


def _bounded(log_variance: Array) -> tuple[Array, Array]:
    return bounded(log_variance), log_variance


def _led_back(log_variance: Array, slope: Array) -> tuple[Array]:
    low, high = LOG_VARIANCES
    # Descent goes against the slope.
    kept = ((log_variance >= low) | (slope < 0)) & ((log_variance <= high) | (slope > 0))
    return (jnp.where(kept, slope, 0),)


bounded.defvjp(_bounded, _led_back)


class Weighed(NamedTuple):
    """What so many latent vectors say of each row."""

    likelihood: Float[Array, "draws n"]  # log p(x|z)
    weight: Float[Array, "draws n"]  # log p(x|z) + log p(z) - log q(z|x)


def weighed(likelihood: Likelihood, posterior: Posterior, noise: Float[Array, "draws k"]) -> Weighed:
    """Weigh latent vectors of rows, one vector of every row at a time.

    Args:
        likelihood: takes one vector for each row, `[n, k]`, to the rows' log-likelihoods.
        posterior: the laws they are drawn from.
        noise: standard normal, `[draws, k]`, shared by the rows.

    Returns:
        In nats, `[draws, n]`: the mean of the weights is the evidence lower bound, and the logarithm of their
        exponentials' mean the importance weighted one.

    References:
        Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2015), equation 8.
    """

    def one(noise: Array) -> Weighed:
        z = posterior.at(noise)
        likely = likelihood(z)
        # What both normal densities have of pi falls out.
        prior = 0.5 * jnp.sum(jnp.broadcast_to(noise**2, z.shape) + posterior.log_variance - z**2, -1)
        return Weighed(likely, likely + prior)

    return jax.lax.map(one, noise)


def regret(
    key: Key[Array, ""],
    likelihood: Likelihood,
    posterior: Posterior,
    noise: Float[Array, "draws k"],
    *,
    steps: int = 100,
    learning_rate: float = 0.05,
) -> Float[Array, " n"]:
    """Return how much more likely rows become when each has its latent law fitted to itself.

    Adam climbs the evidence lower bound of each row, from the encoder's law on, by one latent vector a step.

    Args:
        key: of the climb's draws.
        likelihood: takes one vector for each row, `[n, k]`, to the rows' log-likelihoods.
        posterior: the encoder's laws.
        noise: standard normal, `[draws, k]`, by which the bound is measured before and after.
        steps: of the climb.
        learning_rate: of Adam, from which it falls to zero along half a cosine.

    Returns:
        Gain of the bound in nats, `[n]`; below 0 where the climb lost by chance.

    References:
        Xiao, Yan and Amit, Likelihood regret: an out-of-distribution detection score for variational auto-encoder
        (2020), section 4, with a free law in the place of the encoder's weights.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))  # so that it comes to rest

    def cost(law: Posterior, draw: Array) -> Array:
        # The rows' sum: each has the gradient of its own bound.
        return jnp.sum(losses.gaussian_kl(*law) - likelihood(law.at(draw)))

    def step(key: Array, state: tuple, *_: Array) -> tuple[tuple, None]:
        law, memory = state
        slope = jax.grad(cost)(law, jax.random.normal(key, noise.shape[1:]))
        change, memory = optimizer.update(slope, memory, law)
        return (optax.apply_updates(law, change), memory), None

    (fitted, _), _ = iterate(step, key, (posterior, optimizer.init(posterior)), length=steps)
    bound = lambda law: jnp.mean(weighed(likelihood, law, noise).likelihood, 0) - losses.gaussian_kl(*law)
    return bound(fitted) - bound(posterior)
