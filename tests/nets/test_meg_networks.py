"""Networks of the maximum entropy generators paper: layer shapes, and parameter counts by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets

CONV = lambda size, inputs, outputs: size * size * inputs * outputs + outputs
DENSE = lambda inputs, outputs: inputs * outputs + outputs
NORM = lambda features: 2 * features


def traced(network, *shapes):
    """Output shape, shapes of all layers' outputs, and number of parameters, by abstract evaluation."""
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    variables = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    made, seen = jax.eval_shape(
        functools.partial(network.apply, capture_intermediates=True, mutable=["intermediates"]), variables, *inputs
    )
    layers = [leaf.shape[1:] for leaf in jax.tree.leaves(seen)]
    return made.shape[1:], layers, sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def test_the_plane():
    generator, energy, statistic = nets.dense_meg_networks(2)
    hidden = 2 * DENSE(512, 512)
    assert traced(generator, (1, 2))[::2] == ((2,), DENSE(2, 512) + hidden + DENSE(512, 2))
    assert traced(energy, (1, 2))[::2] == ((1,), DENSE(2, 512) + hidden + DENSE(512, 1))
    assert traced(statistic, (1, 2), (1, 2))[::2] == ((1,), DENSE(4, 512) + hidden + DENSE(512, 1))


def test_kdd():
    generator, energy, statistic = nets.dense_meg_networks(121, generator=(64, 128), energy=(256, 128, 128))
    hidden = DENSE(256, 128) + DENSE(128, 128) + DENSE(128, 1)
    assert traced(generator, (1, 32))[::2] == ((121,), DENSE(32, 64) + DENSE(64, 128) + DENSE(128, 121))
    assert traced(energy, (1, 121))[::2] == ((1,), DENSE(121, 256) + hidden)
    assert traced(statistic, (1, 121), (1, 32))[::2] == ((1,), DENSE(153, 256) + hidden)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_digits(channels):
    generator, energy, statistic = nets.digit_meg_networks(channels)
    made, layers, count = traced(generator, (1, 128))
    assert made == (28, 28, channels)
    assert {(2, 2, 512), (4, 4, 256), (7, 7, 128), (14, 14, 64)} <= set(layers)
    convolutions = CONV(5, 512, 256) + CONV(5, 256, 128) + CONV(5, 128, 64) + CONV(5, 64, channels)
    assert count == DENSE(128, 2048) + convolutions + sum(map(NORM, (512, 256, 128, 64)))
    trunk = CONV(5, channels, 64) + CONV(5, 64, 128) + CONV(5, 128, 256) + CONV(5, 256, 512)
    made, layers, count = traced(energy, (1, 28, 28, channels))
    assert (made, count) == ((1,), trunk + DENSE(2048, 1))
    assert {(14, 14, 64), (7, 7, 128), (4, 4, 256), (2, 2, 512)} <= set(layers)
    made, _, count = traced(statistic, (1, 28, 28, channels), (1, 128))
    assert (made, count) == ((1,), trunk + DENSE(2048, 128) + DENSE(256, 512) + DENSE(512, 1))


def test_cifar():
    generator, energy, statistic = nets.photo_meg_networks(32)
    made, layers, count = traced(generator, (1, 128))
    assert made == (32, 32, 3)
    assert {(8192,), (8, 8, 256), (16, 16, 128), (32, 32, 64)} <= set(layers)
    up = CONV(4, 512, 256) + CONV(4, 256, 128) + CONV(4, 128, 64) + CONV(3, 64, 3)
    assert count == DENSE(128, 8192) + up + sum(map(NORM, (256, 128, 64)))
    pairs = [CONV(3, a, b) + CONV(4, b, b) for a, b in ((3, 64), (64, 128), (128, 256))]
    trunk = sum(pairs) + CONV(3, 256, 512)
    made, layers, count = traced(energy, (1, 32, 32, 3))
    assert (made, count) == ((1,), trunk + DENSE(8192, 1))
    assert {(32, 32, 64), (16, 16, 64), (8, 8, 128), (4, 4, 256), (4, 4, 512)} <= set(layers)
    made, _, count = traced(statistic, (1, 32, 32, 3), (1, 128))
    assert (made, count) == ((1,), trunk + DENSE(8192, 128) + DENSE(256, 512) + DENSE(512, 1))


def test_celeba():
    generator, energy, statistic = nets.photo_meg_networks(64)
    made, _, count = traced(generator, (1, 128))
    up = CONV(4, 512, 512) + CONV(4, 512, 256) + CONV(4, 256, 128) + CONV(4, 128, 64) + CONV(3, 64, 3)
    assert (made, count) == ((64, 64, 3), DENSE(128, 8192) + up + sum(map(NORM, (512, 256, 128, 64))))
    pairs = [CONV(3, a, b) + CONV(4, b, b) for a, b in ((3, 64), (64, 128), (128, 256), (256, 512))]
    trunk = sum(pairs) + CONV(3, 512, 512)
    assert traced(energy, (1, 64, 64, 3))[::2] == ((1,), trunk + DENSE(8192, 1))
    assert traced(statistic, (1, 64, 64, 3), (1, 128))[2] == trunk + DENSE(8192, 128) + DENSE(256, 512) + DENSE(512, 1)
    with pytest.raises(ValueError, match=r"must be 32 or 64 \(got 28\)"):
        nets.photo_meg_networks(28)


def test_digit_networks_are_initialized_as_released():
    generator, energy, statistic = nets.digit_meg_networks()
    assert (generator.kernel, generator.scale, generator.first) == (nets.normal, nets.normal_around_one, True)
    assert (energy.kernel, statistic.trunk.kernel, energy.activation) == (nets.normal, nets.normal, nets.LeakyReLU(0.2))
    kernel, scale = nets.normal(jax.random.key(0), (5, 5, 64, 32)), nets.normal_around_one(jax.random.key(0), (10_000,))
    np.testing.assert_allclose([kernel.mean(), kernel.std()], [0, 0.02], atol=5e-4)
    np.testing.assert_allclose([scale.mean(), scale.std()], [1, 0.02], atol=1e-3)


def test_photo_and_dense_networks_have_pytorch_s_initialization():
    generator, energy, _ = nets.photo_meg_networks(32)
    assert (generator.kernel, generator.first, energy.kernel) == (
        nets.torch_uniform_transposed,
        False,
        nets.torch_uniform,
    )
    assert (generator.scale(jax.random.key(0), (3,)) == 1).all()
    assert energy.activation == nets.LeakyReLU(0.1)
    kernel = nets.torch_uniform_transposed(
        jax.random.key(0), (4, 4, 16, 8)
    )  # fan-in by the outputs in a transposed layer
    assert 0.99 < np.abs(kernel).max() * (16 * 8) ** 0.5 <= 1
    layer = nets.TransposedConv(8, 4, 2, (4, 4)).init(jax.random.key(0), jnp.zeros((1, 2, 2, 16)))["params"]
    assert 0.5 < np.abs(layer["bias"]).max() * (16 * 8) ** 0.5 <= 1
    assert all(network.hidden_kernel_init is nets.torch_uniform for network in nets.dense_meg_networks(2)[:2])


def test_pair_net_concatenates_features_and_vector():
    net = nets.PairNet(nets.MLP((1,)), nets.MLP((3,)))
    x, z = jax.random.normal(jax.random.key(1), (2, 4)), jax.random.normal(jax.random.key(2), (2, 5))
    params = net.init(jax.random.key(0), x, z)
    trunk, head = (params["params"][name]["Dense_0"] for name in ("trunk", "head"))
    rows = np.concatenate([x @ trunk["kernel"] + trunk["bias"][None], z], 1)
    np.testing.assert_allclose(
        net.apply(params, x, z), rows @ head["kernel"] + head["bias"][None], rtol=1e-4, atol=1e-6
    )
