"""Multilayer perceptron: initialization of the paper's code, values and dropout."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import nets


def test_layers_are_initialized_as_in_the_paper():
    params = nets.MLP((64, 64, 5)).init(jax.random.key(0), jnp.zeros((1, 16)))["params"]
    first, second, last = (np.asarray(params[f"Dense_{i}"]["kernel"]) for i in range(3))
    np.testing.assert_allclose(first @ first.T, 2 * np.eye(16), atol=1e-5)  # orthogonal with gain sqrt(2)
    np.testing.assert_allclose(second @ second.T, 2 * np.eye(64), atol=1e-5)
    assert 0.9 / 8 < np.abs(last).max() <= 1 / 8  # uniform over +- 1 / sqrt(fan-in)
    for i, fan_in in enumerate((16, 64, 64)):
        bias = np.abs(params[f"Dense_{i}"]["bias"])
        assert 0 < bias.max() <= fan_in**-0.5


def test_output_equals_the_formula():
    net = nets.MLP((8, 3), activation=jnp.tanh)
    params = net.init(jax.random.key(1), jnp.zeros((1, 4)))
    x = jax.random.normal(jax.random.key(2), (2, 5, 4))
    (w, b), (v, c) = (
        tuple(np.asarray(params["params"][f"Dense_{i}"][n]) for n in ("kernel", "bias")) for i in range(2)
    )
    np.testing.assert_allclose(net.apply(params, x), np.tanh(np.asarray(x) @ w + b) @ v + c, rtol=2e-5, atol=1e-5)


def test_the_last_layer_may_be_orthogonal_too():
    """The head of the paper's image network uses this."""
    params = nets.MLP((64, 5), last_kernel_init=nets.orthogonal).init(jax.random.key(0), jnp.zeros((1, 16)))["params"]
    last = np.asarray(params["Dense_1"]["kernel"])
    np.testing.assert_allclose(last.T @ last, 2 * np.eye(5), atol=1e-5)


def test_dropout_needs_noise_and_keeps_the_mean():
    x = jnp.ones((4000, 1))
    network = nets.MLP((1, 1), lambda x: x, dropout=0.25)
    params = network.init(jax.random.key(0), x)
    whole = network.apply(params, x)
    np.testing.assert_array_equal(nets.MLP((1, 1), lambda x: x).apply(params, x), whole)
    dropped = network.apply(params, x, rngs={"dropout": jax.random.key(1)})
    assert len(np.unique(dropped)) == 2  # the one hidden output is kept or dropped
    error = 4 * float(dropped.std()) / np.sqrt(4000)
    np.testing.assert_allclose(dropped.mean(), whole.mean(), atol=error)
