"""Distances and chunked kernel products against loops and the whole matrix."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.numerics import kernels

GENERATOR = np.random.default_rng(0)


def squared(x, y):
    return np.array([[np.sum((a - b) ** 2) for b in np.float64(y)] for a in np.float64(x)])


@pytest.mark.parametrize("d", [1, 3, 8, 9, 20])
def test_distances_equal_a_loop(d):
    x, y = GENERATOR.normal(size=(5, d)), GENERATOR.normal(size=(7, d))
    np.testing.assert_allclose(kernels.squared_distances(jnp.float32(x), jnp.float32(y)), squared(x, y), rtol=1e-5)
    assert (
        kernels.squared_distances(jnp.float32(x), jnp.float32(x)) >= 0
    ).all()  # rounding of a matrix product could be negative


@pytest.mark.parametrize("chunk", [1, 4, 7, 50])
def test_products_equal_those_of_the_whole_matrix(chunk):
    x, y, vectors = (jnp.float32(GENERATOR.normal(size=shape)) for shape in ((10, 2), (6, 2), (6, 3)))
    kernel = functools.partial(kernels.gaussian, bandwidth=1.7)
    whole = np.exp(-squared(x, y) / 1.7)
    np.testing.assert_allclose(kernels.products(kernel, x, y, vectors, chunk=chunk), whole @ vectors, rtol=1e-4)
    off_diagonal = np.exp(-squared(x, x) / 1.7) * (1 - np.eye(10))
    found = kernels.products(kernel, x[3:], x, x, first=3, chunk=chunk)
    np.testing.assert_allclose(found, (off_diagonal @ x)[3:], rtol=1e-4, atol=1e-6)


def test_an_empty_chunk_raises():
    with pytest.raises(ValueError, match=r"`chunk` must be at least 1 \(got 0"):
        kernels.products(kernels.gaussian, jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 1)), chunk=0)
