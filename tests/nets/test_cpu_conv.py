"""`convolve` equals `jax.lax.conv_general_dilated` in values, gradients and second derivatives."""

import functools
import itertools
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets, parallel
from jaxgen.nets.cpu_conv import convolution

pytestmark = pytest.mark.optimized  # its barriers guard against XLA's optimizations
LAYOUT = ("NHWC", "HWIO", "NHWC")
KINDS = {
    f"{padding} stride {strides} kernel {kernel} dilations {dilations}": (padding, strides, kernel, dilations)
    for padding, strides, kernel, dilations in [
        *itertools.product(["SAME", "VALID"], [(1, 1), (3, 2)], [(3, 3), (4, 2)], [((1, 1), (1, 1))]),
        ("SAME", (1, 1), (1, 1), ((1, 1), (1, 1))),
        ("SAME", (1, 1), (3, 3), ((1, 1), (2, 1))),
        (((1, 1), (2, 2)), (2, 1), (3, 3), ((2, 3), (1, 1))),
        (((3, 0), (1, 2)), (1, 2), (3, 3), ((1, 2), (1, 2))),
        (((4, 5), (0, 0)), (1, 1), (3, 3), ((1, 1), (1, 1))),  # more padding than the kernel is long
        (((2, 3), (2, 2)), (1, 1), (5, 5), ((2, 2), (1, 1))),  # transposed, with odd and even phases
        (((2, 2), (-1, 1)), (1, 1), (4, 3), ((2, 3), (1, 1))),
    ]
}
SMALL = {  # fewer pixels than the kernel
    "stride": (((2, 2), (2, 2)), (2, 2), (5, 5), ((1, 1), (1, 1))),
    "transposed": (((2, 3), (2, 3)), (1, 1), (5, 5), ((2, 2), (1, 1))),
    "dilated kernel": (((2, 2), (2, 3)), (1, 2), (3, 3), ((1, 1), (2, 1))),
    "dilated images and kernel": (((3, 2), (2, 2)), (1, 1), (3, 3), ((2, 1), (1, 2))),
}
THIN = {  # many features to one or three channels
    "one channel": (("SAME", (1, 1), (4, 3), ((1, 1), (1, 1))), 1),
    "three channels": ((((2, -1), (0, 3)), (1, 1), (3, 3), ((1, 1), (1, 1))), 3),
    "transposed": ((((1, 1), (1, 1)), (1, 1), (3, 3), ((2, 1), (1, 1))), 1),
}


def pair(kind, dtype, size=(9, 8), features=(2, 4)):
    padding, strides, kernel, (spread, dilation) = kind
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(3, *size, features[0])), dtype)
    w = jnp.asarray(generator.normal(size=(*kernel, *features)), dtype)
    how = {"lhs_dilation": spread, "rhs_dilation": dilation, "dimension_numbers": LAYOUT}
    return x, w, lambda f: functools.partial(f, window_strides=strides, padding=padding, **how)


def measures(f, x, w, *, twice=True):
    """Return the value, the gradients of a nonlinear loss, and the gradients of a gradient penalty."""
    loss = lambda x, w: jnp.sum(jnp.tanh(f(x, w)))
    gradient = jax.grad(loss, (0, 1))
    penalty = lambda x, w: sum(jnp.sum(jnp.sin(g)) for g in gradient(x, w))
    return f(x, w), gradient(x, w), jax.grad(penalty, (0, 1))(x, w) if twice else None


# The quick tests have each padding, stride and kernel size once; the slow ones have every pair.
QUICK_KINDS = [kind for number, kind in enumerate(KINDS) if number not in (1, 2, 4, 7)]
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize("kind", [kind if kind in QUICK_KINDS else SLOW(kind) for kind in KINDS])
def test_equals_lax_up_to_second_derivatives(kind):
    """Gradients are convolutions of other kinds, so second derivatives of some kinds test the gradients of all."""
    with jax.enable_x64(True):
        x, w, how = pair(KINDS[kind], np.float64)
        run = lambda f: jax.jit(lambda x, w: measures(how(f), x, w, twice=kind in list(KINDS)[::5]))(x, w)
        ours, theirs = run(nets.convolve), run(LAX)
        assert ours[0].dtype == np.float64
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), ours, theirs)


@pytest.mark.parametrize("kind", SMALL)
def test_images_smaller_than_the_kernel(kind):
    with jax.enable_x64(True):
        x, w, how = pair(SMALL[kind], np.float64, (2, 3))
        ours, theirs = (jax.jit(lambda x, w, f=f: measures(how(f), x, w))(x, w) for f in (nets.convolve, LAX))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), ours, theirs)


@pytest.mark.parametrize("kind", THIN)
def test_kernels_with_few_outputs(kind):
    how, channels = THIN[kind]
    with jax.enable_x64(True):
        x, w, how = pair(how, np.float64, features=(12, channels))
        ours, theirs = (jax.jit(lambda x, w, f=f: measures(how(f), x, w))(x, w) for f in (nets.convolve, LAX))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10), ours, theirs)


LAX = jax.lax.conv_general_dilated


def test_half_precision_has_no_additional_rounding():
    x, w = (
        jnp.asarray(np.random.default_rng(0).normal(size=size), jnp.bfloat16)
        for size in ((20, 8, 8, 40), (5, 5, 40, 1))
    )
    same = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": LAYOUT}
    value = lambda f: jax.jit(functools.partial(f, **same))(x, w)
    slope = lambda f, x, w, g: jax.jit(lambda x, w, g: jax.vjp(lambda w: f(x, w, **same), w)[1](g)[0])(x, w, g)
    ours = value(nets.convolve)
    np.testing.assert_array_equal(ours, value(LAX))
    exact = slope(LAX, *(np.asarray(array, np.float32) for array in (x, w, ours)))
    error = lambda f: np.linalg.norm(np.asarray(slope(f, x, w, ours), np.float32) - np.asarray(exact))
    assert error(nets.convolve) <= 1.1 * error(LAX)


def test_output_is_empty_if_the_kernel_is_larger():
    x, w = jnp.ones((2, 5, 40, 60)), jnp.ones((7, 7, 60, 1))
    made = nets.convolve(x, w, (1, 1), "VALID", dimension_numbers=LAYOUT)
    assert made.shape == LAX(x, w, (1, 1), "VALID", dimension_numbers=LAYOUT).shape == (2, 0, 34, 1)


def test_kernel_gradient_splits_the_batch():
    """Every part has at least eight images, and the parts cover the batch."""
    for images in (1, 8, 15, 16, 50, 100):
        cuts = convolution._parts(jnp.zeros((images, 6, 6, 1)))
        assert cuts[0] == 0
        assert cuts[-1] == images
        assert len(cuts) == 2 or min(np.diff(cuts)) >= 8
    with jax.enable_x64(True):
        x, w = jnp.asarray(np.random.default_rng(0).normal(size=(19, 6, 7, 2))), jnp.ones((3, 3, 2, 4))
        loss = lambda f: lambda w: jnp.sum(jnp.sin(f(x, w, (1, 1), "SAME", dimension_numbers=LAYOUT)))
        ours, theirs = (jax.jit(jax.grad(loss(f)))(w) for f in (nets.convolve, LAX))
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_gradient_descent_in_a_scan():
    x, w, how = pair(("SAME", (1, 1), (3, 3), ((1, 1), (1, 1))), np.float32)
    step = lambda f: lambda w, _: (w - 0.01 * jax.grad(lambda w: jnp.sum(jnp.tanh(how(f)(x, w))))(w), None)
    ours, theirs = (jax.jit(lambda w, f=f: jax.lax.scan(step(f), w, length=5)[0])(w) for f in (nets.convolve, LAX))
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_equals_a_loop_in_numpy():
    x, w, how = pair(("VALID", (2, 1), (3, 3), ((1, 1), (1, 1))), np.float32)
    found = np.asarray(jax.jit(how(nets.convolve))(x, w))
    image, kernel = np.asarray(x, float), np.asarray(w, float)
    for i, j in np.ndindex(found.shape[1:3]):
        expected = np.einsum("nijc,ijcf->nf", image[:, 2 * i : 2 * i + 3, j : j + 3], kernel)
        np.testing.assert_allclose(found[:, i, j], expected, rtol=1e-5, atol=1e-5)


def test_kernels_under_vmap():
    x, w, how = pair(("SAME", (2, 2), (3, 3), ((1, 1), (1, 1))), np.float32)
    kernels = np.stack([w, 2 * np.asarray(w)])
    gradient = jax.jit(jax.grad(lambda w: jnp.sum(jnp.tanh(how(nets.convolve)(x, w)))))
    one_by_one = np.stack([gradient(w) for w in kernels])
    np.testing.assert_allclose(jax.jit(jax.vmap(gradient))(kernels), one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_flax_accepts_it_and_convolves_detects_it(groups):
    ours = nn.Conv(4, (3, 3), 2, feature_group_count=groups, conv_general_dilated=nets.convolve)
    theirs = nn.Conv(4, (3, 3), 2, feature_group_count=groups)
    x = jax.random.normal(jax.random.key(0), (2, 3, 8, 8, 2))  # two leading axes
    params = jax.jit(ours.init)(jax.random.key(1), x)
    np.testing.assert_allclose(*(jax.jit(net.apply)(params, x) for net in (ours, theirs)), rtol=1e-5, atol=1e-6)
    traced = jax.make_jaxpr(jax.grad(lambda p: jnp.sum(ours.apply(p, x))))(params)
    assert parallel.has_convolution(traced)


def lowered(f, *arguments, platform):
    return jax.jit(f).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


def convolutions(text):
    """Return the operands, settings and shapes of the convolutions of a lowered program."""
    lines = [line.split("convolution")[1] for line in text.splitlines() if "stablehlo.convolution" in line]
    return sorted(re.sub("%[0-9a-z_#]+", "%", line) for line in lines)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_the_plain_convolution(platform):
    x, w, how = pair(("SAME", (2, 2), (3, 3), ((1, 1), (1, 1))), np.float32)
    ours, plain = (
        functools.partial(measures, how(f), twice=False) for f in (nets.convolve, jax.lax.conv_general_dilated)
    )
    texts = {at: lowered(ours, x, w, platform=at) for at in (platform, "cpu")}
    expected = convolutions(lowered(plain, x, w, platform=platform))
    assert len(expected) == 4  # the value twice, and two gradients
    assert convolutions(texts[platform]) == expected
    assert convolutions(texts["cpu"]) != expected
    assert ["optimization_barrier" in text for text in texts.values()] == [False, True]


def test_the_default_device_does_not_matter(monkeypatch):
    x, w, how = pair(("SAME", (1, 1), (3, 3), ((1, 1), (1, 1))), np.float32)
    before = lowered(how(nets.convolve), x, w, platform="tpu")
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert convolutions(lowered(how(nets.convolve), x, w, platform="tpu")) == convolutions(before)


def test_other_layouts_use_lax():
    x, w, _ = pair(("SAME", (1, 1), (3, 3), ((1, 1), (1, 1))), np.float32)
    other = lambda x, w: nets.convolve(x.swapaxes(1, 3), w, (1, 1), "SAME", dimension_numbers=("NCHW", "HWIO", "NCHW"))
    assert "custom_vjp" not in str(jax.make_jaxpr(other)(x, w))
    assert other(x, w).shape[1] == 4


def test_halving_and_dense_layers():
    net = nets.ConvNet((3, 4), (6, 5))
    params = jax.jit(net.init)(jax.random.key(0), jnp.zeros((1, 7, 6, 2)))["params"]
    assert [p["kernel"].shape for p in (params["Conv_0"], params["Conv_1"])] == [(3, 3, 2, 3), (3, 3, 3, 4)]
    assert params["MLP_0"]["Dense_0"]["kernel"].shape == (2 * 2 * 4, 6)
    images = jax.ShapeDtypeStruct((2, 3, 7, 6, 2), jnp.float32)
    assert jax.eval_shape(net.apply, {"params": params}, images).shape == (2, 3, 5)
