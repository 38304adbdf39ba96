"""Log-likelihoods against SciPy's, and the laws of a discretised one: its levels' probabilities add up to 1."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import special, stats

from jaxgen import losses

SHAPE = (3, 4, 4, 1)
FUNCTIONS = [
    losses.bernoulli_log_likelihood,
    losses.gaussian_log_likelihood,
    losses.discretized_gaussian_log_likelihood,
]


def drawn(seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(256, size=SHAPE) / 255, generator.normal(size=SHAPE)


def summed(terms):
    return terms.reshape(len(terms), -1).sum(-1)


def test_bernoulli():
    x, logits = drawn()
    p = special.expit(logits)
    wanted = summed(x * np.log(p) + (1 - x) * np.log1p(-p))
    np.testing.assert_allclose(losses.bernoulli_log_likelihood(jnp.float32(x), jnp.float32(logits)), wanted, rtol=1e-5)
    sure = losses.bernoulli_log_likelihood(jnp.ones((1, 2)), jnp.full((1, 2), -300.0))
    assert sure.tolist() == [-600]  # no clamp: what was held impossible costs what it should


@pytest.mark.parametrize("log_scale", [0.0, -2.0])
def test_gaussian(log_scale):
    x, mean = drawn()
    found = losses.gaussian_log_likelihood(jnp.float32(x), jnp.float32(mean), log_scale=log_scale)
    np.testing.assert_allclose(found, summed(stats.norm(mean, math.exp(log_scale)).logpdf(x)), rtol=1e-5)


def test_a_unit_gaussian_s_constant_is_the_papers():
    constant = -losses.gaussian_log_likelihood(jnp.zeros((1, 784)), jnp.zeros((1, 784)))[0]
    np.testing.assert_allclose(constant / 784, 0.91893, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [1.0, 0.0, -1.0, -2.5, -3.5, -5.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, 1.5])
def test_levels_have_the_mass_of_what_is_rounded_to_them(log_scale, mean):
    levels = np.arange(256)
    law = stats.norm(mean, math.exp(log_scale))
    upper = np.r_[(levels[:-1] + 0.5) / 255, np.inf]
    lower = np.r_[-np.inf, upper[:-1]]
    side = lower > mean  # where the tail above is the small one
    wanted = np.where(side, law.sf(lower) - law.sf(upper), law.cdf(upper) - law.cdf(lower))
    x = jnp.float32(levels[:, None] / 255)
    found = np.float64(
        losses.discretized_gaussian_log_likelihood(x, jnp.full((256, 1), mean, jnp.float32), log_scale=log_scale)
    )
    np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=2e-5)
    seen = wanted > 1e-30
    away = np.abs(levels / 255 - mean) / math.exp(log_scale)  # a rounded x, so many deviations away
    bound = 2e-5 + 2e-6 * away**2
    assert np.all(np.abs(found - np.log(wanted, where=seen, out=np.zeros(256)))[seen] < bound[seen])
    assert np.isfinite(found).all()


def test_a_narrow_discretised_law_knows_its_level():
    x = jnp.float32(np.arange(256)[:, None] / 255)
    np.testing.assert_allclose(losses.discretized_gaussian_log_likelihood(x, x, log_scale=-9.0), 0, atol=1e-6)
    two = losses.discretized_gaussian_log_likelihood(jnp.array([[0.0], [1.0]]), jnp.full((2, 1), 0.5), levels=2)
    np.testing.assert_allclose(two, math.log(0.5), rtol=1e-6)


@pytest.mark.parametrize("log_likelihood", FUNCTIONS)
def test_gradients_are_those_of_differences_and_finite_far_away(log_likelihood):
    x, made = map(jnp.float32, drawn(1))
    check_grads(lambda made: log_likelihood(x, jnp.asarray(made)), (made,), 1, modes=["rev"], rtol=2e-2)
    far = jax.grad(lambda made: log_likelihood(x, made).sum())(jnp.full(SHAPE, 1e3))
    assert np.isfinite(far).all()


@pytest.mark.parametrize("log_likelihood", FUNCTIONS[1:])
def test_a_scale_can_be_learned(log_likelihood):
    x, mean = map(jnp.float32, drawn(2))
    mean = x + 0.1 * mean
    value = lambda log_scale: -log_likelihood(x, mean, log_scale=log_scale).sum()
    slope, at = jax.jit(jax.grad(value)), jnp.zeros(())
    for _ in range(200):
        at = at - 0.01 * jnp.clip(slope(at), -10, 10)
    truth = 0.5 * math.log(float(jnp.mean((x - mean) ** 2)))
    assert abs(float(at) - truth) < 0.15  # ends are rounded together in a discretised law


def test_bits():
    assert losses.bits_per_dimension(jnp.float32(3 * math.log(2)), 3) == pytest.approx(1)


@pytest.mark.parametrize("log_likelihood", FUNCTIONS)
def test_bad_input_is_told(unchecked, log_likelihood):
    with pytest.raises(ValueError, match="give one shape"):
        log_likelihood(jnp.zeros((2, 3)), jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="make it 2 at least"):
        losses.discretized_gaussian_log_likelihood(jnp.zeros((2, 3)), jnp.zeros((2, 3)), levels=1)
    with pytest.raises(TypeError, match=r"got uint8\); convert bytes with data.to_float"):
        log_likelihood(jnp.ones((2, 3), jnp.uint8), jnp.zeros((2, 3)))  # whose 1 - x would wrap around
