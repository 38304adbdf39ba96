"""A pool of candidates split over devices, against plain NumPy and against one device."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxgen import losses, parallel
from jaxgen.losses import candidate_pool

MESH = functools.partial(jax.make_mesh, (4,), (parallel.AXIS,), (jax.sharding.AxisType.Auto,))
NEAR, SHARE = 0.7, 0.3  # weights of both parts of the loss


def over_devices(transform, function):
    """`function(params, noise, x)`, whose results are equal on all devices; noise and targets are split over them."""
    if transform == "pmap":
        mapped = jax.pmap(function, parallel.AXIS, in_axes=(None, 0, 0), out_axes=None)
        split = lambda rows: rows.reshape(4, -1, rows.shape[1])
        return lambda params, noise, x: mapped(params, split(noise), split(x))
    specs = P(), P(parallel.AXIS), P(parallel.AXIS)
    checked = transform == "checked shard_map"
    return jax.jit(jax.shard_map(function, mesh=MESH(), in_specs=specs, out_specs=P(), check_vma=checked))


TRANSFORMS = pytest.mark.parametrize("transform", ["pmap", "shard_map", "checked shard_map"])


def linear(params, noise):
    return noise @ params["samples"], noise @ params["logit"]


def by_hand(params, noise, x):
    """Loss and gradient of a linear generator in double precision, one target and one candidate at a time."""
    samples, logits = noise @ params["samples"], noise @ params["logit"]
    exponentials = [np.exp(logit) for logit in logits]
    share = np.array(exponentials) / sum(exponentials)
    value, by_samples, by_logit = 0.0, np.zeros_like(params["samples"]), np.zeros_like(params["logit"])
    for target in x:
        squared = [sum((a - b) ** 2 for a, b in zip(target, sample, strict=True)) for sample in samples]
        j = int(np.argmin(squared))
        value += (NEAR * squared[j] - SHARE * np.log(share[j])) / len(x)
        by_samples += NEAR * np.outer(noise[j], 2 * (samples[j] - target)) / len(x)
        by_logit += SHARE * (share @ noise - noise[j]) / len(x)
    return value, {"samples": by_samples, "logit": by_logit}


def loss(generate, params, noise, x, **named):
    parts = losses.extreme_value_pool(lambda z: generate(params, z), noise, x, **named)
    return jnp.mean(NEAR * parts.distance + SHARE * parts.cross_entropy)


def mean_gradient(generate, chunk, params, noise, x, axis_name=parallel.AXIS):
    """Loss and gradient as `GradientStep` takes them."""
    mean = lambda params: parallel.mean(loss(generate, params, noise, x, chunk=chunk, axis_name=axis_name), axis_name)
    value, gradient = jax.value_and_grad(mean)(params)
    return value, parallel.mean(gradient, axis_name)


def problem(d, n=32, b=8):
    random = np.random.default_rng(d)
    params = {"samples": random.normal(size=(5, d)), "logit": random.normal(size=5)}
    return params, random.normal(size=(n, 5)), 2 * random.normal(size=(b, d))


@TRANSFORMS
@pytest.mark.parametrize(("d", "chunk"), [(3, None), (20, 4)])
def test_value_and_gradient_over_devices_are_those_of_a_loop_over_the_whole_pool(transform, d, chunk):
    arguments = problem(d)
    value, gradient = by_hand(*arguments)
    with jax.enable_x64(True):
        run = over_devices(transform, functools.partial(mean_gradient, linear, chunk))
        found, slopes = run(*jax.tree.map(jnp.asarray, arguments))
    np.testing.assert_allclose(found, value, rtol=1e-12)
    for name, expected in gradient.items():
        np.testing.assert_allclose(slopes[name], expected, rtol=1e-10, atol=1e-12, err_msg=name)


def curved(params, noise):
    """A trunk that samples and logits share, and a head of the logits' own."""
    hidden = jnp.tanh(noise @ params["trunk"])
    return hidden @ params["samples"], hidden @ params["logit"] + jnp.tanh(noise @ params["head"])[:, 0]


@TRANSFORMS
def test_single_precision_over_devices_equals_one_device(transform):
    random = np.random.default_rng(0)
    shapes = {"trunk": (5, 16), "samples": (16, 12), "logit": (16,), "head": (5, 1)}
    params = {name: jnp.float32(random.normal(size=shape)) for name, shape in shapes.items()}
    noise, x = (jnp.float32(random.normal(size=shape)) for shape in ((64, 5), (8, 12)))
    value, gradient = jax.jit(functools.partial(mean_gradient, curved, 16, axis_name=None))(params, noise, x)
    found, slopes = over_devices(transform, functools.partial(mean_gradient, curved, 8))(params, noise, x)
    np.testing.assert_allclose(found, value, rtol=1e-6)
    for name, expected in gradient.items():
        np.testing.assert_allclose(slopes[name], expected, atol=1e-6 * np.abs(expected).max(), err_msg=name)


@TRANSFORMS
def test_pieces_that_fit_into_the_cache_change_nothing(transform, monkeypatch):
    """Chunks of 8 are generated two at a time, also within a loop of a checked shard_map."""
    monkeypatch.setattr(candidate_pool, "CACHE", 2 * 12 * 8)
    monkeypatch.setattr(candidate_pool, "SMALLEST_PIECE", 1)
    arguments = problem(12)
    value, gradient = by_hand(*arguments)
    sizes = []

    def watched(params, noise):
        sizes.append(len(noise))
        return linear(params, noise)

    with jax.enable_x64(True):
        run = over_devices(transform, functools.partial(mean_gradient, watched, 8))
        found, slopes = run(*jax.tree.map(jnp.asarray, arguments))
    assert 2 in sizes
    np.testing.assert_allclose(found, value, rtol=1e-12)
    for name, expected in gradient.items():
        np.testing.assert_allclose(slopes[name], expected, rtol=1e-10, atol=1e-12, err_msg=name)


def looked_up(table, noise, x):
    """Both parts of the loss where candidates are the noise, whose first number is their position in the table."""
    generate = lambda z: (z[:, 1:], table[z[:, 0].astype(int)])
    parts = losses.extreme_value_pool(generate, noise, x, chunk=2, axis_name=parallel.AXIS)
    return parallel.gather_constant(parts, parallel.AXIS)


@TRANSFORMS
def test_of_equally_near_candidates_the_first_wins_on_any_device(transform):
    """Logits differ, so the cross-entropy names the winner; copies lie on other devices and in other chunks."""
    points = np.float32([5, 1, 3, 3, 1, 3, 0, 7, 7, 0, 5, 5, 1, 0, 3, 9])
    noise = np.stack([np.arange(16), points], 1).astype(np.float32)
    table, x = np.linspace(-1, 2, 16, dtype=np.float32), np.float32([0, 1, 3, 5, 7, 9, 8, 2])[:, None]
    first = [int(np.argmin((points - target) ** 2)) for target in x[:, 0]]
    distance, cross_entropy = over_devices(transform, looked_up)(table, noise, x)
    expected = np.log(np.exp(table.astype(float)).sum()) - table[first]
    np.testing.assert_allclose(cross_entropy, expected, rtol=1e-6)
    np.testing.assert_array_equal(distance, (points[first] - x[:, 0]) ** 2)


@pytest.mark.parametrize("offset", [-1e8, 1e8])
def test_logits_have_any_constant_over_devices(offset):
    noise = np.stack([np.arange(16), np.arange(16)], 1).astype(np.float32)
    table, x = np.float32(np.arange(16) % 5 * 8), np.arange(8, dtype=np.float32)[:, None] * 2
    expected = np.log(np.exp(table.astype(float)).sum()) - table[::2]
    found = over_devices("pmap", looked_up)(table + np.float32(offset), noise, x)
    np.testing.assert_allclose(found.cross_entropy, expected, rtol=1e-5, atol=1e-6)


def test_nan_on_one_device_shows_up_in_every_target():
    noise = np.stack([np.arange(16), np.arange(16)], 1).astype(np.float32)
    noise[9, 1] = np.nan
    found = over_devices("pmap", looked_up)(np.zeros(16, np.float32), noise, np.zeros((8, 1), np.float32))
    assert np.isnan(found.distance).all()


def test_gradients_with_respect_to_targets_and_noise_over_devices():
    params, noise, x = jax.tree.map(np.float32, problem(12))

    def slopes(axis_name, params, noise, x):
        """Gradients of the mean over all targets with respect to this device's rows."""
        of = lambda noise, x: parallel.mean(loss(linear, params, noise, x, chunk=4, axis_name=axis_name), axis_name)
        return parallel.gather_constant(jax.grad(of, (0, 1))(noise, x), axis_name)

    expected = jax.jit(functools.partial(slopes, None))(params, noise, x)
    found = over_devices("checked shard_map", functools.partial(slopes, parallel.AXIS))(params, noise, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)
    assert all(np.any(part) for part in expected)
