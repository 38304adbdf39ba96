"""Noise models: what they make of a decoder's output, and the rows they see."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import losses, methods

MODELS = [methods.Bernoulli(), methods.Gaussian(), methods.DequantizedGaussian(), methods.DiscretizedGaussian()]


@pytest.mark.parametrize("noise", MODELS, ids=lambda noise: type(noise).__name__)
def test_rows_are_likeliest_under_their_own_mean(noise):
    x = jax.random.randint(jax.random.key(0), (4, 6), 20, 230) / 255
    made = jnp.log(x) - jnp.log1p(-x)
    np.testing.assert_allclose(noise.mean(made), x, rtol=1e-5)
    slope = jax.grad(lambda made: noise.log_likelihood(noise.init(), x, made).sum())(made)
    np.testing.assert_allclose(slope, 0, atol=1e-5)
    assert (noise.log_likelihood(noise.init(), x, made) > noise.log_likelihood(noise.init(), x, made + 1)).all()


def test_what_is_observed():
    key, x = jax.random.key(0), jnp.zeros((1_000, 4))
    for noise in (MODELS[0], MODELS[1], MODELS[3]):
        assert noise.preprocess(key, x) is x
    added = methods.DequantizedGaussian().preprocess(key, x) * 255
    assert 0 <= added.min() < 0.01
    assert 0.99 < added.max() < 1
    assert abs(added.mean() - 0.5) < 4 * 12**-0.5 / 4_000**0.5


def test_an_unbounded_gaussian_has_the_output_as_its_mean():
    x, output = jnp.array([[-3.0, 40.0]]), jnp.array([[-3.5, 38.0]])
    model = methods.UnboundedGaussian(0.5)
    np.testing.assert_array_equal(model.mean(output), output)
    expected = stats.norm(np.asarray(output), np.exp(0.5)).logpdf(np.asarray(x)).sum(1)
    np.testing.assert_allclose(model.log_likelihood(model.init(), x, output), expected, rtol=1e-6)
    gradient = jax.grad(lambda params: model.log_likelihood(params, x, output).sum())(model.init())["log_scale"]
    np.testing.assert_allclose(gradient, np.sum((np.array([0.5, 2.0]) / np.exp(0.5)) ** 2 - 1), rtol=1e-5)


def test_a_scale_is_learned_or_fixed():
    x, made = jnp.full((2, 3), 0.5), jnp.zeros((2, 3))
    wanted = losses.gaussian_log_likelihood(x, x, log_scale=-2.0)
    fixed, learned = methods.Gaussian(-2.0), methods.Gaussian(-2.0, learn_scale=True)
    assert fixed.init() == {}
    for noise in (fixed, learned):
        np.testing.assert_array_equal(noise.log_likelihood(noise.init(), x, made), wanted)
    assert jax.grad(lambda p: learned.log_likelihood(p, x, made).sum())(learned.init())["log_scale"] == -6
