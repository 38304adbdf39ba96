"""Many chains: each as it would be alone, in the order that the diagnostics take."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers
from jaxgen.loop import iterate

MALA = samplers.MALA(lambda x: -0.5 * jnp.sum(x**2), 0.5)


def test_a_chain_does_not_depend_on_how_many_there_are():
    positions = jax.random.normal(jax.random.key(0), (7, 3))
    chains = samplers.Chains(MALA)
    few, _ = iterate(chains.step, jax.random.key(1), chains.init(positions[:2]), length=20)
    many, moves = iterate(chains.step, jax.random.key(1), chains.init(positions), length=20)
    np.testing.assert_allclose(few.position, many.position[:2], rtol=1e-5)
    assert moves.acceptance.shape == (20, 7)
    state = MALA.init(positions[1])
    for t in range(20):
        state, _ = MALA.step(jax.random.fold_in(jax.random.fold_in(jax.random.key(1), t), 1), state)
    np.testing.assert_allclose(state.position, many.position[1], rtol=1e-4)


def test_draws_lead_with_the_chain():
    chains = samplers.Chains(MALA)
    start = chains.init(jax.random.normal(jax.random.key(0), (5, 2, 2)))
    last, positions, moves = chains.draw(jax.random.key(1), start, 30)
    assert positions.shape == (5, 30, 2, 2)
    assert moves.accepted.shape == (5, 30)
    np.testing.assert_array_equal(positions[:, -1], last.position)
    expected, _ = iterate(chains.step, jax.random.key(1), start, length=30)
    np.testing.assert_array_equal(last.position, expected.position)
    moved = np.any(positions[:, 1:] != positions[:, :-1], (2, 3))
    np.testing.assert_array_equal(moved, moves.accepted[:, 1:])
