"""Step sizes found for Gaussians whose best one is known to be some thousand times larger or smaller than the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import samplers
from jaxgen.loop import iterate


def normal(x):
    return -0.5 * jnp.sum(x**2)


def settled(dimensions):
    """About the best step size for a standard normal law."""
    return 1.4 / dimensions ** (1 / 3)


@pytest.mark.parametrize("dimensions", [2, 16, 128])
@pytest.mark.parametrize("wrong", [1e-3, 1.0, 1e3])
def test_one_step_size_for_many_chains(dimensions, wrong):
    adapted = samplers.Adapted(
        lambda size: samplers.Chains(samplers.MALA(normal, size)), step_size=wrong * settled(dimensions)
    )
    key_start, key_warm, key_run = jax.random.split(jax.random.key(dimensions), 3)

    @jax.jit
    def run(positions):
        state, _ = iterate(adapted.step, key_warm, adapted.init(positions), length=200)
        _, moves = iterate(adapted.frozen(state).step, key_run, state.inner, length=50)
        return jnp.mean(moves.acceptance), state

    accepted, state = run(jax.random.normal(key_start, (512, dimensions)))
    assert abs(accepted - 0.574) < 0.03
    assert state.log_average.shape == ()
    assert state.steps == 200


@pytest.mark.parametrize("wrong", [1e-3, 1e3])
def test_each_chain_its_own_step_size(wrong):
    """Chains on laws whose scales are 10^4 apart, which one step size could not serve."""
    scales = jnp.array([0.01, 1.0, 100.0])

    def chain(scale, key):
        density = lambda x: -0.5 * jnp.sum((x / scale) ** 2)
        adapted = samplers.Adapted(lambda size: samplers.MALA(density, size), step_size=wrong * settled(8), target=0.65)
        start = scale * jax.random.normal(jax.random.fold_in(key, 0), (8,))
        state, _ = iterate(adapted.step, jax.random.fold_in(key, 1), adapted.init(start), length=2000)
        _, moves = iterate(adapted.frozen(state).step, jax.random.fold_in(key, 2), state.inner, length=2000)
        return jnp.mean(moves.acceptance), adapted.frozen(state).step_size

    accepted, sizes = jax.jit(jax.vmap(chain))(scales, jax.random.split(jax.random.key(0), 3))
    np.testing.assert_allclose(accepted, 0.65, atol=0.08)
    np.testing.assert_allclose(sizes / scales**2, sizes[1], rtol=0.3)


def test_adapted_chains_inside_chains():
    inside = samplers.Chains(samplers.Adapted(lambda size: samplers.MALA(normal, size), step_size=10.0))
    state, _ = iterate(inside.step, jax.random.key(0), inside.init(jnp.zeros((16, 4))), length=500)
    assert state.log_average.shape == (16,)
    assert len(np.unique(state.log_average)) == 16
    best = float(np.mean(state.log_average))
    np.testing.assert_allclose(state.log_average, best, atol=0.5)


def test_proposals_that_are_never_finite_shrink_the_step():
    adapted = samplers.Adapted(
        lambda size: samplers.MALA(lambda x: jnp.sum(jnp.where(jnp.abs(x) > 1e-2, jnp.nan, 0 * x)), size), 1.0
    )
    state, _ = iterate(adapted.step, jax.random.key(0), adapted.init(jnp.zeros(2)), length=300)
    assert np.exp(state.log_average) < 1e-3


def test_before_the_first_step_the_start_is_kept():
    adapted = samplers.Adapted(lambda size: samplers.MALA(normal, size), step_size=0.3)
    assert adapted.frozen(adapted.init(jnp.zeros(2))).step_size == pytest.approx(0.3)


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 57.4])
def test_a_target_that_is_no_probability_is_refused(target):
    with pytest.raises(ValueError, match=f"target is {target}; make it a probability"):
        samplers.Adapted(lambda size: samplers.MALA(normal, size), target=target)
