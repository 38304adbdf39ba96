"""Log-density of Gaussian mixtures against SciPy, and bad shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import stats

from jaxgen import losses


def random_mixture(d, m, *leading, seed=0):
    generator = np.random.default_rng(seed)
    factors = np.tril(generator.normal(size=(*leading, m, d, d)), -1)
    factors += np.exp(0.3 * generator.normal(size=(*leading, m, d)))[..., None] * np.eye(d)
    return generator.normal(size=(*leading, m)), generator.normal(size=(*leading, m, d)), factors


def by_hand(x, logits, means, factors):
    weights = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    covariances = [np.linalg.inv(factor.T @ factor) for factor in factors]
    parts = zip(weights, means, covariances, strict=True)
    return np.log(sum(w * stats.multivariate_normal(m, c).pdf(x) for w, m, c in parts))


@pytest.mark.parametrize(("d", "m"), [(1, 1), (1, 3), (2, 4), (4, 2)])
def test_one_mixture_for_all(d, m):
    mixture = random_mixture(d, m)
    x = np.random.default_rng(1).normal(size=(5, d))
    found = losses.mixture_log_density(jnp.float32(x), losses.GaussianMixture(*map(jnp.float32, mixture)))
    np.testing.assert_allclose(found, [by_hand(row, *mixture) for row in x], rtol=2e-4, atol=1e-4)


def test_a_mixture_for_each_row():
    mixture = random_mixture(2, 3, 5)
    x = np.random.default_rng(1).normal(size=(5, 2))
    found = losses.mixture_log_density(jnp.float32(x), losses.GaussianMixture(*map(jnp.float32, mixture)))
    expected = [by_hand(row, *(leaf[i] for leaf in mixture)) for i, row in enumerate(x)]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-4)


def test_gradient():
    with jax.enable_x64(True):
        mixture = losses.GaussianMixture(*map(jnp.asarray, random_mixture(2, 3)))
        x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)))
        loss = lambda *parts: jnp.mean(losses.mixture_log_density(x, losses.GaussianMixture(*map(jnp.asarray, parts))))
        check_grads(jax.jit(loss), tuple(mixture), 2)


def test_it_is_a_density():
    mixture = losses.GaussianMixture(*map(jnp.float32, random_mixture(1, 3)))
    grid = jnp.linspace(-30, 30, 20_001)[:, None]
    density = jnp.exp(losses.mixture_log_density(grid, mixture))
    np.testing.assert_allclose(jnp.sum(density) * (grid[1, 0] - grid[0, 0]), 1, rtol=1e-3)


def test_far_away_it_is_finite():
    mixture = losses.GaussianMixture(*map(jnp.float32, random_mixture(2, 3)))
    assert np.isfinite(losses.mixture_log_density(jnp.full((1, 2), 1e6), mixture)).all()


def test_mismatched_shapes_raise():
    mixture = losses.GaussianMixture(*map(jnp.float32, random_mixture(2, 3, 5)))
    with pytest.raises(ValueError, match="one mixture per point"):
        losses.mixture_log_density(jnp.zeros((4, 2)), mixture)
    with pytest.raises(ValueError, match=r"must have shapes \[\.\.\., m\]"):
        losses.mixture_log_density(jnp.zeros((5, 3)), mixture)
