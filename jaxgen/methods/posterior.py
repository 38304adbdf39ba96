"""Gaussian posteriors of latent vectors, importance weights, and likelihood regret."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxgen import losses
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key

__all__ = ["Posterior", "ImportanceWeights", "bounded", "regret", "importance_weights"]

LOG_VARIANCES = (-10.0, 10.0)  # bounds

Likelihood = Callable[[Array], Array]  # one latent vector per row [n, k] to the rows' log-likelihoods [n]


class Posterior(NamedTuple):
    """Diagonal Gaussian posteriors of latent vectors given rows, q(z|x)."""

    mean: Float[Array, "n k"]
    log_variance: Float[Array, "n k"]

    def sample(self, noise: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return latent vectors by reparameterization.

        Args:
            noise: standard normal, `[n, k]`, or `[k]` for the same noise in all rows.

        Returns:
            Latent vectors `[n, k]`.
        """
        std = jnp.exp(0.5 * self.log_variance)
        return self.mean + std * jnp.broadcast_to(noise, std.shape)


@jax.custom_vjp
def bounded(log_variance: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Clip log-variances to [-10, 10].

    Outside of the bounds, only gradients whose descent leads back inside are kept.
    """
    return jnp.clip(log_variance, *LOG_VARIANCES)


def _bounded_forward(log_variance: Array) -> tuple[Array, Array]:
    return bounded(log_variance), log_variance


def _bounded_backward(log_variance: Array, gradient: Array) -> tuple[Array]:
    low, high = LOG_VARIANCES
    # Descent raises a log-variance with a negative gradient, and lowers one with a positive gradient.
    kept = ((log_variance >= low) | (gradient < 0)) & ((log_variance <= high) | (gradient > 0))
    return (jnp.where(kept, gradient, 0),)


bounded.defvjp(_bounded_forward, _bounded_backward)


class ImportanceWeights(NamedTuple):
    """Log-likelihoods and log importance weights of several latent vectors per row."""

    likelihood: Float[Array, "draws n"]  # log p(x|z)
    weight: Float[Array, "draws n"]  # log p(x|z) + log p(z) - log q(z|x)


def importance_weights(
    likelihood: Likelihood, posterior: Posterior, noise: Float[Array, "draws k"]
) -> ImportanceWeights:
    """Return log-likelihoods and log importance weights of latent vectors drawn from the posterior.

    Draws are evaluated one after the other, each for all rows at once.

    Args:
        likelihood: maps one latent vector per row, `[n, k]`, to the rows' log-likelihoods `[n]`.
        posterior: the distributions that latent vectors are drawn from.
        noise: standard normal, `[draws, k]`, the same for all rows.

    Returns:
        Log-likelihoods and log-weights in nats, `[draws, n]` each. The mean of the log-weights over draws is the
        evidence lower bound; the log of the mean of their exponentials is the importance weighted bound.

    References:
        Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2015), equation 8.
    """

    def one(noise: Array) -> ImportanceWeights:
        z = posterior.sample(noise)
        log_likelihood = likelihood(z)
        # log p(z) - log q(z|x): the normalizing constants with pi cancel.
        log_ratio = 0.5 * jnp.sum(jnp.broadcast_to(noise**2, z.shape) + posterior.log_variance - z**2, -1)
        return ImportanceWeights(log_likelihood, log_likelihood + log_ratio)

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
    """Return the likelihood regret: the gain in evidence lower bound by fitting each row's own posterior.

    Adam maximizes the bound of each row, starting at the encoder's posterior, with one latent vector per step.

    Args:
        key: of the draws during the fit.
        likelihood: maps one latent vector per row, `[n, k]`, to the rows' log-likelihoods `[n]`.
        posterior: the encoder's posteriors.
        noise: standard normal, `[draws, k]`, for the bound before and after the fit.
        steps: of Adam.
        learning_rate: initial rate of Adam, with a cosine decay to zero.

    Returns:
        Gain of the bound in nats, `[n]`; below 0 if the fit lowered the bound by chance.

    References:
        Xiao, Yan and Amit, Likelihood regret: an out-of-distribution detection score for variational auto-encoder
        (2020), section 4, with a free posterior instead of the encoder's weights.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    def cost(posterior: Posterior, noise: Array) -> Array:
        # The gradient of the sum over rows is, for each row, the gradient of its own bound.
        return jnp.sum(losses.gaussian_kl(*posterior) - likelihood(posterior.sample(noise)))

    def step(key: Array, state: tuple, *_: Array) -> tuple[tuple, None]:
        posterior, opt_state = state
        gradient = jax.grad(cost)(posterior, jax.random.normal(key, noise.shape[1:], noise.dtype))
        updates, opt_state = optimizer.update(gradient, opt_state, posterior)
        return (optax.apply_updates(posterior, updates), opt_state), None

    (fitted, _), _ = iterate(step, key, (posterior, optimizer.init(posterior)), length=steps)
    bound = lambda q: jnp.mean(importance_weights(likelihood, q, noise).likelihood, 0) - losses.gaussian_kl(*q)
    return bound(fitted) - bound(posterior)
