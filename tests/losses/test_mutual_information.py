"""Jensen-Shannon estimate of mutual information against a loop in NumPy, its bound, and the released form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen import losses

COUNTS = np.array([[5, 1, 0], [1, 2, 3]])  # number of pairs per combination of x and z, twelve in all


def softplus(t):
    return np.log(1 + np.exp(t))


def pairs():
    """Optimal scores of all joint and all independent pairs, and the exact Jensen-Shannon divergence."""
    joint = COUNTS / COUNTS.sum()
    product = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    middle = (joint + product) / 2
    divergence = lambda p: sum(a * np.log(a / b) for a, b in zip(p.ravel(), middle.ravel(), strict=True) if a > 0)
    best = np.log(np.maximum(joint, 1e-30) / product)
    joint_scores = best.repeat(1).ravel().repeat(COUNTS.ravel())
    marginal_scores = best.ravel().repeat(np.outer(COUNTS.sum(1), COUNTS.sum(0)).ravel())  # every x with every z
    return jnp.float32(joint_scores), jnp.float32(marginal_scores), (divergence(joint) + divergence(product)) / 2


@pytest.mark.parametrize(("n", "m"), [(1, 1), (4, 4), (3, 7)])
def test_equal_to_a_loop(n, m):
    generator = np.random.default_rng(n)
    joint, marginal = 3 * generator.normal(size=n), 3 * generator.normal(size=m)
    expected = sum(-softplus(-t) for t in joint) / n - sum(softplus(t) for t in marginal) / m
    found = losses.jsd_mutual_information(*map(jnp.float32, (joint, marginal)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_best_scores_reach_the_divergence_and_others_stay_below():
    joint, marginal, divergence = pairs()
    best = losses.jsd_mutual_information(joint, marginal)
    np.testing.assert_allclose(best, 2 * divergence - 2 * np.log(2), rtol=1e-5)
    values = jnp.unique(joint, size=6)
    for shift in np.random.default_rng(0).normal(size=(20, 6)):
        moved = [t + jnp.sum((t[:, None] == values[None]) * jnp.float32(shift)[None], 1) for t in (joint, marginal)]
        assert losses.jsd_mutual_information(*moved) < best


def test_limits():
    zeros = jnp.zeros(4)
    np.testing.assert_allclose(losses.jsd_mutual_information(zeros, zeros), -2 * np.log(2), rtol=1e-6)
    assert losses.jsd_mutual_information(zeros + 200, zeros - 200) == 0
    value, slopes = jax.value_and_grad(losses.jsd_mutual_information, (0, 1))(zeros - 200, zeros + 200)
    np.testing.assert_allclose(value, -400)  # log(sigmoid(-200)) in two steps would be minus infinity
    np.testing.assert_allclose(np.concatenate(slopes), [0.25] * 4 + [-0.25] * 4)


def test_the_released_cross_entropy_is_minus_half_of_it():
    joint, marginal = np.random.default_rng(1).normal(size=(2, 5))
    labeled = [(t, 1) for t in joint] + [(t, 0) for t in marginal]
    probability = lambda t: 1 / (1 + np.exp(-t))
    cross_entropy = np.mean([-np.log(probability(t) if label else 1 - probability(t)) for t, label in labeled])
    found = losses.jsd_mutual_information(*map(jnp.float32, (joint, marginal)))
    np.testing.assert_allclose(-0.5 * found, cross_entropy, rtol=1e-6)


def test_gradient():
    with jax.enable_x64(True):
        estimate = lambda joint, marginal: losses.jsd_mutual_information(jnp.asarray(joint), jnp.asarray(marginal))
        check_grads(jax.jit(estimate), (jnp.array([0.3, -1.0]), jnp.array([2.0, 0.5, 0.1])), 2)


def test_many_devices_equal_one_device_with_all_scores():
    joint, marginal = (jnp.asarray(t, jnp.float32) for t in np.random.default_rng(0).normal(size=(2, 4, 3)))

    def share(joint, marginal):
        estimate = lambda joint: losses.jsd_mutual_information(joint, marginal, axis_name="devices")
        value, slope = jax.value_and_grad(estimate)(joint)
        return value, slope

    values, slopes = jax.pmap(share, axis_name="devices")(joint, marginal)
    whole, slope = jax.value_and_grad(losses.jsd_mutual_information)(joint.reshape(-1), marginal.reshape(-1))
    np.testing.assert_allclose(values, [whole] * 4, rtol=1e-6)
    np.testing.assert_allclose(slopes.reshape(-1) / 4, slope, rtol=1e-5)  # gradients are per device, before their mean


def test_scores_must_be_vectors(unchecked):
    with pytest.raises(ValueError, match=r"`joint` must be \[n\] .*got shape \(3, 1\)"):
        losses.jsd_mutual_information(jnp.zeros((3, 1)), jnp.zeros(3))
