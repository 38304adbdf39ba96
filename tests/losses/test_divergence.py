"""Divergences of normal laws against an integral, and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import integrate, stats

from jaxgen import losses


def drawn(*shape, seed=0):
    generator = np.random.default_rng(seed)
    return generator.normal(size=shape), generator.normal(size=shape)


def by_integral(mean, log_variance, prior_mean, prior_log_variance):
    law, prior = stats.norm(mean, np.exp(log_variance / 2)), stats.norm(prior_mean, np.exp(prior_log_variance / 2))
    inside = lambda x: law.pdf(x) * (law.logpdf(x) - prior.logpdf(x))
    return integrate.quad(inside, mean - 30, mean + 30, points=[mean], limit=200)[0]


def test_it_is_the_integral():
    (mean, log_variance), (prior_mean, prior_log_variance) = drawn(2, 3), drawn(3, seed=1)
    found = losses.gaussian_kl(
        *map(jnp.float32, (mean, log_variance)),
        prior_mean=jnp.float32(prior_mean),
        prior_log_variance=jnp.float32(prior_log_variance),
    )
    wanted = [
        sum(by_integral(*each) for each in zip(m, v, prior_mean, prior_log_variance, strict=True))
        for m, v in zip(mean, log_variance, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_of_the_prior_it_is_nothing_and_close_to_it_a_square():
    assert losses.gaussian_kl(jnp.zeros(4), jnp.zeros(4)) == 0
    small = 1e-3
    near = losses.gaussian_kl(jnp.zeros(1), jnp.full(1, small))
    np.testing.assert_allclose(near, small**2 / 4, rtol=2e-3)


@pytest.mark.parametrize(("d", "shift"), [(10, 8.0), (100, 25.0)])
def test_the_two_priors_are_as_far_apart_as_the_paper_has_them(d, shift):
    apart = {10: 320, 100: 31_250}[d]
    assert losses.negative_prior_kl(jnp.zeros((2, d)), jnp.zeros((2, d)), shift=shift).tolist() == [apart] * 2
    assert losses.negative_prior_kl(jnp.full(d, shift), jnp.zeros(d), shift=shift) == 0


def test_gradients_are_those_of_differences():
    kl = lambda *laws: losses.gaussian_kl(*map(jnp.asarray, laws))
    check_grads(jax.jit(kl), tuple(map(jnp.float32, drawn(3, 2))), 2, rtol=2e-2)


def test_bad_shapes_are_told():
    with pytest.raises(ValueError, match="give the first two one shape"):
        losses.gaussian_kl(jnp.zeros((2, 3)), jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="give the first two one shape"):
        jax.eval_shape(lambda m: losses.gaussian_kl(m, m, prior_mean=jnp.zeros(2)), jnp.zeros((2, 3)))
