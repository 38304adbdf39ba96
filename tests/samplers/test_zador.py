"""Zador weights on exact samples, and density estimates against closed forms; statistical bounds are four sigma."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import metrics, samplers


def test_the_exponent_lies_between_uniform_and_the_data():
    expected = {(1, 0.5): 2 / 3, (1, 1): 1 / 2, (1, 2): 1 / 3, (2, 0.5): 4 / 5, (2, 1): 2 / 3, (2, 2): 1 / 2}
    for (dimensions, power), value in expected.items():
        assert samplers.zador_exponent(dimensions, power) == pytest.approx(value)
    assert samplers.zador_exponent(1e9, 2) == pytest.approx(1)


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_weights_turn_exact_samples_back_into_the_data(dimensions, power):
    """p is standard normal and q = p^e, normalized, is normal with variance 1 / e."""
    n, grid = 100_000, metrics.Grid(15, -3.0, 3.0)
    e = dimensions / (dimensions + power)
    x = np.random.default_rng(0).standard_normal((n, dimensions)) / np.sqrt(e)
    log_weights = samplers.zador_log_weights(jnp.asarray(-0.5 * e * (x**2).sum(1)), dimensions=dimensions, power=power)
    edges = np.linspace(-3, 3, 16)
    edges[[0, -1]] = -np.inf, np.inf
    one = np.diff(stats.norm.cdf(edges))
    truth = one if dimensions == 1 else np.outer(one, one).ravel()
    weighted = metrics.kl_divergence(truth, grid(x, np.exp(np.asarray(log_weights))))
    # n times the divergence of a multinomial sample is half a chi-squared with cells - 1 degrees of freedom.
    freedom, size = len(truth) - 1, float(samplers.effective_sample_size(log_weights))
    assert weighted < (freedom + 4 * math.sqrt(2 * freedom)) / (2 * size)
    assert weighted < 0.1 * metrics.kl_divergence(truth, grid(x))


def test_nearest_density_equals_its_formula():
    generator = np.random.default_rng(0)
    x, pools = generator.normal(size=(5, 3)), generator.normal(size=(4, 7, 3))
    distances = np.empty((5, 4))
    for i in range(5):
        for j in range(4):
            distances[i, j] = min(math.dist(x[i], y) for y in pools[j])
    expected = [math.log(3 / 7 / sum(4 / 3 * math.pi * r**3 for r in row)) for row in distances]
    found = samplers.nearest_log_density(jnp.asarray(distances), pool_size=7, dimensions=3)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("dimensions", [1, 2])
def test_nearest_density_is_unbiased_for_a_uniform_density(dimensions):
    """Uniform on the cube of side 4 around the origin, evaluated at the origin: density 4^-d."""
    trials, pools, guesses = 4000, 20, 200
    points = np.random.default_rng(0).uniform(-2, 2, (trials, pools, guesses, dimensions))
    distances = np.sqrt((points**2).sum(-1)).min(-1)
    found = samplers.nearest_log_density(jnp.asarray(distances), pool_size=guesses, dimensions=dimensions)
    density = np.exp(np.asarray(found, float)) * 4**dimensions
    # The mass within the nearest of n samples is beta distributed, not exponential: a relative bias of 1 / n.
    assert abs(density.mean() - 1) < 4 * math.sqrt(1 / (pools - 2) / trials) + 2 / guesses
    assert density.var() == pytest.approx(1 / (pools - 2), rel=0.25)


def test_change_of_variables_against_analytic_maps():
    z = np.random.default_rng(0).normal(size=(50, 2))
    matrix, shift = np.array([[2.0, 0.5], [-1.0, 0.25]]), np.array([3.0, -1.0])
    affine = samplers.pushforward_log_density(lambda z: jnp.asarray(matrix) @ z + jnp.asarray(shift), jnp.asarray(z))
    expected = stats.multivariate_normal(shift, matrix @ matrix.T).logpdf(z @ matrix.T + shift)
    np.testing.assert_allclose(affine, expected, rtol=1e-5, atol=1e-5)
    raised = samplers.pushforward_log_density(jnp.exp, jnp.asarray(z[:, :1]))
    np.testing.assert_allclose(raised, stats.lognorm(1).logpdf(np.exp(z[:, 0])), rtol=1e-4, atol=1e-5)


def test_change_of_variables_counts_one_preimage_only():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(50, 1)))
    folded = samplers.pushforward_log_density(jnp.abs, z)
    truth = stats.halfnorm.logpdf(np.abs(np.asarray(z[:, 0])))
    np.testing.assert_allclose(folded, truth - math.log(2), rtol=1e-5, atol=1e-5)


def test_bad_arguments_raise():
    with pytest.raises(ValueError, match="`dimensions` and `power` must be positive"):
        samplers.zador_exponent(0, 2.0)
    with pytest.raises(ValueError, match="`dimensions` and `power` must be positive"):
        samplers.zador_log_weights(jnp.zeros(3), dimensions=1, power=-1.0)
    for pools, guesses, dimensions in ((1, 8, 1), (4, 0, 1), (4, 8, 0)):
        with pytest.raises(ValueError, match="at least two pools"):
            samplers.nearest_log_density(jnp.ones((5, pools)), pool_size=guesses, dimensions=dimensions)
    with pytest.raises(ValueError, match=r"noise of 2 dimensions for samples of shape \(1,\)"):
        samplers.pushforward_log_density(lambda z: z[:1], jnp.zeros((4, 2)))


def test_both_densities_agree_on_a_normal():
    key_x, key_pools = jax.random.split(jax.random.key(0))
    x, pools = jax.random.normal(key_x, (200, 1)), jax.random.normal(key_pools, (64, 1, 128))
    distances = jnp.min(jnp.abs(x[None] - pools), -1).T
    near = samplers.nearest_log_density(distances, pool_size=128, dimensions=1)
    exact = samplers.pushforward_log_density(lambda z: z, x)
    inside = np.abs(np.asarray(x[:, 0])) < 1.5
    difference = np.asarray(near - exact)[inside]
    assert abs(difference.mean()) < 0.08
    assert difference.std() < 0.25
