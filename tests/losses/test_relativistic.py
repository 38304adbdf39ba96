"""Relativistic average loss against a loop in NumPy, and its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen import losses


def by_hand(real, fake):
    logistic = lambda t: 1 / (1 + np.exp(-t))
    real_terms = [np.log(logistic(r - np.mean(fake))) for r in real]
    fake_terms = [np.log(1 - logistic(f - np.mean(real))) for f in fake]
    return -np.mean(real_terms) - np.mean(fake_terms)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (3, 7)])
def test_equal_to_a_loop(n, m):
    generator = np.random.default_rng(n)
    real, fake = 3 * generator.normal(size=n), 3 * generator.normal(size=m)
    np.testing.assert_allclose(losses.relativistic_average(*map(jnp.float32, (real, fake))), by_hand(real, fake), 1e-5)


def test_limits():
    zeros = jnp.zeros(4)
    np.testing.assert_allclose(losses.relativistic_average(zeros, zeros), 2 * np.log(2), rtol=1e-6)
    assert losses.relativistic_average(zeros + 200, zeros - 200) == 0
    value, slope = jax.value_and_grad(losses.relativistic_average)(zeros - 200, zeros + 200)
    np.testing.assert_allclose(value, 800)  # log(1 - s(t)) would be infinite
    assert np.isfinite(slope).all()


def test_a_common_offset_changes_nothing():
    real, fake = jnp.array([0.3, -1.0]), jnp.array([2.0, 0.5])
    np.testing.assert_allclose(
        losses.relativistic_average(real + 5, fake + 5), losses.relativistic_average(real, fake), rtol=1e-6
    )


def test_gradient():
    with jax.enable_x64(True):
        loss = lambda real, fake: losses.relativistic_average(jnp.asarray(real), jnp.asarray(fake))
        check_grads(jax.jit(loss), (jnp.array([0.3, -1.0]), jnp.array([2.0, 0.5, 0.1])), 2)


def test_many_devices_equal_one_device_with_all_scores():
    generator = np.random.default_rng(0)
    real, fake = (jnp.asarray(generator.normal(size=(4, 3)), jnp.float32) for _ in range(2))
    share = jax.pmap(lambda r, f: losses.relativistic_average(r, f, axis_name="devices"), axis_name="devices")
    np.testing.assert_allclose(
        np.mean(share(real, fake)), losses.relativistic_average(real.reshape(-1), fake.reshape(-1)), rtol=1e-5
    )


@pytest.mark.parametrize("offset", [1e4, -1e8, 1e8])
def test_a_large_offset_changes_nothing(offset):
    real, fake = np.float32([8, -24, 0]), np.float32([16, 0, -8, 8])  # exact at 1e8, where floats are 8 apart
    found = losses.relativistic_average(jnp.asarray(real + np.float32(offset)), jnp.asarray(fake + np.float32(offset)))
    np.testing.assert_allclose(found, by_hand(real.astype(float), fake.astype(float)), rtol=1e-5)


def test_scores_must_be_vectors(unchecked):
    with pytest.raises(ValueError, match=r"`fake` must be \[n\] .*got shape \(3, 1\)"):
        losses.relativistic_average(jnp.zeros(3), jnp.zeros((3, 1)))
