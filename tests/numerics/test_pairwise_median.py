"""Median of pairwise squared distances against NumPy and SciPy, on regular and degenerate rows."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import pdist

from jaxgen import parallel
from jaxgen.numerics.pairwise_median import median_squared_distance

GENERATOR = np.random.default_rng(0)
median = jax.jit(median_squared_distance, static_argnames=("chunk",))


def median_of_pairs(z):
    return np.median(pdist(np.float64(z), "sqeuclidean"))


# Of few shapes, for each is a program of its own.
CASES = {
    "two": GENERATOR.normal(size=(2, 2)),
    "three": GENERATOR.normal(size=(3, 1)),
    "an even number of pairs": GENERATOR.normal(size=(4, 2)),
    "enough rows for a subset to be searched first": GENERATOR.normal(size=(300, 2)),
    "more": GENERATOR.uniform(size=(301, 3)),
    "by products": GENERATOR.normal(size=(150, 12)),
    "skewed": np.exp(3 * GENERATOR.normal(size=(260, 1))),
    "ordered": np.linspace(0, 1, 260)[:, None] ** 3,
    "two clusters far apart": np.concatenate([GENERATOR.normal(size=(52, 2)), 1e3 + GENERATOR.normal(size=(48, 2))]),
    "whole numbers": GENERATOR.integers(0, 3, (100, 2)),
    "all the same": np.full((33, 2), 7.0),
    "most the same": np.repeat([[0.0], [1.0]], [248, 12], 0),
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


def test_equal_rows_have_distance_zero():
    for seed in range(20):
        z = np.repeat(np.float32(np.random.default_rng(seed).normal(size=(5, 2))), [36, 1, 1, 1, 1], 0)
        assert median(jnp.asarray(z)) == 0


def test_the_median_of_rows_that_are_not_finite_is_nan():
    z = GENERATOR.normal(size=(20, 2))
    for bad in (np.nan, np.inf):
        z[3, 1] = bad
        assert np.isnan(median(jnp.float32(z)))


def test_many_medians_at_once():
    z = jnp.float32(GENERATOR.normal(size=(6, 11, 2)))
    np.testing.assert_allclose(jax.vmap(median)(z), [median_of_pairs(part) for part in z], rtol=1e-5)


def test_no_gradient_flows_through_a_median():
    z = jnp.float32(CASES["more"])
    assert not jnp.any(jax.grad(lambda z: median_squared_distance(z))(z))


def test_many_devices_equal_one_device_with_all_rows():
    z = jnp.float32(GENERATOR.normal(size=(4, 80, 2)))
    everywhere = jax.pmap(
        functools.partial(median_squared_distance, chunk=32, axis_name=parallel.AXIS), axis_name=parallel.AXIS
    )
    np.testing.assert_allclose(everywhere(z), [median_of_pairs(z.reshape(-1, 2))] * 4, rtol=1e-5)
