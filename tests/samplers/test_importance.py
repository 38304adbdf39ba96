"""Weighted draws against their exact frequencies; each statistical test fails by chance less than once in 15,000."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import samplers

WEIGHTS = np.array([0.1, 0.4, 0.2, 0.3])


def test_effective_sample_size_closed_forms():
    assert samplers.effective_sample_size(jnp.zeros(50)) == pytest.approx(50, rel=1e-5)
    assert samplers.effective_sample_size(jnp.array([0.0, -1e9, -1e9])) == pytest.approx(1)
    found = samplers.effective_sample_size(jnp.log(jnp.float32(WEIGHTS)) + 7)
    assert found == pytest.approx(1 / np.sum(WEIGHTS**2), rel=1e-5)
    assert samplers.effective_sample_size(jnp.zeros((3, 5))).shape == (3,)


def test_rejection_keeps_in_proportion_to_weight():
    n = 40_000
    kept = samplers.reject(jax.random.key(0), jnp.log(jnp.tile(jnp.float32(WEIGHTS), n)) - 3).reshape(n, 4)
    probability = WEIGHTS / WEIGHTS.max()
    deviation = np.sqrt(probability * (1 - probability) / n)
    assert np.all(np.abs(kept.mean(0) - probability) <= 4 * deviation)
    assert kept[:, 1].all()  # the heaviest always stays


@pytest.mark.parametrize("wrong", [[jnp.nan, 0.0], [jnp.inf, 0.0], [-jnp.inf, -jnp.inf]])
def test_rejection_keeps_nothing_where_weights_are_none(wrong):
    assert not samplers.reject(jax.random.key(0), jnp.array(wrong)).any()


def test_resampling_draws_in_proportion_to_weight():
    n = 40_000
    drawn = samplers.resample(jax.random.key(1), jnp.log(jnp.float32(WEIGHTS)) + 100, n)
    shares = np.bincount(drawn, minlength=4) / n
    assert np.all(np.abs(shares - WEIGHTS) <= 4 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / n))


def test_resampling_never_draws_what_weighs_nothing():
    log_weights = jnp.array([-jnp.inf, 0.0, -jnp.inf, 0.0, -jnp.inf])
    drawn = samplers.resample(jax.random.key(2), log_weights, 10_000)
    assert set(np.unique(drawn)) == {1, 3}


def test_none_of_many_guesses_is_passed_over():
    """Ten million of equal weight: each with the one behind it, and each hundredth part, as often as chance has it."""
    n, count = 10_000_000, 400_000
    drawn = np.asarray(samplers.resample(jax.random.key(3), jnp.zeros(n), count))
    for of, parts in ((drawn % 8, 8), (drawn // (n // 100), 100)):
        shares = np.bincount(of, minlength=parts) / count
        assert np.all(np.abs(shares - 1 / parts) <= 5 * np.sqrt(1 / parts / count))
    # Draws with replacement hit n (1 - exp(-count / n)) different guesses; each that none can hit makes them fewer.
    different, expected = len(np.unique(drawn)), n * (1 - np.exp(-count / n))
    assert abs(different - expected) <= 5 * np.sqrt(count**2 / (2 * n))
