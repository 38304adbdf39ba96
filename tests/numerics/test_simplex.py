"""Probability simplex: vertices and projection against their definitions, least squares against SciPy's."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy import optimize

from jaxgen.numerics import simplex

GENERATOR = np.random.default_rng(0)
SOLVERS = pytest.mark.parametrize("solver", [simplex.projected_gradient, simplex.frank_wolfe])
PROJECT = jax.jit(simplex.project_to_simplex)


@pytest.mark.parametrize("k", [2, 3, 7])
def test_vertices_are_regular(k):
    vertices = np.asarray(simplex.vertices(k))
    assert vertices.shape == (k, k - 1)
    np.testing.assert_allclose(vertices @ vertices.T, (k * np.eye(k) - 1) / (k - 1), atol=1e-6)
    np.testing.assert_allclose(vertices.mean(0), 0, atol=1e-6)


def test_a_simplex_needs_two_vertices():
    with pytest.raises(ValueError, match=r"at least 2 vertices \(got 1\)"):
        simplex.vertices(1)


def nearest(x):
    """Nearest point over all supports; on one support the projection is a common shift."""
    best = None
    for size in range(1, len(x) + 1):
        for support in itertools.combinations(range(len(x)), size):
            point = np.zeros(len(x))
            point[list(support)] = x[list(support)] + (1 - x[list(support)].sum()) / size
            if point.min() >= 0 and (best is None or np.sum((point - x) ** 2) < np.sum((best - x) ** 2)):
                best = point
    return best


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_projection_is_the_nearest_point(scale):
    x = np.float64(np.float32(scale * GENERATOR.normal(size=(2, 10, 5))))
    found = PROJECT(np.float32(x))
    expected = np.array([[nearest(row) for row in part] for part in x])
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(1, scale))


def test_the_projection_of_many_entries_far_off_is_on_the_simplex():
    x = np.float32(GENERATOR.uniform(size=(3, 5000)))
    found, moved = (np.asarray(PROJECT(x + offset)) for offset in (np.float32(0), np.float32(64)))
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(found, moved, atol=1e-4)
    for row, point in zip(x, found, strict=True):  # KKT: a common shift where positive, smaller entries elsewhere
        shift = (row - point)[point > 0]
        assert np.ptp(shift) < 1e-5
        assert row[point == 0].max() < shift.max() + 1e-5


def test_points_of_the_simplex_stay_and_gradients_keep_the_sum():
    weights = jnp.float32(GENERATOR.dirichlet(np.ones(4), 6))
    np.testing.assert_allclose(PROJECT(weights), weights, atol=1e-6)
    jacobian = jax.jit(jax.jacobian(simplex.project_to_simplex))(np.asarray(weights)[0])
    np.testing.assert_allclose(np.asarray(jacobian).sum(0), 0, atol=1e-6)
    moved = np.asarray(weights) + 0.1 * np.float32(GENERATOR.normal(size=(6, 4)))
    check_grads(PROJECT, (moved,), 1, eps=1e-4)


def squares(targets, atoms, weights):
    return np.sum((np.float64(targets) - np.float64(weights) @ np.float64(atoms)) ** 2, -1)


def least_squares(targets, atoms):
    """SciPy's non-negative least squares; a heavily weighted row enforces the sum 1."""
    heavy = 1e4 * np.abs(atoms).max()
    system = np.vstack([atoms.T, np.full((1, len(atoms)), heavy)])
    found = np.array([optimize.nnls(system, np.append(target, heavy))[0] for target in targets])
    return found / found.sum(-1, keepdims=True)


PROBLEMS = {  # targets, atoms, dimensions
    "a triangle": (12, 3, 2),
    "fewer atoms than dimensions": (8, 5, 9),
    "one atom": (4, 1, 3),
    "many atoms": (6, 150, 3),
    "on a line": (5, 6, 1),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@SOLVERS
def test_least_squares_are_scipys(solver, problem):
    n, k, d = PROBLEMS[problem]
    generator = np.random.default_rng(k)
    targets, atoms = (
        5 + generator.normal(size=(n, d)) * generator.uniform(0, 3, (n, 1)),
        5 + generator.normal(size=(k, d)),
    )
    found = np.asarray(jax.jit(solver, static_argnames="steps")(jnp.float32(targets), jnp.float32(atoms), steps=500))
    expected = least_squares(targets, atoms)
    np.testing.assert_allclose(squares(targets, atoms, found), squares(targets, atoms, expected), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found @ atoms, expected @ atoms, atol=1e-2)  # unique, unlike the weights
    if k <= d + 1:
        np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)


@SOLVERS
def test_a_start_at_the_solution_stays(solver):
    targets, atoms = (jnp.float32(GENERATOR.normal(size=(size, 2))) for size in (6, 3))
    solve = jax.jit(solver, static_argnames="steps")
    found = solve(targets, atoms, steps=300)
    np.testing.assert_allclose(solve(targets, atoms, steps=1, start=found), found, atol=1e-4)


def test_frank_wolfe_never_increases_the_squared_error():
    targets, atoms = (jnp.float32(GENERATOR.normal(size=(size, 4))) for size in (6, 40))
    solve = jax.jit(simplex.frank_wolfe, static_argnames="steps")
    weights, values = None, []
    for _ in range(30):
        weights = solve(targets, atoms, steps=1, start=weights)
        values.append(squares(targets, atoms, weights))
    assert (np.diff(values, axis=0) <= 1e-5).all()


@SOLVERS
def test_equal_atoms_and_a_target_at_an_atom(solver):
    atoms = jnp.float32([[1.0, 2.0]] * 4)
    found = jax.jit(solver, static_argnames="steps")(jnp.float32([[1.0, 2.0], [3.0, 0.0]]), atoms, steps=5)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@SOLVERS
def test_compiled_mapped_and_differentiated(solver):
    targets, atoms = (np.float32(GENERATOR.normal(size=(3, size, 2))) for size in (5, 4))
    solve = jax.jit(lambda targets, atoms: solver(targets, atoms, steps=100))
    mapped = jax.jit(jax.vmap(solve))(targets, atoms)
    alone = np.stack([solve(*problem) for problem in zip(targets, atoms, strict=True)])
    np.testing.assert_allclose(mapped, alone, atol=1e-4)
    # The gradient of half the squared distance to a convex hull is the vector from its nearest point.
    half = lambda targets: 0.5 * jnp.sum((targets - solve(targets, atoms[0]) @ atoms[0]) ** 2)
    found = jax.jit(jax.grad(half))(targets[0])
    np.testing.assert_allclose(found, targets[0] - alone[0] @ atoms[0], atol=1e-3)
    steep = jax.jit(jax.grad(lambda atoms: jnp.sum(solve(targets[0], atoms) ** 2)))(np.ones((4, 2), np.float32))
    assert np.isfinite(steep).all()


@SOLVERS
def test_bad_shapes_and_steps_raise(solver):
    with pytest.raises(ValueError, match=r"must have shapes .*got \(2, 3\) and \(4, 2\)"):
        solver(jnp.ones((2, 3)), jnp.ones((4, 2)), steps=1)
    with pytest.raises(ValueError, match=r"`steps` must be at least 1 \(got 0\)"):
        solver(jnp.ones((2, 3)), jnp.ones((4, 3)), steps=0)


def test_weights_follow_a_dirichlet_distribution():
    draw = jax.jit(lambda key: simplex.dirichlet_weights(key, 20_000, count=3, concentration=0.5))
    samples = np.asarray(draw(jax.random.key(0)))
    np.testing.assert_allclose(samples.sum(1), 1, rtol=1e-5)
    # Each entry has a beta distribution with mean 1 / 3 and variance 2 / 9 / (1 + 3 / 2).
    np.testing.assert_allclose(samples.mean(0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(samples.var(0), 2 / 9 / 2.5, rtol=0.05)
