"""Archetypes: known corners, a sweep in NumPy, properties of hull and residual, devices, and another library."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from scipy import optimize

import jaxgen
from jaxgen import data, methods
from jaxgen.numerics import simplex
from jaxgen.parallel import Layout

KEY = jax.random.key(0)
GENERATOR = np.random.default_rng(0)
ROWS = jnp.float32(GENERATOR.normal(size=(60, 3)))


@functools.cache
def program(method, count):
    """Compiled sweeps over all rows at once, the same for every key."""
    return jax.jit(
        lambda key, x: jax.lax.scan(lambda state, _: method.step(key, state, x), method.init(key, x), None, count)
    )


def sweeps(method, x, count, key=KEY):
    """Run the method on all rows at once; the losses, and what it ends with."""
    state, metrics = program(method, count)(key, jnp.asarray(x, jnp.float32))
    return state, jax.tree.map(np.asarray, metrics)


def outside(points, rows):
    """How far points are from the hull of rows at the most, by SciPy's least squares with a heavy row for the sum."""
    heavy = 1e4
    system = np.vstack([np.float64(rows).T, np.full((1, len(rows)), heavy)])
    return max(optimize.nnls(system, np.append(np.float64(point), heavy))[1] for point in points)


@pytest.mark.parametrize("solver", [simplex.frank_wolfe, simplex.projected_gradient])
@pytest.mark.parametrize("k", [3, 4])
def test_it_finds_the_corners_of_a_triangle_and_a_tetrahedron(solver, k):
    corners = 3 + np.asarray(simplex.vertices(k))
    x = GENERATOR.dirichlet(np.full(k, 0.2), 200) @ corners
    state, metrics = sweeps(methods.Archetypes(k, solver), x, 40)
    distances = np.linalg.norm(corners[:, None] - np.asarray(state.archetypes)[None], axis=-1)
    assert sorted(distances.argmin(1)) == list(range(k))
    assert distances.min(1).max() < 0.05
    assert metrics["explained"][-1] > 0.999


def test_a_sweep_is_least_squares_by_hand():
    """One archetype after the other, each where a line of NumPy says it has no constraint and SciPy that it has one."""
    method = methods.Archetypes(3, steps=2000)
    state = jax.jit(method.init)(KEY, ROWS)
    x, z = np.float64(ROWS), np.float64(state.archetypes)
    weights = np.float64(jax.jit(method.weights)(state, ROWS))
    system = np.vstack([x.T, np.full((1, len(x)), 1e4)])
    for j in range(3):
        others = x - weights @ z + weights[:, [j]] * z[[j]]
        free = weights[:, j] @ others / np.sum(weights[:, j] ** 2)
        z[j] = optimize.nnls(system, np.append(free, 1e4))[0] @ x
    found, metrics = jax.jit(method.step)(KEY, state, ROWS)
    np.testing.assert_allclose(found.archetypes, z, atol=2e-3)
    squares = np.sum((x - weights @ np.float64(state.archetypes)) ** 2, 1)
    np.testing.assert_allclose(metrics["loss"], squares.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["explained"], 1 - squares.mean() / x.var(0).sum(), rtol=1e-4)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_the_residual_never_rises_over_all_rows(k):
    for seed in range(3):
        state, metrics = sweeps(methods.Archetypes(k, steps=500), ROWS, 25, jax.random.key(seed))
        assert (np.diff(metrics["loss"]) <= 1e-4 * metrics["loss"][:-1]).all()
        assert outside(state.archetypes, ROWS) < 1e-4


def test_one_archetype_is_the_mean():
    state, metrics = sweeps(methods.Archetypes(1, steps=500), ROWS, 2)
    np.testing.assert_allclose(state.archetypes[0], np.mean(ROWS, 0), atol=1e-3)
    np.testing.assert_allclose(metrics["explained"][-1], 0, atol=1e-3)


def test_minibatches_leave_the_archetypes_in_the_hull_of_the_data():
    config = tiny.config(methods.Archetypes(4), steps=20, steps_per_call=20)
    result = jaxgen.train(dataclasses.replace(config, data=data.Arrays(np.asarray(ROWS))), progress=False)
    for seed in range(2):
        assert outside(result.state_of(seed).archetypes, ROWS) < 1e-4


def test_weights_reconstructions_and_scores_belong_together():
    method = methods.Archetypes(3)
    state = jax.jit(method.init)(KEY, ROWS)
    weights, made = (np.asarray(jax.jit(of)(state, ROWS)) for of in (method.weights, method.reconstruct))
    assert weights.shape == (60, 3)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(made, np.float64(weights) @ np.float64(state.archetypes), atol=1e-5)
    residual = jax.jit(lambda x: method.scores(state, x)["residual"])
    scores = np.asarray(residual(ROWS))
    np.testing.assert_allclose(scores, np.sum((np.float64(ROWS) - made) ** 2, -1), rtol=1e-4, atol=1e-6)
    assert np.max(residual(state.archetypes)) < 1e-6
    assert (np.asarray(residual(50 + np.asarray(ROWS))) > scores.max()).all()


@pytest.mark.parametrize("concentration", [0.1, 1.0, 10.0])
def test_samples_are_mixtures_with_dirichlet_weights(concentration):
    method = methods.Archetypes(3, concentration=concentration)
    state = method.init(KEY, ROWS)._replace(archetypes=jnp.eye(3))  # so that samples are their weights
    drawn = np.float64(jax.jit(method.sample, static_argnums=2)(KEY, state, 20_000))
    assert drawn.min() >= 0
    np.testing.assert_allclose(drawn.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(drawn.mean(0), 1 / 3, atol=0.012)  # four standard errors or more
    np.testing.assert_allclose(drawn.var(0), 2 / 9 / (3 * concentration + 1), rtol=0.06)


def test_an_unused_archetype_moves_to_the_row_with_the_largest_residual():
    method = methods.Archetypes(3)
    x = jnp.float32([[0, 0], [1, 0], [0.5, 0.1], [0.5, 4.0]])
    start = jax.jit(method.init)(KEY, x)._replace(archetypes=jnp.float32([[0, 0], [1, 0], [0.5, -9]]))
    step = jax.jit(method.step)
    state, metrics = step(KEY, start, x)
    np.testing.assert_allclose(state.archetypes[2], x[3], atol=1e-5)
    assert np.isfinite(metrics["loss"])
    assert step(KEY, state, x)[1]["loss"] < metrics["loss"]


def test_equal_rows_are_fitted_exactly():
    state, metrics = sweeps(methods.Archetypes(3), np.ones((5, 2)), 4)
    np.testing.assert_array_equal(state.archetypes, 1)
    np.testing.assert_array_equal(metrics["loss"], 0)
    np.testing.assert_array_equal(metrics["explained"], 1)


def test_four_devices_give_the_same_result_as_one():
    config = tiny.config(methods.Archetypes(2, steps=2_000), batch_size=60, num_seeds=1)
    one, four = (
        jaxgen.train(
            dataclasses.replace(config, data=data.Arrays(np.asarray(ROWS)), layout=Layout(devices=devices)),
            progress=False,
        )
        for devices in (1, 4)
    )
    np.testing.assert_allclose(one.state.archetypes, four.state.archetypes, atol=1e-3)
    for name in ("loss", "explained"):
        np.testing.assert_allclose(one.history[name], four.history[name], rtol=1e-4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_archetypes": 0}, "got 0 and 200"),
        ({"steps": 0}, "got 3 and 0"),
        ({"concentration": 0.0}, "`concentration` must be positive \\(got 0.0\\)"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        methods.Archetypes(**fields).resolve(jax.ShapeDtypeStruct((3,), jnp.float32))


def test_data_must_be_vectors_and_at_least_as_many_as_archetypes():
    vector, image = jax.ShapeDtypeStruct((3,), jnp.float32), jax.ShapeDtypeStruct((2, 2, 1), jnp.float32)
    for specs in ((vector, vector), (image,), (jax.ShapeDtypeStruct((3,), jnp.int32),), ((vector, vector),)):
        with pytest.raises(TypeError, match="one table of floating-point vectors"):
            methods.Archetypes().resolve(*specs)
    with pytest.raises(ValueError, match=r"got 9 and 8.*; use a larger batch_size"):
        methods.Archetypes(9).init(KEY, ROWS[:8])


@pytest.mark.optimized
@pytest.mark.filterwarnings("ignore")  # the other library's own
@pytest.mark.parametrize(("name", "k"), [("iris", 3), ("wine", 3), ("wine", 5)])
def test_the_residual_is_that_of_another_library(name, k):
    other = pytest.importorskip("archetypes", reason="the other library: pip install -e '.[archetypes]'")
    from sklearn import datasets

    x = getattr(datasets, f"load_{name}")().data
    x = (x - x.mean(0)) / x.std(0)
    fit = lambda seed: other.AA(k, max_iter=300, init="furthest_sum", method="pgd", tol=1e-6, random_state=seed).fit(x)
    theirs = min(fit(seed).rss_ for seed in range(5)) / len(x)
    ours = min(sweeps(methods.Archetypes(k), x, 60, jax.random.key(seed))[1]["loss"][-1] for seed in range(5))
    assert ours < 1.01 * theirs


@pytest.mark.parametrize(("scale", "offset"), [(2.0**-80, 0.0), (2.0**60, 0.0), (1.0, 2.0**13)])
def test_archetypes_move_with_the_origin_and_the_unit_of_the_columns(scale, offset):
    """In ten columns, too, where distances are formed by a matrix product."""
    generator = np.random.default_rng(0)
    corners = generator.normal(size=(3, 10))
    x = generator.dirichlet([0.4] * 3, 60) @ corners
    method = methods.Archetypes(steps=50)

    def fitted(scale, offset):
        rows = jnp.float32(scale * x + offset)
        state = method.init(KEY, rows)
        for _ in range(5):
            state, metrics = jax.jit(method.step)(KEY, state, rows)
        return (np.float64(state.archetypes) - offset) / scale, metrics["explained"], method.weights(state, rows)

    for found, expected in zip(fitted(scale, offset), fitted(1.0, 0.0), strict=True):
        np.testing.assert_allclose(found, expected, atol=0 if offset == 0 else 0.02)
