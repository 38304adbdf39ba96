"""The earlier loss, with which the pool is compared, is the same number with the same gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import tiny

from experiments.speed.two_passes import TwoPasses
from jaxgen import methods


def test_the_earlier_loss_is_equal():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
    state = jax.jit(tiny.evl().init)(jax.random.key(0), x)

    def of(candidates):
        method = tiny.evl(candidates=candidates)
        return jax.jit(jax.value_and_grad(lambda p: method.loss(jax.random.key(1), p, {}, x)[0]))(state.params)

    one, two = of(methods.SharedPool(16, 4)), of(TwoPasses(16, 4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, two)
