"""Log-likelihoods against SciPy's; the probabilities of all discretized levels add up to 1."""

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


BERNOULLI, GAUSSIAN, DISCRETIZED = map(jax.jit, FUNCTIONS)


def random_pixels(seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(256, size=SHAPE) / 255, generator.normal(size=SHAPE)


def sum_per_sample(terms):
    return terms.reshape(len(terms), -1).sum(-1)


def test_bernoulli():
    x, logits = random_pixels()
    p = special.expit(logits)
    truth = sum_per_sample(x * np.log(p) + (1 - x) * np.log1p(-p))
    np.testing.assert_allclose(BERNOULLI(np.float32(x), np.float32(logits)), truth, rtol=1e-5)
    confident = BERNOULLI(np.float32([[1, 1]]), np.float32([[-300, -300]]))
    assert confident.tolist() == [-600]  # no clamp: confident errors keep their full cost


@pytest.mark.parametrize("log_scale", [0.0, -2.0])
def test_gaussian(log_scale):
    x, mean = random_pixels()
    found = GAUSSIAN(np.float32(x), np.float32(mean), log_scale=log_scale)
    np.testing.assert_allclose(found, sum_per_sample(stats.norm(mean, math.exp(log_scale)).logpdf(x)), rtol=1e-5)


def test_the_constant_of_a_unit_gaussian_is_the_papers():
    constant = -np.asarray(GAUSSIAN(*np.zeros((2, 1, 784), np.float32)))[0]
    np.testing.assert_allclose(constant / 784, 0.91893, rtol=1e-5)


@pytest.mark.parametrize("log_scale", [1.0, 0.0, -1.0, -2.5, -3.5, -5.0])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, 1.5])
def test_levels_have_the_mass_of_what_is_rounded_to_them(log_scale, mean):
    levels = np.arange(256)
    normal = stats.norm(mean, math.exp(log_scale))
    upper = np.r_[(levels[:-1] + 0.5) / 255, np.inf]
    lower = np.r_[-np.inf, upper[:-1]]
    side = lower > mean  # where the upper tail is the smaller one
    truth = np.where(side, normal.sf(lower) - normal.sf(upper), normal.cdf(upper) - normal.cdf(lower))
    x = np.float32(levels[:, None] / 255)
    found = np.float64(DISCRETIZED(x, np.full((256, 1), mean, np.float32), log_scale=log_scale))
    np.testing.assert_allclose(np.exp(found).sum(), 1, rtol=2e-5)
    positive = truth > 1e-30
    distance = np.abs(levels / 255 - mean) / math.exp(log_scale)  # in standard deviations
    bound = 2e-5 + 2e-6 * distance**2
    assert np.all(np.abs(found - np.log(truth, where=positive, out=np.zeros(256)))[positive] < bound[positive])
    assert np.isfinite(found).all()


def test_a_narrow_discretized_gaussian_has_all_its_mass_on_one_level():
    x = np.float32(np.arange(256)[:, None] / 255)
    np.testing.assert_allclose(DISCRETIZED(x, x, log_scale=-9.0), 0, atol=1e-6)
    two_levels = jax.jit(losses.discretized_gaussian_log_likelihood, static_argnames="levels")
    two = two_levels(np.float32([[0], [1]]), np.float32([[0.5], [0.5]]), levels=2)
    np.testing.assert_allclose(two, math.log(0.5), rtol=1e-6)


@pytest.mark.parametrize("log_likelihood", FUNCTIONS)
def test_gradients_equal_finite_differences_and_are_finite_far_away(log_likelihood):
    x, parameters = map(jnp.float32, random_pixels(1))
    check_grads(jax.jit(lambda p: log_likelihood(x, p)), (parameters,), 1, modes=["rev"], rtol=2e-2)
    far = jax.jit(jax.grad(lambda p: log_likelihood(x, p).sum()))(np.full(SHAPE, 1e3, np.float32))
    assert np.isfinite(far).all()


@pytest.mark.parametrize("log_likelihood", FUNCTIONS[1:])
def test_a_scale_can_be_learned(log_likelihood):
    x, mean = map(jnp.float32, random_pixels(2))
    mean = jnp.asarray(np.asarray(x) + 0.1 * np.asarray(mean))
    value = lambda log_scale: -log_likelihood(x, mean, log_scale=log_scale).sum()
    slope, at = jax.jit(jax.grad(value)), np.float32(0)
    for _ in range(200):
        at = at - np.float32(0.01) * np.clip(slope(at), -10, 10)
    truth = 0.5 * math.log(np.mean((np.asarray(x) - np.asarray(mean)) ** 2))
    assert abs(float(at) - truth) < 0.15  # the end levels of a discretized Gaussian hold whole tails


def test_bits():
    assert losses.bits_per_dimension(jnp.float32(3 * math.log(2)), 3) == pytest.approx(1)


@pytest.mark.parametrize("log_likelihood", FUNCTIONS)
def test_bad_input_raises(unchecked, log_likelihood):
    with pytest.raises(ValueError, match="of the same shape"):
        log_likelihood(jnp.zeros((2, 3)), jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="must be at least 2"):
        losses.discretized_gaussian_log_likelihood(jnp.zeros((2, 3)), jnp.zeros((2, 3)), levels=1)
    with pytest.raises(TypeError, match=r"got uint8\); convert bytes with data.to_float"):
        log_likelihood(jnp.ones((2, 3), jnp.uint8), jnp.zeros((2, 3)))  # 1 - x of unsigned integers would wrap around
