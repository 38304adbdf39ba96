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
    a = np.diag([1.5, 0.7])[:, :2] @ np.eye(2)  # so that the exact law is diagonal, as a posterior is
    x = generator.normal(size=(6, 2)) @ a.T + SCALE * generator.normal(size=(6, 2))
    variance = 1 / (1 + np.diag(a) ** 2 / SCALE**2)
    mean = x @ a / SCALE**2 * variance
    exact = stats.multivariate_normal(np.zeros(2), a @ a.T + SCALE**2 * np.eye(2)).logpdf(x)
    rows, matrix = jnp.float32(x), jnp.float32(a)
    likelihood = lambda z: jax.scipy.stats.norm.logpdf(rows, z @ matrix.T, SCALE).sum(-1)
    law = posterior.Posterior(jnp.float32(mean), jnp.broadcast_to(jnp.float32(np.log(variance)), (6, 2)))
    return likelihood, law, exact


def test_under_the_exact_law_every_weight_is_the_likelihood(linear):
    likelihood, law, exact = linear
    found = posterior.weighed(likelihood, law, jax.random.normal(KEY, (7, 2)))
    assert found.likelihood.shape == found.weight.shape == (7, 6)
    np.testing.assert_allclose(found.weight, np.tile(exact, (7, 1)), rtol=1e-4, atol=1e-4)


def test_under_another_law_the_bound_is_below_and_comes_closer(linear):
    likelihood, law, exact = linear
    wrong = posterior.Posterior(law.mean + 0.3, law.log_variance + 0.5)
    weight = np.float64(posterior.weighed(likelihood, wrong, jax.random.normal(KEY, (20_000, 2))).weight)
    assert (weight.mean(0) < exact - 0.1).all()
    np.testing.assert_allclose(np.log(np.exp(weight).mean(0)), exact, atol=0.05)


def test_regret_is_what_a_wrong_law_loses_and_nothing_where_it_is_right(linear):
    likelihood, law, _ = linear
    noise = jax.random.normal(KEY, (2_000, 2))
    wrong = posterior.Posterior(law.mean + jnp.arange(6.0)[:, None] * 0.2, law.log_variance)
    lost = 0.5 * np.sum(np.float64(wrong.mean - law.mean) ** 2 / np.exp(np.float64(law.log_variance)), -1)
    find = lambda law: np.asarray(posterior.regret(KEY, likelihood, law, noise, steps=600, learning_rate=0.02))
    np.testing.assert_allclose(find(wrong), lost, atol=0.05 + 0.05 * lost.max())
    assert np.abs(find(law)).max() < 0.05
    assert (np.diff(find(wrong)) > 0).all()
