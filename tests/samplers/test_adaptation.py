"""Adapted step sizes for Gaussians, from starts that are up to a million times too small or too large."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import samplers
from jaxgen.scan import iterate


def normal(x):
    return -0.5 * jnp.sum(x**2)


def near_optimal(dimensions):
    """Approximately optimal step size for a standard normal distribution."""
    return 1.4 / dimensions ** (1 / 3)


@pytest.mark.parametrize("dimensions", [2, 16, pytest.param(128, marks=pytest.mark.slow)])
def test_one_step_size_for_many_chains(dimensions):
    """200 steps of warm-up from starts that are 1,000 times too small, right, and 1,000 times too large."""

    def run(step_size, key):
        chains = lambda size: samplers.Chains(samplers.MALA(normal, size))
        adapted = samplers.StepSizeAdaptation(chains, step_size)
        key_start, key_warm, key_run = jax.random.split(key, 3)
        start = adapted.init(jax.random.normal(key_start, (512, dimensions)))
        state, _ = iterate(adapted.step, key_warm, start, length=200)
        _, moves = iterate(adapted.frozen(state).step, key_run, state.inner, length=20)
        return jnp.mean(moves.acceptance), state

    starts = near_optimal(dimensions) * jnp.array([1e-3, 1.0, 1e3])
    accepted, state = jax.jit(jax.vmap(run))(starts, jax.random.split(jax.random.key(dimensions), 3))
    np.testing.assert_allclose(accepted, 0.574, atol=0.03)
    assert state.log_average.shape == (3,)
    assert (state.steps == 200).all()


def test_each_chain_its_own_step_size():
    """Three scales that differ by factors of 100, with one start, 100 times too small to a million times too large."""

    def run(scale, key):
        density = lambda x: -0.5 * jnp.sum((x / scale) ** 2)
        adapted = samplers.StepSizeAdaptation(
            lambda size: samplers.MALA(density, size), step_size=100 * near_optimal(8), target=0.65
        )
        key_start, key_warm, key_run = jax.random.split(key, 3)
        start = adapted.init(scale * jax.random.normal(key_start, (8,)))
        state, _ = iterate(adapted.step, key_warm, start, length=2000)
        _, moves = iterate(adapted.frozen(state).step, key_run, state.inner, length=2000)
        return jnp.mean(moves.acceptance), jnp.exp(state.log_average)

    scales = jnp.array([0.01, 1.0, 100.0])
    accepted, sizes = jax.jit(jax.vmap(run))(scales, jax.random.split(jax.random.key(0), 3))
    np.testing.assert_allclose(accepted, 0.65, atol=0.08)
    np.testing.assert_allclose(sizes / scales**2, sizes[1], rtol=0.4)


def test_adapted_chains_inside_chains():
    inside = samplers.Chains(samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), step_size=10.0))
    run = jax.jit(lambda x: iterate(inside.step, jax.random.key(0), inside.init(x), length=500)[0])
    log_averages = np.asarray(run(jnp.zeros((16, 4))).log_average)
    assert log_averages.shape == (16,)
    assert len(np.unique(log_averages)) == 16
    np.testing.assert_allclose(log_averages, log_averages.mean(), atol=0.5)


def test_chains_that_adapt_separately_are_frozen_separately():
    adapted = samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), step_size=1.0)
    chains = samplers.Chains(adapted)
    states, positions, _ = chains.draw(jax.random.key(0), chains.init(jnp.zeros((3, 4))), 5)
    assert positions.shape == (3, 5, 4)
    np.testing.assert_array_equal(positions[:, -1], states.position)
    with pytest.raises(ValueError, match=r"step sizes of shape \(3,\).* under jax.vmap"):
        adapted.frozen(states)
    each = jax.vmap(lambda key, state: adapted.frozen(state).step(key, state.inner)[0])
    assert each(jax.random.split(jax.random.key(1), 3), states).position.shape == (3, 4)


def test_proposals_that_are_never_finite_shrink_the_step():
    density = lambda x: jnp.sum(jnp.where(jnp.abs(x) > 1e-2, jnp.nan, 0 * x))
    adapted = samplers.StepSizeAdaptation(lambda size: samplers.MALA(density, size), 1.0)
    run = jax.jit(lambda x: iterate(adapted.step, jax.random.key(0), adapted.init(x), length=300)[0])
    assert np.exp(run(jnp.zeros(2)).log_average) < 1e-3


def test_double_precision_stays_so():
    with jax.enable_x64(True):
        adapted = samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), 1.0)
        state, _ = iterate(adapted.step, jax.random.key(0), adapted.init(jnp.zeros(2)), length=3)
        assert {leaf.dtype for leaf in state[2:]} == {np.dtype("float64")}


def test_before_the_first_step_the_initial_step_size_is_kept():
    adapted = samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), step_size=0.3)
    assert adapted.frozen(adapted.init(jnp.zeros(2))).step_size == pytest.approx(0.3)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 57.4])
def test_a_target_that_is_not_a_probability_raises(target):
    with pytest.raises(ValueError, match=rf"`target` must be between 0 and 1 \(got {target}\)"):
        samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), target=target)


@pytest.mark.parametrize(
    "wrong",
    [{"kappa": 0.5}, {"kappa": 1.5}, {"gamma": 0.0}, {"gamma": np.inf}, {"t0": -1.0}, {"t0": np.inf}],
)
def test_parameters_without_convergence_raise(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"`{name}` must be .* \(got {value}\)"):
        samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), **wrong)
    samplers.StepSizeAdaptation(lambda size: samplers.MALA(normal, size), kappa=1.0, t0=0.0)
