"""Densities over a generator's noise against closed forms of a linear generator."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers

MATRIX = np.array([[2.0, 0.5], [-1.0, 0.25], [0.3, 1.0]])
SHIFT = np.array([1.0, -0.5, 0.2])


def energy(x):
    return 0.5 * jnp.sum((x - jnp.asarray(SHIFT, x.dtype)) ** 2)


def generate(z):
    return jnp.asarray(MATRIX, z.dtype) @ z


def test_values_and_scores_by_hand():
    for z in np.random.default_rng(0).normal(size=(5, 2)):
        residual = MATRIX @ z - SHIFT
        bare = samplers.latent_log_density(energy, generate)
        tilted = samplers.tilted_log_density(energy, generate)
        np.testing.assert_allclose(bare(jnp.asarray(z)), -0.5 * residual @ residual, rtol=1e-5)
        np.testing.assert_allclose(tilted(jnp.asarray(z)), -0.5 * residual @ residual - 0.5 * z @ z, rtol=1e-5)
        np.testing.assert_allclose(jax.grad(bare)(jnp.asarray(z)), -MATRIX.T @ residual, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(jax.grad(tilted)(jnp.asarray(z)), -MATRIX.T @ residual - z, rtol=1e-4, atol=1e-5)


def test_the_chain_s_law_with_and_without_the_prior():
    """Gaussian, with precision A'A and A'A + I; four standard errors over 4,096 chains, 10 comparisons."""
    n = 4096
    for make, prior in ((samplers.latent_log_density, 0.0), (samplers.tilted_log_density, 1.0)):
        precision = MATRIX.T @ MATRIX + prior * np.eye(2)
        covariance, mean = np.linalg.inv(precision), np.linalg.solve(precision, MATRIX.T @ SHIFT)
        chains = samplers.Chains(samplers.MALA(make(energy, generate), 0.1))
        start = chains.init(jax.random.normal(jax.random.key(0), (n, 2)))
        _, x, _ = jax.jit(lambda key, start, c=chains: c.draw(key, start, 150))(jax.random.key(1), start)
        last = np.asarray(x[:, -1], np.float64)
        assert (np.abs(last.mean(0) - mean) < 4 * np.sqrt(np.diag(covariance) / n)).all()
        deviation = np.sqrt((covariance**2 + np.outer(np.diag(covariance), np.diag(covariance))) / n)
        assert (np.abs(np.cov(last.T) - covariance) < 4 * deviation).all()
