"""The outputs do not depend on the batch size."""

import functools

import jax
import numpy as np
import pytest

from experiments.common.batching import in_parts


@functools.partial(jax.jit, static_argnums=0)
def program(method, state, x):
    return {"sum": x.sum(1) + state, "twice": 2 * x}


@pytest.mark.parametrize("at_once", [1, 7, 30, 512])
def test_outputs_do_not_depend_on_the_batch_size(at_once):
    x = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    before = program._cache_size()
    found = in_parts(program, None, 1.0, x, at_once)
    np.testing.assert_allclose(found["sum"], x.sum(1) + 1, rtol=1e-5)
    np.testing.assert_array_equal(found["twice"], 2 * x)
    assert program._cache_size() == before + 1  # one program, though the last part is smaller
