"""MMD estimators against double loops, their gradients, invariances and expectations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen import losses, parallel

GENERATOR = np.random.default_rng(0)
ESTIMATES = {
    "unbiased": losses.mmd2,
    "in chunks": functools.partial(losses.mmd2, chunk=3),
    "biased": losses.mmd2_biased,
    "biased, in chunks": functools.partial(losses.mmd2_biased, chunk=3),
    "linear": losses.mmd2_linear,
}
EVERY = pytest.mark.parametrize("name", ESTIMATES)
UNBIASED = pytest.mark.parametrize("name", ["unbiased", "in chunks", "linear"])


def kernel(a, b, r):
    return np.exp(-np.sum((a - b) ** 2) / r)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def loop(name, x, y, r):
    """The estimate by its definition, in double precision."""
    if name == "linear":
        pairs = range(0, len(x) // 2 * 2, 2)
        within = lambda i: kernel(x[i], x[i + 1], r) + kernel(y[i], y[i + 1], r)
        return mean(within(i) - kernel(x[i], y[i + 1], r) - kernel(x[i + 1], y[i], r) for i in pairs)
    own = lambda z: mean(
        kernel(a, b, r) for i, a in enumerate(z) for j, b in enumerate(z) if i != j or name.startswith("biased")
    )
    return own(x) + own(y) - 2 * mean(kernel(a, b, r) for a in x for b in y)


def samples(name, n=8, m=5, d=2):
    return GENERATOR.normal(size=(n, d)), 0.5 + GENERATOR.normal(size=(n if name == "linear" else m, d))


@EVERY
@pytest.mark.parametrize("d", [2, 12])
def test_equal_to_a_double_loop(name, d):
    x, y = samples(name, d=d)
    bandwidths = np.array([[0.3, 1.0], [2.5, 30.0]])
    expected = [[loop(name, x, y, r) for r in row] for row in bandwidths]
    estimate = jax.jit(ESTIMATES[name])
    found = estimate(jnp.float32(x), jnp.float32(y), bandwidth=jnp.float32(bandwidths))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with jax.enable_x64(True):
        found = estimate(jnp.asarray(x), jnp.asarray(y), bandwidth=jnp.asarray(bandwidths))
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["in chunks", "linear"])
def test_gradients_are_those_of_finite_differences(name):
    x, y = samples(name, n=4, m=3)
    with jax.enable_x64(True):
        value = jax.jit(lambda x, y, r: ESTIMATES[name](x, y, bandwidth=r))
        check_grads(value, (jnp.asarray(x), jnp.asarray(y), jnp.asarray(1.3)), order=2, modes=("fwd", "rev"))


def test_each_gradient_alone_equals_the_plain_formula():
    x, y = (jnp.float32(rows) for rows in samples("unbiased", n=7, m=6))

    def plain(x, y, r):
        entries = lambda a, b: jnp.exp(-jnp.sum((a[:, None] - b[None]) ** 2, -1) / r)
        own = lambda z: (jnp.sum(entries(z, z)) - len(z)) / (len(z) * (len(z) - 1))
        return own(x) + own(y) - 2 * jnp.mean(entries(x, y))

    ours = lambda x, y, r: losses.mmd2(x, y, bandwidth=r, chunk=2)
    for which in (0, 1, 2, (0, 1, 2)):
        expected, found = (jax.jit(jax.value_and_grad(estimate, which))(x, y, 1.5) for estimate in (plain, ours))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), expected, found)


@EVERY
def test_invariances(name):
    x, y = (jnp.float32(rows) for rows in samples(name, m=8))
    x, y = np.asarray(x), np.asarray(y)
    bandwidth = jax.jit(ESTIMATES[name])
    estimate = functools.partial(bandwidth, bandwidth=1.0)
    first = estimate(x, y)
    rotation = np.float32(np.linalg.qr(GENERATOR.normal(size=(2, 2)))[0])
    for other in (estimate(y, x), estimate(x + 50, y + 50), estimate(x @ rotation, y @ rotation)):
        np.testing.assert_allclose(other, first, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(bandwidth(3 * x, 3 * y, bandwidth=9.0), first, rtol=1e-4, atol=1e-6)
    if name != "linear":
        np.testing.assert_allclose(estimate(x[::-1], y), first, rtol=1e-4, atol=1e-6)


@UNBIASED
def test_the_mean_is_zero_for_equal_distributions(name):
    x, y = jnp.float32(GENERATOR.normal(size=(2, 4000, 6, 2)))
    found = np.float64(jax.jit(jax.vmap(functools.partial(ESTIMATES[name], bandwidth=1.0)))(x, y))
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(len(found))


@UNBIASED
def test_the_mean_is_the_discrepancy_in_closed_form(name):
    # Differences between N(0, 1) and N(1, 1) are normal with variance 2, so E exp(-t^2 / r) is known.
    r, shift = 1.5, 1.0
    mean = lambda m: np.sqrt(r / (r + 4)) * np.exp(-(m**2) / (r + 4))
    x, y = jnp.float32(GENERATOR.normal(size=(2, 4000, 6, 1)))
    found = np.float64(jax.jit(jax.vmap(functools.partial(ESTIMATES[name], bandwidth=r)))(x, np.asarray(y) + shift))
    assert abs(found.mean() - 2 * (mean(0) - mean(shift))) < 4 * found.std() / np.sqrt(len(found))


def test_the_biased_one_is_never_negative_and_zero_for_equal_samples():
    x, y = jnp.float32(GENERATOR.normal(size=(2, 500, 5, 2)))
    estimate = jax.jit(jax.vmap(functools.partial(losses.mmd2_biased, bandwidth=1.0)))
    assert (np.asarray(estimate(x, y)) > 0).all()
    np.testing.assert_allclose(estimate(x, x), 0, atol=1e-6)


def test_the_median_bandwidth_is_that_of_both_samples_pooled_and_has_no_gradient():
    x, y = (jnp.float32(rows) for rows in samples("unbiased"))
    pairs = lambda z: [np.sum((a - b) ** 2) for i, a in enumerate(z) for b in z[:i]]
    median = jax.jit(losses.median_bandwidth)
    np.testing.assert_allclose(median(x, y), np.median(pairs(np.concatenate([x, y]))), rtol=1e-5)
    np.testing.assert_allclose(median(y), np.median(pairs(np.asarray(y))), rtol=1e-5)
    loss = lambda x, r: losses.mmd2(x, y, bandwidth=r)
    found = jax.jit(jax.grad(lambda x: loss(x, losses.median_bandwidth(x, y))))(x)
    np.testing.assert_allclose(found, jax.jit(jax.grad(loss))(x, median(x, y)), rtol=1e-5)


@EVERY
def test_many_devices_equal_one_device_with_all_rows(name):
    x, y = (jnp.float32(rows) for rows in samples(name, n=16, m=8))
    estimate = functools.partial(ESTIMATES[name], bandwidth=jnp.float32([0.5, 2.0]))

    def share(scale, x, y):
        value = lambda scale: jnp.sum(estimate(scale[None] * x, y, axis_name=parallel.AXIS))
        return parallel.mean(jax.value_and_grad(value)(scale), parallel.AXIS)

    parts = lambda rows: rows.reshape(4, -1, 2)
    scale = jnp.float32([1.1, 0.7])
    everywhere = jax.pmap(share, axis_name=parallel.AXIS, in_axes=(None, 0, 0))
    found, gradient = everywhere(scale, parts(x), parts(y))
    expected, slope = jax.jit(jax.value_and_grad(lambda scale: jnp.sum(estimate(scale[None] * x, y))))(scale)
    np.testing.assert_allclose(found, [expected] * 4, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, [slope] * 4, rtol=1e-4, atol=1e-6)


def test_fifty_thousand_points_fit_into_a_gibibyte():
    rows = jax.ShapeDtypeStruct((50_000, 2), jnp.float32)
    value = jax.value_and_grad(lambda x, y: losses.mmd2(x, y, bandwidth=losses.median_bandwidth(x, y)), (0, 1))
    needed = jax.jit(value).lower(rows, rows).compile().memory_analysis()
    assert needed.temp_size_in_bytes < 2**29  # 252 MiB, and 301 as CI compiles; a whole kernel matrix needs 10,000


@pytest.mark.parametrize(
    ("estimate", "x", "y", "message"),
    [
        (losses.mmd2, (1, 2), (4, 2), r"2 or more rows each \(got 1 and 4 rows"),
        (losses.mmd2, (4, 2), (4, 3), r"same width .*\(4, 2\) and \(4, 3\)|d=2"),
        (losses.mmd2_biased, (0, 2), (4, 2), r"1 or more rows each \(got 0 and 4 rows"),
        (losses.mmd2_linear, (4, 2), (6, 2), "as many rows|n=4"),
        (losses.mmd2_linear, (1, 2), (1, 2), "2 or more rows"),
    ],
)
def test_bad_samples_raise(estimate, x, y, message):
    with pytest.raises((ValueError, TypeError), match=message):
        estimate(jnp.ones(x), jnp.ones(y), bandwidth=1.0)


@EVERY
def test_sums_over_pairs_are_precise_for_low_precision_rows(name):
    x, y = GENERATOR.integers(0, 3, (2, 300, 1))
    estimate = jax.jit(ESTIMATES[name])
    expected = estimate(jnp.float32(x), jnp.float32(y), bandwidth=0.5)
    for dtype in (jnp.float16, jnp.bfloat16):
        found = estimate(jnp.asarray(x, dtype), jnp.asarray(y, dtype), bandwidth=0.5)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_row_has_no_median(unchecked):
    assert losses.median_bandwidth(jnp.array([[1.0], [1.0], [1.0], [2.0]])) == 0.5
    assert losses.median_bandwidth(jnp.array([[1.0], [1.0], [1.0], [1.0], [2.0]])) == 0  # most pairs are equal
    with pytest.raises(ValueError, match=r"\[n, d\] and \[m, d\]"):
        losses.median_bandwidth(jnp.ones(3))
    with pytest.raises(ValueError, match="at least two rows"):
        losses.median_bandwidth(jnp.ones((1, 2)))


@EVERY
def test_a_bandwidth_that_is_not_positive_gives_nan(name):
    x = jnp.asarray(np.linspace(0, 1, 12, dtype=np.float32).reshape(6, 2))
    estimate = jax.jit(lambda r: ESTIMATES[name](x, x + 1, bandwidth=r))
    found = np.asarray(estimate(jnp.array([-1.0, 0.0, 0.5, jnp.nan, -0.0, 2.0])))
    np.testing.assert_array_equal(np.isnan(found), [True, True, False, True, True, False])
    assert np.isnan(ESTIMATES[name](x, x + 1, bandwidth=0.0))
    # As a constant of a compiled program too.
    value, gradient = jax.jit(jax.value_and_grad(lambda x: ESTIMATES[name](x, x + 1, bandwidth=-1.0)))(x)
    assert np.isnan(value)
    assert np.isnan(gradient).all()
