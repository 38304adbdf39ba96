"""The fused upsampling and convolution equals upsampling, then convolution; the generator is the paper's."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets

LAX = jax.lax.conv_general_dilated
LAYOUT = ("NHWC", "HWIO", "NHWC")


def in_two_steps(x, w):
    return LAX(x.repeat(2, 1).repeat(2, 2), w, (1, 1), "SAME", dimension_numbers=LAYOUT)


def fused(x, w):
    return nets.convolve_upsampled(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT)


def pair(shape, dtype=np.float64):
    generator = np.random.default_rng(0)
    return jnp.asarray(generator.normal(size=shape), dtype), jnp.asarray(generator.normal(size=(3, 3, 2, 4)), dtype)


@pytest.mark.parametrize("shape", [(3, 1, 1, 2), (2, 2, 3, 2), (2, 5, 4, 2)])
def test_value_gradient_and_second_order(shape):
    def measures(f, x, w):
        gradient = jax.grad(lambda x, w: jnp.sum(jnp.tanh(f(x, w))), (0, 1))
        penalty = lambda x, w: sum(jnp.sum(jnp.sin(g)) for g in gradient(x, w))
        return f(x, w), gradient(x, w), jax.grad(penalty, (0, 1))(x, w)

    with jax.enable_x64(True):
        ours, theirs = (jax.jit(functools.partial(measures, f))(*pair(shape)) for f in (fused, in_two_steps))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), ours, theirs)


@pytest.mark.parametrize(("platform", "share"), [("cpu", (4, 9)), ("tpu", (1, 1)), ("cuda", (1, 1))])
def test_it_takes_four_ninths_of_the_products_on_a_cpu_alone(platform, share):
    x, w = pair((2, 8, 8, 2), np.float32)
    text = jax.jit(fused).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
    shapes = re.findall(r"stablehlo.convolution.*tensor<([0-9x]+)xf32>\) -> tensor<([0-9x]+)xf32>", text)
    numbers = lambda shape: [int(size) for size in shape.split("x")]
    products = sum(np.prod(numbers(kernel)[:3]) * np.prod(numbers(result)) for kernel, result in shapes)
    whole = 2 * 16 * 16 * 4 * 9 * 2  # every pixel and feature of the result sees 9 taps of 2 channels
    assert products == whole * share[0] // share[1]


@pytest.mark.parametrize(
    ("kernel", "strides", "padding"), [((5, 3), (1, 1), "SAME"), ((3, 3), (2, 1), "SAME"), ((3, 3), (1, 1), "VALID")]
)
def test_other_convolutions_are_refused(kernel, strides, padding):
    with pytest.raises(ValueError, match=r"needs a 3 x 3 kernel, strides and dilations of 1, and padding SAME \(got "):
        nets.convolve_upsampled(jnp.zeros((1, 4, 4, 2)), jnp.zeros((*kernel, 2, 4)), strides, padding)


def test_the_generator_is_the_paper_s():
    net = nets.ConvGenerator((4, 3, 2), (5, 6, 7))
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 2)))["params"]
    layers = [params[f"Conv_{i}"] for i in range(7)]
    assert [layer["kernel"].shape[2:] for layer in layers] == [(2, 5), (5, 5), (5, 6), (6, 6), (6, 7), (7, 7), (7, 2)]
    for layer in layers:
        bound = np.prod(layer["kernel"].shape[:3]) ** -0.5  # 1 / sqrt(fan-in)
        assert 0 < np.abs(layer["bias"]).max() <= bound
        flat = np.asarray(layer["kernel"]).reshape(-1, layer["kernel"].shape[-1])
        if layer is layers[-1]:
            assert 0.9 * bound < np.abs(flat).max() <= bound
        else:
            np.testing.assert_allclose(flat.T @ flat, 2 * np.eye(flat.shape[1]), atol=1e-5)
    z = np.float32(np.random.default_rng(1).normal(size=(3, 2)))

    @jax.jit
    def by_hand(layers, z):
        x = z[:, None, None]
        for i, layer in enumerate(layers):
            x = x.repeat(2, 1).repeat(2, 2) if i in (0, 2, 4) else x  # the nearest pixel
            x = LAX(x, layer["kernel"], (1, 1), ((1, 1), (1, 1)), dimension_numbers=LAYOUT)
            x = x + layer["bias"][None, None, None]
            x = x if i == 6 else jnp.maximum(x, 0)
        return x[:, 2:6, 2:5]

    found = jax.jit(net.apply)({"params": params}, z)
    np.testing.assert_allclose(found, by_hand(layers, z), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"at most 2 \*\* len\(widths\) = 8 \(got 9 x 3\); add widths"):
        nets.ConvGenerator((9, 3, 2), (5, 6, 7)).init(jax.random.key(0), jnp.zeros((1, 2)))


def test_images_of_the_paper_s_size():
    noise = jax.ShapeDtypeStruct((1, 2), jnp.float32)
    for shape in ((28, 28, 1), (32, 32, 3)):
        assert nets.output_shape(nets.ConvGenerator(shape), noise) == (1, *shape)
