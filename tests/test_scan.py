"""The scan loop: a split run equals the whole run, and keys depend only on their index."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.scan import iterate, keys


def walk(key, state, drift):
    state = state + drift + jax.random.normal(key)
    return state, {"position": state}


def test_a_key_does_not_depend_on_the_number_of_keys():
    key = jax.random.key(0)
    data = jax.random.key_data
    np.testing.assert_array_equal(data(keys(key, 3)), data(keys(key, 9))[:3])
    np.testing.assert_array_equal(data(keys(key, 4, start=5)), data(keys(key, 9))[5:])
    np.testing.assert_array_equal(data(keys(key, 3))[2], data(jax.random.fold_in(key, 2)))


def test_iterate_equals_a_python_loop():
    key, drift = jax.random.key(1), jnp.arange(5.0)
    last, infos = iterate(walk, key, jnp.zeros(()), drift)
    state = jnp.zeros(())
    for t in range(5):
        state, _ = walk(jax.random.fold_in(key, t), state, drift[t])
        np.testing.assert_allclose(infos["position"][t], state, rtol=1e-6)
    np.testing.assert_allclose(last, state, rtol=1e-6)


def test_a_split_run_equals_the_whole_run():
    key, drift = jax.random.key(2), jnp.arange(7.0)
    whole, infos = iterate(walk, key, jnp.zeros(()), drift)
    half, first = iterate(walk, key, jnp.zeros(()), drift[:3])
    joined, second = iterate(walk, key, half, drift[3:], start=3)
    assert whole == joined
    np.testing.assert_array_equal(infos["position"], jnp.concatenate([first["position"], second["position"]]))


def test_length_replaces_inputs_and_must_match_them():
    count = lambda key, state: (state + 1, ())
    assert iterate(count, jax.random.key(0), jnp.zeros((), int), length=4)[0] == 4
    with pytest.raises(ValueError, match=r"lengths \[3, 4\]"):
        iterate(walk, jax.random.key(0), jnp.zeros(()), jnp.zeros(3), length=4)
    with pytest.raises(ValueError, match="needs inputs of one length"):
        iterate(count, jax.random.key(0), jnp.zeros(()))
