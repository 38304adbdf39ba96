"""Transposed convolution against a NumPy loop, and batch normalization with and without mutable statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets


@pytest.mark.parametrize(
    ("side", "size", "stride", "output"),
    [(2, 5, 2, 4), (4, 5, 2, 7), (7, 5, 2, 14), (4, 4, 2, 8), (4, 3, 1, 4), (3, 4, 3, 8)],
)
def test_transposed_conv_equals_a_loop_in_numpy(side, size, stride, output):
    """Each pixel adds a window to the output, starting `(size - 1) // 2` before its position, as in PyTorch."""
    layer = nets.TransposedConv(3, size, stride, (output, output))
    x = np.random.default_rng(0).normal(size=(2, side, side, 4))
    params = jax.jit(layer.init)(jax.random.key(0), jnp.float32(x))
    kernel, bias = (np.asarray(params["params"][name], float) for name in ("kernel", "bias"))
    whole = np.zeros((2, side * stride + size, side * stride + size, 3))
    turned = kernel[::-1, ::-1]
    for i, j in np.ndindex(side, side):
        window = np.einsum("nc,abcf->nabf", x[:, i, j], turned)
        whole[:, i * stride : i * stride + size, j * stride : j * stride + size] += window
    pad = (size - 1) // 2
    expected = whole[:, pad : pad + output, pad : pad + output] + bias
    apply = jax.jit(lambda x: layer.apply(params, x))
    found = apply(jnp.float32(x))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(apply(jnp.float32(x[0])), found[0], rtol=1e-4, atol=1e-5)


def test_batch_norm_uses_batch_statistics_if_mutable_else_running_ones():
    norm = nets.BatchNorm()
    x = np.random.default_rng(0).normal(3.0, 2.0, size=(6, 4, 2))
    drawn = norm.init(jax.random.key(0), jnp.float32(x))
    ((_, statistics),) = drawn["batch_stats"].items()
    np.testing.assert_array_equal([statistics["mean"], statistics["var"]], [[0, 0], [1, 1]])
    found, moved = norm.apply(drawn, jnp.float32(x), mutable=["batch_stats"])
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    np.testing.assert_allclose(found, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-3, atol=1e-4)
    ((_, statistics),) = moved["batch_stats"].items()
    np.testing.assert_allclose(statistics["mean"], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * variance, rtol=1e-4)
    served = norm.apply({**drawn, **moved}, jnp.float32(x))
    np.testing.assert_allclose(served, (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * variance + 1e-5), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.apply({**drawn, **moved}, jnp.float32(x[:1])), served[:1], rtol=1e-5)


def test_generator_equals_its_layers_applied_by_hand():
    net = nets.TransposedGenerator((5, 4, 2), (6, 3), ((5, 2), (3, 1)), first=False)
    z = jax.random.normal(jax.random.key(1), (7, 2))
    variables = jax.jit(net.init)(jax.random.key(0), z)
    params = variables["params"]
    x = (z @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"][None]).reshape(7, 3, 2, 6)
    layer = lambda i, *how: lambda x: nets.TransposedConv(*how).apply({"params": params[f"TransposedConv_{i}"]}, x)
    x = np.asarray(layer(0, 3, 5, 2, (5, 4))(x))
    scale = np.asarray(params["BatchNorm_0"]["BatchNorm_0"]["scale"])
    x = np.maximum((x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5) * scale, 0)
    expected = np.tanh(layer(1, 2, 3, 1, (5, 4))(jnp.float32(x)))
    found, _ = jax.jit(lambda z: net.apply(variables, z, mutable=["batch_stats"]))(z)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    with pytest.raises(ValueError, match=r"must have the same length \(got 1 and 2\)"):
        nets.TransposedGenerator((4, 4, 1), (6,), ((5, 2), (3, 1))).init(jax.random.key(0), z)


def test_a_sample_does_not_depend_on_its_batch():
    net = nets.TransposedGenerator((4, 4, 1), (6, 3), ((4, 2), (4, 2)))
    z = jax.random.normal(jax.random.key(1), (5, 2))
    variables = jax.jit(net.init)(jax.random.key(0), z)
    make = jax.jit(lambda z: net.apply(variables, z))
    alone = jnp.stack([make(row) for row in z])
    np.testing.assert_allclose(make(z), alone, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(make)(z), alone, rtol=1e-4, atol=1e-6)
