"""Parallel chains: each equals the same chain alone, in the layout of the diagnostics."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers
from jaxgen.scan import iterate

MALA = samplers.MALA(lambda x: -0.5 * jnp.sum(x**2), 0.5)


def test_a_chain_does_not_depend_on_the_number_of_chains():
    chains, key = samplers.Chains(MALA), jax.random.key(1)

    def alone(key, state):
        return MALA.step(jax.random.fold_in(key, 1), state)

    @jax.jit
    def runs(x):
        few = iterate(chains.step, key, chains.init(x[:2]), length=20)[0]
        many, moves = iterate(chains.step, key, chains.init(x), length=20)
        one = iterate(alone, key, MALA.init(x[1]), length=20)[0]
        return few.position, many.position, one.position, moves

    few, many, one, moves = runs(jax.random.normal(jax.random.key(0), (7, 3)))
    np.testing.assert_allclose(few, many[:2], rtol=1e-4)
    np.testing.assert_allclose(one, many[1], rtol=1e-4)
    assert moves.acceptance.shape == (20, 7)


def test_draws_have_chains_as_first_axis():
    chains, key = samplers.Chains(MALA), jax.random.key(1)

    @jax.jit
    def run(x):
        start = chains.init(x)
        return chains.draw(key, start, 30), iterate(chains.step, key, start, length=30)[0]

    (last, positions, moves), expected = run(jax.random.normal(jax.random.key(0), (5, 2, 2)))
    assert positions.shape == (5, 30, 2, 2)
    assert moves.accepted.shape == (5, 30)
    np.testing.assert_array_equal(positions[:, -1], last.position)
    np.testing.assert_allclose(last.position, expected.position, rtol=1e-4)
    positions = np.asarray(positions)
    np.testing.assert_array_equal((positions[:, 1:] != positions[:, :-1]).any((2, 3)), moves.accepted[:, 1:])
