"""Chains on a generator's noise: their distribution where it is known, and their acceptance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import methods, samplers


def test_from_stationarity_to_stationarity():
    """With a linear energy the tilted distribution is a shifted normal; 2,000 chains that start there stay there."""
    slope = jnp.array([1.0, -0.5])
    chain = methods.LatentMCMC(10, 0.3, density=samplers.tilted_log_density)
    start = jax.random.normal(jax.random.key(0), (2000, 2)) - slope[None]
    walk = jax.jit(lambda key, z: chain(key, lambda x: jnp.sum(slope * x), lambda z: z, z))
    end, acceptance = walk(jax.random.key(1), start)
    assert acceptance.shape == (2000,)
    assert 0.5 < acceptance.mean() < 0.99
    assert np.abs(end - start).mean() > 0.5
    np.testing.assert_allclose(end.mean(0), -slope, atol=4 / np.sqrt(2000))
    np.testing.assert_allclose(end.std(0), 1, atol=4 / np.sqrt(4000))


def test_the_published_density_is_the_default_and_beta_flattens_it():
    """A quadratic energy alone is a normal distribution of variance 1 / beta."""
    start = jax.random.normal(jax.random.key(0), (2000, 1)) / np.sqrt(0.2)
    chain = methods.LatentMCMC(10, 1.0, beta=0.2)
    walk = jax.jit(lambda key, z: chain(key, lambda x: 0.5 * jnp.sum(x**2), lambda z: z, z))
    end, _ = walk(jax.random.key(1), start)
    np.testing.assert_allclose(end.var(), 5, atol=4 * 5 * np.sqrt(2 / 2000))


def test_a_chain_without_steps_is_refused():
    with pytest.raises(ValueError, match=r"`steps` must be at least 1 .got 0"):
        methods.LatentMCMC(0)


def test_each_row_walks_by_itself():
    chain = methods.LatentMCMC(3, 0.3)
    z = jax.random.normal(jax.random.key(0), (5, 2))
    walk = lambda z: chain(jax.random.key(1), lambda x: jnp.sum(x**2), lambda z: 2 * z, z)[0]
    np.testing.assert_allclose(walk(z)[:2], walk(z.at[2:].set(0.0))[:2], rtol=1e-6)
