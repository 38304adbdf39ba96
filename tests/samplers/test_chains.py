"""Parallel chains: each equals the same chain alone, in the layout of the diagnostics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

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


@pytest.mark.parametrize("transform", ["shard_map", "pmap"])
def test_chains_over_devices_are_those_of_one_device(transform):
    """Chains in the latent space of a small generator, four devices with three chains each."""
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5)), jnp.float32)
    density = samplers.tilted_log_density(lambda x: jnp.sum(x**2) / 4, lambda z: jnp.tanh(z @ weights))
    key, z = jax.random.key(1), jax.random.normal(jax.random.key(0), (12, 2))

    def run(axis_name, z):
        chains = samplers.Chains(samplers.MALA(density, 0.3), axis_name)
        return chains.draw(key, chains.init(z), 6)[1:]

    positions, infos = jax.jit(lambda z: run(None, z))(z)
    if transform == "pmap":
        found = jax.pmap(lambda z: run("devices", z), "devices")(z.reshape(4, 3, 2))
        found = jax.tree.map(lambda leaf: leaf.reshape(12, *leaf.shape[2:]), found)
    else:
        mesh = jax.make_mesh((4,), ("devices",), (jax.sharding.AxisType.Auto,))
        split = jax.shard_map(lambda z: run("devices", z), mesh=mesh, in_specs=P("devices"), out_specs=P("devices"))
        found = jax.jit(split)(z)
    np.testing.assert_allclose(found[0], positions, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found[1].accepted, infos.accepted)
    assert len(np.unique(np.asarray(positions)[:, -1, 0])) == 12  # no device repeats another's noise
