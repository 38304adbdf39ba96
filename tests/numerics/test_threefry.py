"""Unrolled Threefry: the numbers of `jax.random`, whose own implementation is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.numerics import threefry
from jaxgen.numerics.threefry import is_default, unrolled

KEYS = [jax.random.key(seed) for seed in (0, 7, 2**31 - 1)]
DRAWS = {
    "normal": lambda key: jax.random.normal(key, (3, 5)),
    "uniform": lambda key: jax.random.uniform(key, (), minval=-1.0),
    "bits": lambda key: jax.random.bits(key, (7,), "uint32"),
    "bytes": lambda key: jax.random.bits(key, (2, 3, 4), "uint8"),
    "half words": lambda key: jax.random.bits(key, (5,), "uint16"),
    "nothing": lambda key: jax.random.normal(key, (4, 0)),
    "permutation": lambda key: jax.random.permutation(key, 100),
    "categorical": lambda key: jax.random.categorical(key, jnp.zeros((4, 6))),
    "bernoulli": lambda key: jax.random.bernoulli(key, 0.3, (9,)),
    "integers": lambda key: jax.random.randint(key, (9,), -5, 1000),
    "split": lambda key: jax.random.uniform(jax.random.split(key, (2, 3))[1, 2], (4,)),
    "fold": lambda key: jax.random.uniform(jax.random.fold_in(key, 2**32 - 3), (4,)),
    "batched": lambda key: jax.vmap(lambda each: jax.random.normal(each, (3,)))(jax.random.split(key, 4)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_unrolled_keys_give_the_same_numbers(name):
    draw = jax.jit(DRAWS[name])
    for key in KEYS:
        np.testing.assert_array_equal(draw(unrolled(key)), draw(key), strict=True)


def test_words_of_64_bits():
    with jax.enable_x64():
        draw = jax.jit(lambda key: jax.random.bits(key, (5,), "uint64"))
        np.testing.assert_array_equal(draw(unrolled(KEYS[1])), draw(KEYS[1]), strict=True)


def test_keys_keep_their_data():
    assert unrolled(KEYS[1]).dtype != KEYS[1].dtype
    assert unrolled(unrolled(KEYS[1])).dtype == unrolled(KEYS[1]).dtype
    np.testing.assert_array_equal(jax.random.key_data(unrolled(KEYS[1])), jax.random.key_data(KEYS[1]))


@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_keys_of_other_generators_stay_as_they_are(generator):
    key = jax.random.key(0, impl=generator)
    assert unrolled(key) is key
    assert not is_default(key)
    with jax.default_prng_impl(generator):
        assert not is_default()
    assert is_default()


def test_the_original_order_of_bits_is_left_to_jax():
    with jax.threefry_partitionable(False):
        assert unrolled(KEYS[0]) is KEYS[0]
        assert not is_default()


def test_keys_on_the_host_are_those_of_jax():
    words = np.stack([jax.random.key_data(key) for key in KEYS])
    expected = [jax.random.key_data(jax.random.split(key, 5)) for key in KEYS]
    np.testing.assert_array_equal(threefry.split(words, 5), expected, strict=True)
    numbers = np.array([0, 1, 2**31, 2**32 - 1])
    expected = [[jax.random.key_data(jax.random.fold_in(key, np.uint32(n))) for n in numbers] for key in KEYS]
    np.testing.assert_array_equal(threefry.fold_in(words[:, None], numbers), expected, strict=True)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", [0, 1, -1, -(2**31), 2**31 - 1, 2**31, 2**32 - 1, 2**40 + 3, 2**63 - 1])
def test_seeds_on_the_host_are_those_of_jax(seed, wide):
    with jax.enable_x64(wide):
        np.testing.assert_array_equal(threefry.seeded(seed), jax.random.key_data(jax.random.key(seed)), strict=True)


def test_a_draw_compiles_to_fewer_kernels():
    """The reason for this module: a loop over the rounds takes several kernels and two loops."""
    count = lambda key: jax.jit(DRAWS["normal"]).lower(key).compile().as_text().count(" while(")
    assert count(KEYS[0]) > 0 == count(unrolled(KEYS[0]))
