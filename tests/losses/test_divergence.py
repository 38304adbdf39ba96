"""KL divergences between normal distributions against numerical integration and the paper's values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats

from jaxgen import losses


def normal_arrays(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape), generator.normal(size=shape)


def by_integral(mean, log_variance, prior_mean, prior_log_variance):
    distribution = stats.norm(mean, np.exp(log_variance / 2))
    prior = stats.norm(prior_mean, np.exp(prior_log_variance / 2))
    inside = lambda x: distribution.pdf(x) * (distribution.logpdf(x) - prior.logpdf(x))
    return integrate.quad(inside, mean - 30, mean + 30, points=[mean], limit=200)[0]


def test_it_is_the_integral():
    (mean, log_variance), (prior_mean, prior_log_variance) = normal_arrays(2, 3), normal_arrays(3, seed=1)
    kl = losses.gaussian_kl(
        *map(jnp.float32, (mean, log_variance)),
        prior_mean=jnp.float32(prior_mean),
        prior_log_variance=jnp.float32(prior_log_variance),
    )
    expected = [
        sum(by_integral(*each) for each in zip(m, v, prior_mean, prior_log_variance, strict=True))
        for m, v in zip(mean, log_variance, strict=True)
    ]
    np.testing.assert_allclose(kl, expected, rtol=1e-5)


def test_it_is_zero_at_the_prior_and_quadratic_near_it():
    assert losses.gaussian_kl(jnp.zeros(4), jnp.zeros(4)) == 0
    small = 1e-3
    near = losses.gaussian_kl(jnp.zeros(1), jnp.full(1, small))
    np.testing.assert_allclose(near, small**2 / 4, rtol=2e-3)


@pytest.mark.parametrize(("d", "shift"), [(10, 8.0), (100, 25.0)])
def test_the_divergence_between_the_priors_is_the_papers(d, shift):
    expected = {10: 320, 100: 31_250}[d]
    assert losses.negative_prior_kl(jnp.zeros((2, d)), jnp.zeros((2, d)), shift=shift).tolist() == [expected] * 2
    assert losses.negative_prior_kl(jnp.full(d, shift), jnp.zeros(d), shift=shift) == 0


def test_gradients_equal_finite_differences():
    kl = lambda *moments: losses.gaussian_kl(*map(jnp.asarray, moments))
    check_grads(jax.jit(kl), tuple(map(jnp.float32, normal_arrays(3, 2))), 2, rtol=2e-2)


def test_mismatched_shapes_raise():
    with pytest.raises(ValueError, match="must have the same shape"):
        losses.gaussian_kl(jnp.zeros((2, 3)), jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="must have the same shape"):
        jax.eval_shape(lambda m: losses.gaussian_kl(m, m, prior_mean=jnp.zeros(2)), jnp.zeros((2, 3)))
