"""Rejection and resampling against exact frequencies; each statistical test fails by chance in 1 of 15,000 cases."""

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
    std = np.sqrt(probability * (1 - probability) / n)
    assert np.all(np.abs(kept.mean(0) - probability) <= 4 * std)
    assert kept[:, 1].all()  # the sample with the largest weight is always kept


@pytest.mark.parametrize("wrong", [[jnp.nan, 0.0], [jnp.inf, 0.0], [-jnp.inf, -jnp.inf]])
def test_rejection_keeps_nothing_for_invalid_weights(wrong):
    assert not samplers.reject(jax.random.key(0), jnp.array(wrong)).any()


def test_resampling_draws_in_proportion_to_weight():
    n = 40_000
    indices = samplers.resample(jax.random.key(1), jnp.log(jnp.float32(WEIGHTS)) + 100, n)
    shares = np.bincount(indices, minlength=4) / n
    assert np.all(np.abs(shares - WEIGHTS) <= 4 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / n))


def test_resampling_never_draws_zero_weights():
    log_weights = jnp.array([-jnp.inf, 0.0, -jnp.inf, 0.0, -jnp.inf])
    indices = samplers.resample(jax.random.key(2), log_weights, 10_000)
    assert set(np.unique(indices)) == {1, 3}


def test_none_of_many_samples_is_skipped():
    """Ten million equal weights: residues modulo 8 and hundredths of the range are equally frequent."""
    n, count = 10_000_000, 400_000
    indices = np.asarray(samplers.resample(jax.random.key(3), jnp.zeros(n), count))
    for groups, parts in ((indices % 8, 8), (indices // (n // 100), 100)):
        shares = np.bincount(groups, minlength=parts) / count
        assert np.all(np.abs(shares - 1 / parts) <= 5 * np.sqrt(1 / parts / count))
    # Draws with replacement hit n (1 - exp(-count / n)) distinct samples; skipped samples would reduce the number.
    distinct, expected = len(np.unique(indices)), n * (1 - np.exp(-count / n))
    assert abs(distinct - expected) <= 5 * np.sqrt(count**2 / (2 * n))


@pytest.mark.parametrize("offset", [-1e8, -1e4, 0.0, 1e4, 1e8])
def test_a_common_constant_does_not_matter(offset):
    log_weights = np.float32([0, -8, -16, -8, 0, -24]) + np.float32(offset)  # exact at 1e8, where floats are 8 apart
    weights = np.exp(log_weights.astype(float) - offset)
    ess = samplers.effective_sample_size(jnp.asarray(log_weights))
    np.testing.assert_allclose(ess, weights.sum() ** 2 / np.sum(weights**2), rtol=1e-5)
    assert samplers.effective_sample_size(jnp.full(100, -1e7)) == 100
    key = jax.random.key(4)
    for draw in (samplers.reject, lambda key, w: samplers.resample(key, w, 50)):
        np.testing.assert_array_equal(draw(key, jnp.asarray(log_weights)), draw(key, jnp.asarray(log_weights - offset)))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_weights_of_half_precision_are_resampled_in_proportion(dtype):
    n = 40_000
    log_weights = jnp.log(jnp.asarray(WEIGHTS, dtype))
    probability = np.asarray(jax.nn.softmax(log_weights.astype(jnp.float32)))
    shares = np.bincount(samplers.resample(jax.random.key(1), log_weights, n), minlength=4) / n
    assert np.all(np.abs(shares - probability) <= 4 * np.sqrt(probability * (1 - probability) / n))
    assert samplers.effective_sample_size(jnp.zeros(300, dtype)) == 300  # 300^2 exceeds float16


@pytest.mark.parametrize("shape", [(), (2, 3), (0,)])
def test_weights_must_be_a_vector(shape, unchecked):
    with pytest.raises(ValueError, match=r"`log_weights` must be \[n\]"):
        samplers.resample(jax.random.key(0), jnp.zeros(shape), 5)
    with pytest.raises(ValueError, match=r"`log_weights` must be \[n\]"):
        samplers.reject(jax.random.key(0), jnp.zeros(shape))
