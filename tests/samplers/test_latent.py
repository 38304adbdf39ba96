"""Log-densities over a generator's noise against closed forms for a linear generator."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers
from jaxgen.scan import iterate

MATRIX = np.array([[2.0, 0.5], [-1.0, 0.25], [0.3, 1.0]])
SHIFT = np.array([1.0, -0.5, 0.2])


def energy(x):
    return 0.5 * jnp.sum((x - jnp.asarray(SHIFT, x.dtype)) ** 2)


def generate(z):
    return jnp.asarray(MATRIX, z.dtype) @ z


def test_values_and_scores_by_hand():
    bare = samplers.latent_log_density(energy, generate)
    tilted = samplers.tilted_log_density(energy, generate)
    both = jax.jit(lambda z: (jax.value_and_grad(bare)(z), jax.value_and_grad(tilted)(z)))
    for z in np.random.default_rng(0).normal(size=(5, 2)):
        residual = MATRIX @ z - SHIFT
        (value, score), (with_prior, score_with_prior) = both(jnp.asarray(z, jnp.float32))
        np.testing.assert_allclose(value, -0.5 * residual @ residual, rtol=1e-5)
        np.testing.assert_allclose(with_prior, -0.5 * residual @ residual - 0.5 * z @ z, rtol=1e-5)
        np.testing.assert_allclose(score, -MATRIX.T @ residual, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score_with_prior, -MATRIX.T @ residual - z, rtol=1e-4, atol=1e-5)


def test_the_distribution_of_the_chain_with_and_without_the_prior():
    """Gaussian, with precision A'A and A'A + I; four standard errors over 4,096 chains, 10 comparisons."""
    n = 4096
    for make, prior in ((samplers.latent_log_density, 0.0), (samplers.tilted_log_density, 1.0)):
        precision = MATRIX.T @ MATRIX + prior * np.eye(2)
        covariance, mean = np.linalg.inv(precision), np.linalg.solve(precision, MATRIX.T @ SHIFT)
        chains = samplers.Chains(samplers.MALA(make(energy, generate), 0.1))
        run = jax.jit(lambda x, c=chains: iterate(c.step, jax.random.key(1), c.init(x), length=150)[0].position)
        last = np.asarray(run(jax.random.normal(jax.random.key(0), (n, 2))), np.float64)
        assert (np.abs(last.mean(0) - mean) < 4 * np.sqrt(np.diag(covariance) / n)).all()
        std = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / n)
        assert (np.abs(np.cov(last.T) - covariance) < 4 * std).all()
