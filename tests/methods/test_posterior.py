"""Latent laws where everything is known: rows that are a linear map of normal vectors with normal noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.methods import posterior

SCALE = 0.5
KEY = jax.random.key(0)


@pytest.fixture
def linear():
    """Rows `x = A z + noise`, the exact laws of `z` given `x`, and the exact log-likelihoods."""
    generator = np.random.default_rng(0)
    a = np.diag([1.5, 0.7])[:, :2] @ np.eye(2)  # so that the exact distribution is diagonal, as a posterior is
    x = generator.normal(size=(6, 2)) @ a.T + SCALE * generator.normal(size=(6, 2))
    variance = 1 / (1 + np.diag(a) ** 2 / SCALE**2)
    mean = x @ a / SCALE**2 * variance
    exact = stats.multivariate_normal(np.zeros(2), a @ a.T + SCALE**2 * np.eye(2)).logpdf(x)
    rows, matrix = jnp.float32(x), jnp.float32(a)
    likelihood = lambda z: jax.scipy.stats.norm.logpdf(rows, z @ matrix.T, SCALE).sum(-1)
    q = posterior.Posterior(jnp.float32(mean), jnp.broadcast_to(jnp.float32(np.log(variance)), (6, 2)))
    return likelihood, q, exact


def test_exact_posteriors_have_weights_equal_to_the_likelihood(linear):
    likelihood, q, exact = linear
    found = posterior.importance_weights(likelihood, q, jax.random.normal(KEY, (7, 2)))
    assert found.likelihood.shape == found.weight.shape == (7, 6)
    np.testing.assert_allclose(found.weight, np.tile(exact, (7, 1)), rtol=1e-4, atol=1e-4)


def test_other_posteriors_have_a_lower_bound_that_importance_weights_tighten(linear):
    likelihood, q, exact = linear
    wrong = posterior.Posterior(q.mean + 0.3, q.log_variance + 0.5)
    weight = np.float64(posterior.importance_weights(likelihood, wrong, jax.random.normal(KEY, (20_000, 2))).weight)
    assert (weight.mean(0) < exact - 0.1).all()
    np.testing.assert_allclose(np.log(np.exp(weight).mean(0)), exact, atol=0.05)


def test_regret_is_the_divergence_of_a_wrong_posterior_and_zero_for_the_exact_one(linear):
    likelihood, q, _ = linear
    noise = jax.random.normal(KEY, (2_000, 2))
    wrong = posterior.Posterior(q.mean + jnp.arange(6.0)[:, None] * 0.2, q.log_variance)
    lost = 0.5 * np.sum(np.float64(wrong.mean - q.mean) ** 2 / np.exp(np.float64(q.log_variance)), -1)
    find = lambda q: np.asarray(posterior.regret(KEY, likelihood, q, noise, steps=600, learning_rate=0.02))
    np.testing.assert_allclose(find(wrong), lost, atol=0.05 + 0.05 * lost.max())
    assert np.abs(find(q)).max() < 0.05
    assert (np.diff(find(wrong)) > 0).all()
