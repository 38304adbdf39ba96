"""Distances and a kernel's matrix some rows at a time against the whole; medians against NumPy's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import kernels, parallel

GENERATOR = np.random.default_rng(0)
median = jax.jit(kernels.median_squared_distance, static_argnames=("chunk",))


def squared(x, y):
    return np.array([[np.sum((a - b) ** 2) for b in np.float64(y)] for a in np.float64(x)])


def median_of_pairs(z):
    return np.median(squared(z, z)[np.triu_indices(len(z), 1)])


@pytest.mark.parametrize("d", [1, 3, 8, 9, 20])
def test_distances_are_those_of_a_loop(d):
    x, y = GENERATOR.normal(size=(5, d)), GENERATOR.normal(size=(7, d))
    np.testing.assert_allclose(kernels.squared_distances(jnp.float32(x), jnp.float32(y)), squared(x, y), rtol=1e-5)
    assert (kernels.squared_distances(jnp.float32(x), jnp.float32(x)) >= 0).all()  # a product may round below it


@pytest.mark.parametrize("chunk", [1, 4, 7, 50])
def test_products_are_those_of_the_whole_matrix(chunk):
    x, y, vectors = (jnp.float32(GENERATOR.normal(size=shape)) for shape in ((10, 2), (6, 2), (6, 3)))
    kernel = functools.partial(kernels.gaussian, bandwidth=1.7)
    whole = np.exp(-squared(x, y) / 1.7)
    np.testing.assert_allclose(kernels.products(kernel, x, y, vectors, chunk=chunk), whole @ vectors, rtol=1e-4)
    itself = np.exp(-squared(x, x) / 1.7) * (1 - np.eye(10))
    found = kernels.products(kernel, x[3:], x, x, first=3, chunk=chunk)
    np.testing.assert_allclose(found, (itself @ x)[3:], rtol=1e-4, atol=1e-6)


CASES = {
    "two": GENERATOR.normal(size=(2, 2)),
    "three": GENERATOR.normal(size=(3, 1)),
    "an even number of pairs": GENERATOR.normal(size=(4, 2)),
    "enough for a part to be looked at first": GENERATOR.normal(size=(300, 2)),
    "more": GENERATOR.uniform(size=(301, 3)),
    "by products": GENERATOR.normal(size=(150, 12)),
    "skewed": np.exp(3 * GENERATOR.normal(size=(260, 1))),
    "ordered": np.linspace(0, 1, 270)[:, None] ** 3,
    "two clusters far apart": np.concatenate([GENERATOR.normal(size=(40, 2)), 1e3 + GENERATOR.normal(size=(37, 2))]),
    "whole numbers": GENERATOR.integers(0, 3, (100, 2)),
    "all the same": np.full((9, 2), 7.0),
    "most the same": np.repeat([[0.0], [1.0]], [80, 4], 0),
    "large": 1e15 * GENERATOR.normal(size=(33, 2)),
    "small": 1e-12 * GENERATOR.normal(size=(33, 2)),
    "far off": 100 + GENERATOR.normal(size=(33, 2)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("chunk", [16, 256])
def test_the_median_is_numpys(case, chunk):
    z = np.float32(CASES[case])
    np.testing.assert_allclose(median(jnp.asarray(z), chunk=chunk), median_of_pairs(z), rtol=2e-5)


def test_the_median_in_double_precision():
    with jax.enable_x64(True):
        z = CASES["more"]
        np.testing.assert_allclose(median(jnp.asarray(z)), median_of_pairs(z), rtol=1e-13)


def test_equal_rows_are_at_no_distance():
    for seed in range(20):
        z = np.repeat(np.float32(np.random.default_rng(seed).normal(size=(5, 2))), [36, 1, 1, 1, 1], 0)
        assert median(jnp.asarray(z)) == 0


def test_chunks_are_numbers_of_rows():
    with pytest.raises(ValueError, match="chunk is 0"):
        kernels.median_squared_distance(jnp.ones((3, 2)), chunk=0)


def test_a_median_of_what_is_not_finite_is_not_a_number():
    z = GENERATOR.normal(size=(20, 2))
    for bad in (np.nan, np.inf):
        z[3, 1] = bad
        assert np.isnan(median(jnp.float32(z)))


def test_many_medians_at_once():
    z = jnp.float32(GENERATOR.normal(size=(6, 11, 2)))
    np.testing.assert_allclose(jax.vmap(median)(z), [median_of_pairs(part) for part in z], rtol=1e-5)


def test_no_gradient_flows_through_a_median():
    z = jnp.float32(CASES["more"])
    assert not jnp.any(jax.grad(lambda z: kernels.median_squared_distance(z))(z))


def test_the_median_is_that_of_all_devices():
    z = jnp.float32(GENERATOR.normal(size=(4, 80, 2)))
    everywhere = jax.pmap(
        functools.partial(kernels.median_squared_distance, chunk=32, axis_name=parallel.AXIS), axis_name=parallel.AXIS
    )
    np.testing.assert_allclose(everywhere(z), [median_of_pairs(z.reshape(-1, 2))] * 4, rtol=1e-5)
