"""Properties of all bijections, parametrized over one table of layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets

SUBNET, PICTURE = nets.DenseConditioner((7,)), nets.ConvConditioner((3, 4))
VECTOR, IMAGE, TALL = (5,), (4, 4, 2), (4, 4, 4)
LAYERS = {
    "additive": (nets.AdditiveCoupling(SUBNET), VECTOR),
    "additive, flipped": (nets.AdditiveCoupling(SUBNET, flip=True), VECTOR),
    "additive, images": (nets.AdditiveCoupling(PICTURE), IMAGE),
    "affine": (nets.AffineCoupling(SUBNET), VECTOR),
    "affine, flipped": (nets.AffineCoupling(SUBNET, flip=True, clamp=0.5), VECTOR),
    "affine, images": (nets.AffineCoupling(PICTURE, flip=True), IMAGE),
    "spline": (nets.SplineCoupling(SUBNET, bins=4, bound=2.0), VECTOR),
    "spline, images": (nets.SplineCoupling(PICTURE, flip=True, bins=3), IMAGE),
    "actnorm": (nets.ActNorm(), VECTOR),
    "actnorm, images": (nets.ActNorm(axes=3), IMAGE),
    "permutation": (nets.Permutation(3), VECTOR),
    "space to depth": (nets.SpaceToDepth(), IMAGE),
    "flatten": (nets.Flatten(IMAGE), IMAGE),
    "split": (
        nets.Split(nets.ComposedBijection((nets.AffineCoupling(PICTURE), nets.Flatten((4, 4, 2)))), (4, 4, 4)),
        (4, 4, 4),
    ),
    "border": (
        nets.Border(nets.ComposedBijection((nets.ActNorm(axes=3), nets.Flatten((4, 4, 2)))), (4, 4, 2), (5, 6, 2)),
        (5, 6, 2),
    ),
    "dense flow": (nets.dense_flow(5, depth=4, widths=(7,)), VECTOR),
    "flow in the plane": (nets.dense_flow(2, depth=3, widths=(7,)), (2,)),
    "spline flow": (nets.spline_flow(5, depth=2, widths=(7,), bins=4, bound=2.0), VECTOR),
    "image flow": (nets.image_flow((8, 8, 1), depth=1, features=(3, 4), widths=(5,)), (8, 8, 1)),
    "image flow, odd": (nets.image_flow((5, 6, 2), depth=1, features=(3, 4), widths=(5,)), (5, 6, 2)),
}
CONDITIONAL = ("affine", "affine, images", "dense flow", "additive, images", "spline, images", "spline flow")
EVERY = pytest.mark.parametrize("name", LAYERS)
# These compile slowly; the parts of the flow, and splines of vectors, are tested on their own.
SLOW = ("image flow", "image flow, odd", "spline, images")
PARTS = pytest.mark.parametrize("name", [name for name in LAYERS if name not in SLOW])


@functools.cache
def drawn(name, dtype="float32", condition=False):
    """Return a layer with parameters far from their initial values, samples and conditions."""
    layer, shape = LAYERS[name]
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(3, *shape)), dtype)
    condition = jnp.asarray(np.eye(4)[:3], dtype) if condition else None
    single = lambda array: None if array is None else jnp.float32(array)
    params = jax.jit(layer.init)(jax.random.key(0), single(x), single(condition))
    away = lambda leaf: jnp.asarray(leaf + 0.3 * generator.normal(size=leaf.shape), dtype)
    return layer, jax.tree.map(away, params), x, condition


def there_and_back(layer, params, x, condition):
    """Return the forward pass, and the inverse of its value."""
    forward = layer.apply(params, x, condition)
    return forward, layer.apply(params, forward[0], condition, method="inverse")


@EVERY
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_inverse_undoes_forward_under_jit(name, dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        layer, params, x, _ = drawn(name, dtype)
        (z, there), (again, back) = jax.jit(there_and_back, static_argnums=0)(layer, params, x, None)
        assert z.dtype == again.dtype == dtype
        np.testing.assert_allclose(again, x, atol=tolerance)
        np.testing.assert_allclose(there, -back, atol=20 * tolerance)


@PARTS
def test_log_determinant_is_that_of_the_jacobian(name):
    with jax.enable_x64(True):
        layer, params, x, _ = drawn(name, "float64")

        @jax.jit
        def both(params, x):
            flat = lambda row: layer.apply(params, row.reshape(x.shape[1:]))[0].ravel()
            jacobians = jax.vmap(jax.jacobian(flat))(x.reshape(len(x), -1))
            return jnp.broadcast_to(layer.apply(params, x)[1], (len(x),)), jacobians

        found, jacobians = both(params, x)
        np.testing.assert_allclose(found, np.linalg.slogdet(jacobians)[1], atol=1e-9)


@PARTS
def test_samples_do_not_influence_each_other(name):
    layer, params, x, _ = drawn(name)
    together = jax.jit(layer.apply)(params, x)
    apart = jax.jit(jax.vmap(layer.apply, (None, 0)))(params, x)
    np.testing.assert_allclose(together[0], apart[0], atol=1e-5)
    np.testing.assert_allclose(np.broadcast_to(together[1], 3), apart[1], atol=1e-5)


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditional_layers_depend_on_conditions_and_invert(name):
    layer, params, x, condition = drawn(name, condition=True)
    round_trip = jax.jit(there_and_back, static_argnums=0)
    (z, there), (again, back) = round_trip(layer, params, x, condition)
    np.testing.assert_allclose(again, x, atol=2e-5)
    np.testing.assert_allclose(there, -back, atol=1e-4)
    assert not np.allclose(z, round_trip(layer, params, x, condition[::-1])[0][0], atol=1e-3)


def test_log_scales_are_bounded():
    layer = nets.AffineCoupling(SUBNET, clamp=0.5)
    x = jnp.ones((1, 5))
    params = jax.tree.map(lambda leaf: 1e3 * jnp.ones_like(leaf), layer.init(jax.random.key(0), x))
    np.testing.assert_allclose(layer.apply(params, x)[1], 3 * 0.5, rtol=1e-6)


def test_couplings_start_near_the_identity():
    """With zero biases in the last layers too, the flow only scales and permutes the features."""
    x = jnp.asarray(np.random.default_rng(0).normal(2, 3, size=(100, 4)), jnp.float32)
    flow = nets.dense_flow(4, depth=2)
    params = jax.jit(flow.init)(jax.random.key(0), x)
    apply = jax.jit(flow.apply)
    z, scaled = np.asarray(apply(params, x)[0]), np.asarray(x)
    scaled = (scaled - scaled.mean(0)) / scaled.std(0)
    order = np.argmin(np.abs(z[:, :, None] - scaled[:, None]).mean(0), 1)
    assert sorted(order) == [0, 1, 2, 3]
    assert np.abs(z - scaled[:, order]).max() < 0.5
    last = lambda path, leaf: jnp.zeros_like(leaf) if "Dense_2" in str(path) else leaf
    z, _ = apply(jax.tree_util.tree_map_with_path(last, params), x)
    np.testing.assert_allclose(z, scaled[:, order], atol=1e-4)


def test_actnorm_standardizes_its_first_batch():
    x = jnp.asarray(np.random.default_rng(0).normal([5, -3], [0.1, 40], (500, 2)), jnp.float32)
    z, grown = nets.ActNorm().init_with_output(jax.random.key(0), x)[0]
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-4)
    np.testing.assert_allclose(grown, -np.log(np.std(np.asarray(x, np.float64), 0)).sum(), rtol=1e-4)


def test_actnorm_of_a_constant_feature_is_finite():
    z, grown = nets.ActNorm().init_with_output(jax.random.key(0), jnp.ones((8, 2)))[0]
    np.testing.assert_array_equal(z, 0)
    assert grown == 0  # it keeps its units
    z, _ = nets.ActNorm().init_with_output(jax.random.key(0), jnp.full((200, 1), 0.1))[0]
    np.testing.assert_array_equal(z, 0)  # the mean of 200 such numbers is rounded


def test_space_to_depth_stacks_neighbors():
    image = jnp.arange(16.0).reshape(4, 4, 1)
    z, _ = nets.SpaceToDepth().apply({}, image)
    np.testing.assert_array_equal(z[0, 0], [0, 1, 4, 5])
    np.testing.assert_array_equal(z[1, 1], [10, 11, 14, 15])


def test_border_keeps_rows_and_columns_outside_of_the_block():
    image = jnp.arange(12.0).reshape(3, 4, 1)
    z, grown = nets.Border(nets.Flatten((2, 3, 1)), (2, 3, 1), (3, 4, 1)).apply({}, image)
    np.testing.assert_array_equal(z, [0, 1, 2, 4, 5, 6, 3, 7, 8, 9, 10, 11])
    assert grown == 0


def test_log_determinants_of_image_flows_are_those_of_the_jacobian():
    """At 8 x 8, and at 5 x 6, whose border is a row and two columns."""
    with jax.enable_x64(True):
        for name in ("image flow", "image flow, odd"):
            layer, params, x, _ = drawn(name, "float64")
            flat = lambda row, layer=layer, params=params, shape=x.shape[1:]: layer.apply(params, row.reshape(shape))[0]
            grown = jax.jit(layer.apply)(params, x[:1])[1]
            jacobian = jax.jit(jax.jacobian(flat))(x[0].ravel())
            np.testing.assert_allclose(grown, np.linalg.slogdet(jacobian)[1], atol=1e-9)


def test_every_border_pixel_depends_on_the_block():
    layer, params, x, _ = drawn("image flow, odd")
    changed = x.at[:, 0, 0].add(1.0)
    z, other = (jax.jit(layer.apply)(params, rows)[0] for rows in (x, changed))
    assert (jnp.abs(z - other).max(0) > 1e-6).sum() > 60 // 2


def test_bad_shapes_raise():
    with pytest.raises(ValueError, match="2 or more"):
        nets.AffineCoupling(SUBNET).init(jax.random.key(0), jnp.ones((3, 1)))
    with pytest.raises(ValueError, match=r"`bins` must be a whole number of at least 1"):
        nets.spline_flow(2, bins=0)
    with pytest.raises(ValueError, match=r"`bound` must be"):
        nets.spline_flow(2, bound=-1.0)
    with pytest.raises(ValueError, match=r"must be even \(got 5 x 4\)"):
        nets.SpaceToDepth().apply({}, jnp.ones((5, 4, 1)))
    with pytest.raises(ValueError, match=r"must be at least 4 \(got 3 x 28\); pad the images"):
        nets.image_flow((3, 28, 1))
    with pytest.raises(ValueError, match=r"at least 2 and `depth` at least 1 \(got 1 and 8\)"):
        nets.dense_flow(1)
