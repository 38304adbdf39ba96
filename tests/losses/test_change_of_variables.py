"""Negative log-likelihood of normalizing flows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import losses


def test_it_is_the_density_of_a_linear_map():
    generator = np.random.default_rng(0)
    matrix, center, x = generator.normal(size=(3, 3)), generator.normal(size=3), generator.normal(size=(7, 3))
    z = (x - center) @ matrix.T  # so that x is normal about the center with covariance (M' M)^-1
    expected = -stats.multivariate_normal(center, np.linalg.inv(matrix.T @ matrix)).logpdf(x)
    log_det = np.full(7, np.linalg.slogdet(matrix)[1])
    nll = losses.flow_nll(jnp.asarray(z, jnp.float32), jnp.asarray(log_det, jnp.float32))
    np.testing.assert_allclose(nll, expected, rtol=1e-4)


def test_the_printed_equation_has_another_optimum():
    """Without the factor 1/2 of the squared norm, the best scale of normal samples would be 1 / sqrt(2)."""
    z = jnp.asarray(np.random.default_rng(0).normal(size=(100_000, 1)), jnp.float32)
    value = lambda log_scale: jnp.mean(losses.flow_nll(z * jnp.exp(log_scale), jnp.full(len(z), log_scale)))
    assert abs(jax.grad(value)(0.0)) < 0.02
    assert jax.grad(value)(0.1) > 0.1 > -0.1 > jax.grad(value)(-0.1)


def test_mismatched_shapes_raise():
    with pytest.raises(ValueError, match=r"\(3,\)"):
        losses.flow_nll(jnp.ones((2, 4)), jnp.ones(3))
