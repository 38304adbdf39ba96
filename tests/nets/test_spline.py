"""Rational-quadratic splines, compared with a loop in double precision by the paper's formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets
from jaxgen.nets.spline import MIN_SHARE, MIN_SLOPE, rational_quadratic_spline, rational_quadratic_spline_inverse

BINS, BOUND = 5, 3.0


def parameters(rows, seed=0, scale=2.0):
    return scale * np.random.default_rng(seed).standard_normal((rows, 3 * BINS - 1))


def knots(raw):
    """Return knots and slopes of one spline, from its unbounded parameters."""
    share = lambda logits: MIN_SHARE + (1 - MIN_SHARE * BINS) * np.exp(logits) / np.exp(logits).sum()
    corners = [
        np.concatenate([[-BOUND], -BOUND + 2 * BOUND * np.cumsum(share(part))])
        for part in (raw[:BINS], raw[BINS : 2 * BINS])
    ]
    slopes = MIN_SLOPE + np.logaddexp(0, raw[2 * BINS :] + np.log(np.expm1(1 - MIN_SLOPE)))
    return corners[0], corners[1], np.concatenate([[1], slopes, [1]])


def spline_of(x, raw):
    """Return the spline at a number: equation 4 of Neural spline flows, one bin at a time."""
    xs, ys, slopes = knots(raw)
    if not -BOUND < x < BOUND:
        return x
    k = next(k for k in range(BINS) if x <= xs[k + 1] or k == BINS - 1)
    s, t = (ys[k + 1] - ys[k]) / (xs[k + 1] - xs[k]), (x - xs[k]) / (xs[k + 1] - xs[k])
    top = (ys[k + 1] - ys[k]) * (s * t**2 + slopes[k] * t * (1 - t))
    return ys[k] + top / (s + (slopes[k + 1] + slopes[k] - 2 * s) * t * (1 - t))


def test_spline_is_that_of_the_paper():
    raw = parameters(40)
    x = np.linspace(-1.3 * BOUND, 1.3 * BOUND, 40)
    with jax.enable_x64(True):
        y, log_slope = rational_quadratic_spline(jnp.asarray(x), jnp.asarray(raw), bound=BOUND)
        slope = jax.vmap(jax.grad(lambda x, raw: rational_quadratic_spline(x, raw, bound=BOUND)[0]))
        slopes = slope(jnp.asarray(x), jnp.asarray(raw))
    np.testing.assert_allclose(y, [spline_of(*pair) for pair in zip(x, raw, strict=True)], rtol=1e-12)
    step = 1e-6
    rises = [(spline_of(a + step, b) - spline_of(a - step, b)) / (2 * step) for a, b in zip(x, raw, strict=True)]
    np.testing.assert_allclose(np.exp(log_slope), rises, rtol=1e-5)
    np.testing.assert_allclose(log_slope, np.log(slopes), atol=1e-10)


def places(raw):
    """Return numbers in single precision, also at knots, next to them, at the ends and far outside."""
    xs = np.concatenate([knots(row)[0] for row in raw]).astype(np.float32)
    adjacent = [np.nextafter(xs, np.float32(sign * np.inf)) for sign in (-1, 1)]
    far = np.array([-1e30, -50, 50, 1e30], np.float32)
    return np.sort(np.concatenate([xs, *adjacent, np.linspace(-1.2 * BOUND, 1.2 * BOUND, 500, dtype=np.float32), far]))


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_splines_are_monotonic_and_invertible_in_single_precision(scale):
    """With a scale of 30, the narrowest bins are a thousandth of the interval, and slopes reach beyond 50."""
    raw = parameters(6, scale=scale)
    x = places(raw)
    every = lambda function: jax.vmap(lambda x, raw: function(x, raw, bound=BOUND), (None, 0))
    repeated = jnp.asarray(np.repeat(raw[:, None], len(x), 1), jnp.float32)
    y, log_slope = jax.jit(every(rational_quadratic_spline))(jnp.asarray(x), repeated)
    inverse = jax.jit(jax.vmap(lambda y, raw: rational_quadratic_spline_inverse(y, raw, bound=BOUND)))
    y, log_slope, back, log_slope_back = map(np.asarray, (y, log_slope, *inverse(y, repeated)))
    assert np.isfinite(log_slope).all()
    # Neighboring numbers may be swapped by rounding alone.
    assert (np.diff(y, axis=1) >= -4e-6 * BOUND).all()
    outside = np.abs(x) >= BOUND
    np.testing.assert_array_equal(y[:, outside], np.broadcast_to(x[outside], (6, outside.sum())))
    np.testing.assert_array_equal(log_slope[:, outside], 0)
    np.testing.assert_array_equal(back[:, outside], y[:, outside])
    # An error of rounding in y is one in x divided by the slope.
    slack = 1e-5 * np.maximum(1, np.exp(-log_slope))
    assert (np.abs(back - x) <= slack * np.maximum(1, np.abs(x))).all()
    if scale <= 1:
        np.testing.assert_allclose(log_slope_back, -log_slope, atol=1e-3)
    if not scale:
        np.testing.assert_allclose(y, np.broadcast_to(x, y.shape), rtol=1e-6, atol=1e-6)


def test_gradients_are_finite_everywhere():
    raw = parameters(6, scale=30.0)
    x = jnp.asarray(places(raw))

    def total(x, raw, function):
        moved, log_slope = function(x, jnp.broadcast_to(raw, (*x.shape, raw.shape[-1])), bound=BOUND)
        return jnp.sum(jnp.tanh(moved)) + jnp.sum(log_slope)

    for function in (rational_quadratic_spline, rational_quadratic_spline_inverse):
        gradient = jax.jit(jax.grad(lambda x, raw, f=function: total(x, raw, f), (0, 1)))
        for row in jnp.asarray(raw, jnp.float32):
            for leaf in gradient(x, row):
                assert np.isfinite(leaf).all()


@pytest.mark.parametrize("function", [rational_quadratic_spline, rational_quadratic_spline_inverse])
def test_gradients_at_knots_are_the_slopes(function):
    slope = jax.jit(jax.vmap(jax.grad(lambda x, raw: function(x, raw, bound=BOUND)[0]), (0, None)))
    equal = jnp.linspace(-BOUND, BOUND, BINS + 1, dtype=jnp.float32)[1:-1]
    np.testing.assert_allclose(slope(equal, jnp.zeros(3 * BINS - 1)), 1, rtol=1e-5)
    raw = parameters(1)[0]
    ends = knots(raw)[function is rational_quadratic_spline_inverse][1:-1]
    with jax.enable_x64(True):
        slopes = slope(jnp.asarray(ends), jnp.asarray(raw))
    expected = knots(raw)[2][1:-1]
    np.testing.assert_allclose(slopes, expected if function is rational_quadratic_spline else 1 / expected, rtol=1e-9)


def test_no_rows_stay_no_rows():
    layer = nets.SplineCoupling()
    params = layer.init(jax.random.key(0), jnp.zeros((1, 3)))
    for method in ("__call__", "inverse"):
        moved, log_det = layer.apply(params, jnp.zeros((0, 3)), method=method)
        assert (moved.shape, log_det.shape) == ((0, 3), (0,))


def test_flow_of_splines_stays_near_where_it_starts():
    """Samples far outside come back by a normalization and permutations alone, whatever the parameters are."""
    flow = nets.spline_flow(4, depth=4, widths=(8,), bins=4, bound=3.0)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 4)), jnp.float32)
    params = flow.init(jax.random.key(0), x)
    wild = {
        "params": params["params"] | {"layers_1": jax.tree.map(lambda leaf: 9 * leaf, params["params"]["layers_1"])}
    }
    z = jnp.asarray(np.random.default_rng(1).normal(size=(1_000, 4)) * 4, jnp.float32)
    plain, _ = nets.ActNorm().apply({"params": params["params"]["layers_0"]}, flow.apply(wild, z, method="inverse")[0])
    assert (np.sort(np.abs(plain), 1) <= np.maximum(np.sort(np.abs(z), 1), 3.0) * (1 + 1e-5)).all()


@pytest.mark.slow
def test_spline_is_that_of_flowjax():
    bijections, equinox = pytest.importorskip("flowjax.bijections"), pytest.importorskip("equinox")
    raw = parameters(40)
    with jax.enable_x64(True):
        x = jnp.linspace(-1.3 * BOUND, 1.3 * BOUND, 40)
        y, log_slope = rational_quadratic_spline(x, jnp.asarray(raw), bound=BOUND)
        back, log_slope_back = rational_quadratic_spline_inverse(y, jnp.asarray(raw), bound=BOUND)
        for row, *found in zip(raw, x, y, log_slope, back, log_slope_back, strict=True):
            spline = bijections.RationalQuadraticSpline(knots=BINS - 1, interval=BOUND)
            corners = lambda spline: (spline.x_pos, spline.y_pos, spline.derivatives)
            spline = equinox.tree_at(corners, spline, tuple(map(jnp.asarray, knots(row))))
            expected = *spline.transform_and_log_det(found[0]), *spline.inverse_and_log_det(found[1])
            np.testing.assert_allclose(found[1:], expected, atol=1e-10)
