"""Extreme value loss against plain NumPy, and the chunked pool against automatic differentiation of the whole pool."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import losses


def by_hand(x, samples, log_weights, power):
    """One target at a time."""
    distance, cross_entropy = np.zeros(len(x)), np.zeros(len(x))
    for i, target in enumerate(x):
        lengths = [
            np.sqrt(sum((a - b) ** 2 for a, b in zip(target, candidate, strict=True))) for candidate in samples[i]
        ]
        j = int(np.argmin(lengths))
        distance[i] = lengths[j] ** power
        cross_entropy[i] = np.log(np.sum(np.exp(log_weights[i]))) - log_weights[i][j]
    return distance, cross_entropy


VALUES = jax.jit(losses.extreme_value, static_argnames="power")
NEAREST = jax.jit(losses.nearest, static_argnames="chunk")


@pytest.fixture
def triple():
    generator = np.random.default_rng(0)
    return generator.normal(size=(7, 3)), generator.normal(size=(7, 11, 3)), generator.normal(size=(7, 11))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_separate_candidates_equal_a_double_loop(triple, power):
    found = VALUES(*map(np.float32, triple), power=power)
    for part, expected in zip(found, by_hand(*triple, power), strict=True):
        np.testing.assert_allclose(part, expected, rtol=2e-5)


def test_a_pool_equals_the_same_candidates_for_each_target(triple):
    x, samples, log_weights = (np.float32(a) for a in triple)
    pool = VALUES(x, samples[0], log_weights[0])
    own = VALUES(x, np.tile(samples[:1], (7, 1, 1)), np.tile(log_weights[:1], (7, 1)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), pool, own)


def test_leading_axes_are_free(triple):
    x, samples, log_weights = (np.float32(a) for a in triple)
    one = VALUES(x[3], samples[3], log_weights[3])
    many = VALUES(x[:, None], samples[:, None], log_weights[:, None])
    assert one.distance.shape == ()
    assert many.distance.shape == (7, 1)
    np.testing.assert_allclose(one.distance, many.distance[3, 0], rtol=1e-6)
    np.testing.assert_allclose(one.cross_entropy, many.cross_entropy[3, 0], rtol=1e-6)


def test_order_of_candidates_does_not_matter(triple):
    x, samples, log_weights = (np.float32(a) for a in triple)
    mixed = np.random.default_rng(1).permutation(11)
    a = VALUES(x, samples, log_weights)
    b = VALUES(x, samples[:, mixed], log_weights[:, mixed])
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-6), a, b)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_an_exact_candidate_has_zero_distance_and_a_finite_gradient(power):
    x, samples = jnp.asarray(np.ones((2, 3), np.float32)), np.full((3, 4), np.arange(4), np.float32).T
    far = lambda samples: losses.extreme_value(x, samples, jnp.zeros(4), power=power).distance.sum()
    distance, slope = jax.jit(jax.value_and_grad(far))(samples)
    assert distance == 0
    assert np.all(np.asarray(slope) == 0)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((5, 3), (5, 4, 2), (5, 4)), r"must have shapes \[..., d\]"),
        (((5, 3), (5, 4, 3), (5, 3)), r"must have shapes \[..., d\]"),
        (((5, 3), (4, 4, 3), (4, 4)), "one set for each target"),
        (((5, 3), (1, 4, 3), (1, 4)), "one set for each target"),
    ],
)
def test_mismatched_shapes_raise(shapes, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(losses.extreme_value)(*map(jnp.zeros, shapes))  # bypasses the annotation check of the tests


def networks(head_of_its_own, width=6, d=3):
    """Parameters and a generator of two layers, in plain JAX."""
    generator = np.random.default_rng(0)
    shapes = {"trunk": (4, width), "out": (width, d), "logit": (width,), "head": (4, width)}
    params = {name: np.float32(generator.normal(size=shape)) for name, shape in shapes.items()}

    def generate(params, noise):
        hidden = jnp.tanh(noise @ params["trunk"])
        other = jnp.tanh(noise @ params["head"]) if head_of_its_own else hidden
        return hidden @ params["out"], other @ params["logit"]

    return params, generate


@functools.cache
def full_autodiff(head_of_its_own, d):
    """Networks, noise and targets in double precision, the loss with all distances in memory, and its gradient."""
    params, generate = networks(head_of_its_own, d=d)
    params, generator = jax.tree.map(np.float64, params), np.random.default_rng(1)
    noise, x = jnp.asarray(generator.normal(size=(64, 4))), jnp.asarray(2 * generator.normal(size=(10, d)))

    @jax.jit
    @jax.value_and_grad
    def whole(params):
        samples, logits = generate(params, noise)
        squared = jnp.sum((x[:, None] - samples[None]) ** 2, -1)
        index = jnp.argmin(squared, 1)
        cross_entropy = jax.nn.logsumexp(logits) - logits[index]
        return jnp.mean(jnp.take_along_axis(squared, index[:, None], 1)[:, 0] + 0.7 * cross_entropy)

    return params, generate, noise, x, whole(params)


@pytest.mark.parametrize("head_of_its_own", [False, True])
@pytest.mark.parametrize("chunk", [None, 64, 8, 1])
@pytest.mark.parametrize("d", [3, 20])
def test_pool_gradient_equals_full_autodiff_in_double_precision(head_of_its_own, chunk, d):
    with jax.enable_x64(True):
        params, generate, noise, x, (a, da) = full_autodiff(head_of_its_own, d)

        def chunked(params):
            parts = losses.extreme_value_pool(lambda z: generate(params, z), noise, x, chunk=chunk)
            return jnp.mean(parts.distance + 0.7 * parts.cross_entropy)

        b, db = jax.jit(jax.value_and_grad(chunked))(params)
        np.testing.assert_allclose(a, b, rtol=1e-12)
        for name, gradient in da.items():
            scale = max(np.abs(gradient).max(), 1.0)
            np.testing.assert_allclose(db[name], gradient, atol=1e-10 * scale, err_msg=name)
        assert head_of_its_own == bool(np.any(da["head"]))  # the head has a gradient only if it is used


def test_gradient_through_winners_alone_would_be_wrong():
    """Without the rematerialized normalizer the gradient of the shared trunk would be wrong."""
    params, generate = networks(False)
    generator = np.random.default_rng(1)
    noise, x = (jnp.float32(generator.normal(size=size)) for size in ((64, 4), (10, 3)))

    @jax.jit
    @jax.grad
    def right(params):
        return jnp.mean(losses.extreme_value_pool(lambda z: generate(params, z), noise, x, chunk=16).cross_entropy)

    @jax.jit
    @jax.grad
    def wrong(params):
        index, _ = losses.nearest(x, generate(params, noise)[0])
        return jnp.mean(-generate(params, noise[index])[1])

    a, b = right(params)["trunk"], wrong(params)["trunk"]
    assert np.linalg.norm(a - b) > 0.5 * np.linalg.norm(a)


@pytest.mark.parametrize("d", [1, 3, 8, 9, 50])
@pytest.mark.parametrize("chunk", [None, 10, 1])
def test_nearest_equals_a_double_loop(d, chunk):
    generator = np.random.default_rng(d)
    x, pool = (generator.normal(size=(n, d)).astype(np.float32).astype(float) for n in (20, 40))
    squared = np.array([[np.sum((a - b) ** 2) for b in pool] for a in x])
    index, distance = NEAREST(np.float32(x), np.float32(pool), chunk=chunk)
    np.testing.assert_array_equal(index, squared.argmin(1))
    np.testing.assert_allclose(distance, squared.min(1), rtol=1e-5)


@pytest.mark.parametrize("chunk", [None, 2])
def test_nearest_takes_the_first_of_equals(chunk):
    pool = np.float32([[3], [1], [1], [-1]])
    index, distance = NEAREST(np.zeros((1, 1), np.float32), pool, chunk=chunk)
    assert (int(index[0]), float(distance[0])) == (1, 1.0)


@pytest.mark.parametrize("chunk", [None, 1])
def test_nan_is_propagated(chunk):
    pool, zeros = np.float32([[5], [np.nan], [0.1]]), lambda *shape: np.zeros(shape, np.float32)
    _, distance = NEAREST(zeros(2, 1), pool, chunk=chunk)
    assert np.isnan(distance).all()
    own = VALUES(zeros(1, 1), pool[None], zeros(1, 3))
    assert np.isnan(own.distance).all()


def test_nearest_keeps_its_precision_far_from_the_origin():
    """A product of coordinates of 1,000 would round away distances of 0.01; the common center is subtracted first."""
    generator = np.random.default_rng(0)
    x, pool = 1000 + generator.normal(size=(50, 20)), 1000 + generator.normal(size=(500, 20))
    x32, pool32 = np.float32(x), np.float32(pool)
    squared = ((x32[:, None].astype(float) - pool32[None]) ** 2).sum(-1)
    index, _ = NEAREST(x32, pool32)
    chosen = np.take_along_axis(squared, np.asarray(index)[:, None], 1)[:, 0]
    np.testing.assert_allclose(chosen, squared.min(1), rtol=1e-4)


@pytest.mark.parametrize("d", [1, 8, 9, 1000])
def test_nearest_is_exact_for_every_target(d):
    """Far targets, far candidates, two clusters, equal rows: each neighbor is that of a loop in double precision."""
    generator = np.random.default_rng(d)
    x, pool = (generator.normal(size=(n, d)).astype(np.float32) for n in (24, 60))
    x[0], x[5] = 1e6, 1e6 * x[5]
    x[6:9] += 1e4
    pool[30:40] += 1e4
    pool[7] *= 1e7
    pool[20] = pool[19]
    x[11] = pool[20]
    expected = [((row.astype(float) - pool.astype(float)) ** 2).sum(-1).argmin() for row in x]
    for chunk in (None, 20):
        index, _ = NEAREST(x, pool, chunk=chunk)
        np.testing.assert_array_equal(index, expected)


@functools.partial(jax.jit, static_argnums=3)
def looked_up(logits, noise, x, chunk):
    """Loss of a pool whose candidates are the noise, and whose logits are looked up by it."""
    return losses.extreme_value_pool(lambda z: (z, logits[z[:, 0].astype(int)]), noise, x, chunk=chunk)


@pytest.mark.parametrize("offset", [1e4, -1e8, 1e8])
def test_logits_have_any_constant(offset):
    logits = np.float32([0, -8, 16, 0, 8, -24])  # exact at 1e8, where floats are 8 apart
    noise, x = np.arange(6, dtype=np.float32)[:, None], np.float32([[0.2], [4.9], [1.1]])
    shifted = logits + np.float32(offset)
    expected = np.log(np.exp(logits.astype(float)).sum()) - logits[[0, 5, 1]]
    for chunk in (None, 2):
        found = looked_up(shifted, noise, x, chunk)
        np.testing.assert_allclose(found.cross_entropy, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(VALUES(x, noise, shifted).cross_entropy, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("power", [-1.0, 0.0, float("nan"), float("inf")])
def test_the_power_must_be_positive(power):
    x = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match="`power` must be positive"):
        losses.extreme_value(x, x, jnp.zeros(2), power=power)
    with pytest.raises(ValueError, match="`power` must be positive"):
        losses.extreme_value_pool(lambda z: (z, z[:, 0]), x, x, power=power)


@pytest.mark.optimized
def test_memory_does_not_grow_with_the_pool():
    """Temporaries of the compiled gradient for pools of 2 and 32 chunks; only the noise may grow."""

    def temporaries(n):
        params, generate = networks(True, width=32, d=16)
        loss = lambda params, noise, x: jnp.mean(
            sum(losses.extreme_value_pool(lambda z: generate(params, z), noise, x, chunk=256))
        )
        arguments = params, np.zeros((n, 4), np.float32), np.zeros((10, 16), np.float32)
        analysis = jax.jit(jax.grad(loss)).lower(*arguments).compile().memory_analysis()
        return analysis.temp_size_in_bytes - 2 * n * 4 * 4  # noise, cut into chunks; vectors of the pool's length

    assert temporaries(32 * 256) < 1.5 * temporaries(2 * 256)


@pytest.mark.parametrize("chunk", [0, 7, -2])
def test_a_chunk_that_does_not_divide_raises(chunk):
    with pytest.raises(ValueError, match=r"must divide the number of rows \(got .* 16 rows"):
        losses.nearest(jnp.zeros((2, 3)), jnp.zeros((16, 3)), chunk=chunk)
    with pytest.raises(ValueError, match="`generate` must return"):  # a column of logits would broadcast silently
        losses.extreme_value_pool(lambda z: (z, z[:, :1]), jnp.zeros((16, 3)), jnp.zeros((2, 3)), chunk=None)
    with pytest.raises(ValueError, match=r"must divide the number of rows \(got .* 16 rows"):
        losses.extreme_value_pool(lambda z: (z, z[:, 0]), jnp.zeros((16, 3)), jnp.zeros((2, 3)), chunk=chunk)


@pytest.mark.parametrize("shapes", [((3,), (16, 3)), ((2, 3), (3,)), ((2, 2, 3), (16, 3))])
def test_nearest_needs_matrices(unchecked, shapes):
    x, pool = map(jnp.zeros, shapes)
    message = r"must be matrices, \[b, d\] and \[n, d\] \(got .*\); for one row give x\[None\]"
    with pytest.raises(ValueError, match=message):
        losses.nearest(x, pool)
