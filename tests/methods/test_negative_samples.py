"""Sources of negatives, each as many rows as the data and between 0 and 1."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import methods, nets

KEY = jax.random.key(0)
X = jnp.full((500, 8), 0.5)
MADE = jnp.full((500, 8), 0.25)
SOURCES = [methods.Auxiliary(), methods.NoisyData(), methods.Uniform(), methods.ModelSamples()]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_they_are_like_the_data(source):
    found = source.draw(KEY, X, lambda: MADE, 1 - MADE)
    assert (found.shape, found.dtype) == (X.shape, X.dtype)
    assert 0 <= found.min() <= found.max() <= 1


def test_each_is_what_it_says():
    draw = lambda source: np.asarray(source.draw(KEY, X, lambda: MADE, 1 - MADE))
    np.testing.assert_array_equal(draw(methods.Auxiliary()), 1 - MADE)
    np.testing.assert_array_equal(draw(methods.ModelSamples()), MADE)
    np.testing.assert_allclose(draw(methods.NoisyData(0.05)).std(), 0.05, rtol=0.05)
    levels = draw(methods.Uniform()) * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    assert abs(levels.mean() - 127.5) < 4 * 74 / 4_000**0.5
    assert [source.num_tables for source in SOURCES] == [1, 0, 0, 0]
    assert [source.unit_interval for source in SOURCES] == [False, True, False, False]


@dataclasses.dataclass(frozen=True)
class Counts:
    """Poisson noise, which JAX draws with keys of its own generators only."""

    num_tables: ClassVar[int] = 0
    adversarial: ClassVar[float] = 0.0
    unit_interval: ClassVar[bool] = False

    def draw(self, key, x, generate, *others):
        return jnp.minimum(jax.random.poisson(key, 2.0, x.shape) / 10, 1.0)


def test_negatives_can_be_poisson_noise():
    method = methods.NegativeSamplingVAE(nets.MLP((4,)), nets.MLP((3,)), latent_dim=2, negatives=Counts(), shift=1.0)
    method = method.resolve(jax.ShapeDtypeStruct((3,), jnp.float32))
    x = jnp.full((4, 3), 0.5)
    state, _ = jax.jit(method.step)(jax.random.key(0), method.init(jax.random.key(1), x), x)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.encoder.params))
