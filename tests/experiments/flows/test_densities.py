"""Shapes, and measures of densities and samples, on distributions that are known."""

import numpy as np
import pytest

from experiments.flows import densities, density_tables, shapes

PLANE = [name for name, shape in shapes.SHAPES.items() if shape.draw(0, 1).shape[1] == 2]


@pytest.mark.parametrize("name", PLANE)
def test_log_densities_are_those_of_the_points(name):
    """The integral over a rectangle is the share of points in it."""
    shape = shapes.SHAPES[name]
    x, cells = shape.draw(0, 20_000), 150 if isinstance(shape, shapes.Curve) else 400
    low, high = np.quantile(x, 0.02, 0), np.quantile(x, 0.98, 0)
    inside = ((x >= low) & (x < high)).all(1)
    grid = np.stack(
        np.meshgrid(*(np.linspace(a, b, cells, endpoint=False) for a, b in zip(low, high, strict=True))), -1
    )
    grid = grid.reshape(-1, 2) + (high - low) / (2 * cells)
    if name == "checkerboard":
        grid = grid[np.floor(grid / 2).astype(int).sum(1) % 2 == 0]
    mass = np.exp(shape.log_density(grid)).sum() * np.prod(high - low) / cells**2
    assert mass == pytest.approx(inside.mean(), abs=0.02)


def test_points_of_the_shape_are_not_distinguished_and_others_are():
    table = shapes.Sampled("three Gaussians", 1_000, 0)
    shape = shapes.SHAPES[table.shape]
    right = densities.evaluated(table, lambda n: shape.draw(5, n), shape.log_density)
    assert right["excess"] == pytest.approx(0, abs=1e-9)
    assert right["accepted"] == 1
    assert max(right["off_data"], right["missed"]) < 0.03
    assert right["farthest"] < 0.3
    shifted = lambda n: shape.draw(5, n) + np.array([[30, 0]])
    wrong = densities.evaluated(table, shifted, lambda x: shape.log_density(x) - 2)
    assert wrong["excess"] == pytest.approx(2, abs=1e-9)
    assert wrong["accepted"] == 0
    assert min(wrong["off_data"], wrong["missed"]) > 0.99
    assert wrong["farthest"] > 1.5


def test_tables_are_split_and_standardized():
    table = density_tables.Table("wine", 0)
    train, test = *table.tables(), table.test()
    assert (len(train), len(test)) == (125, 53)
    np.testing.assert_allclose(train.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(train.std(0), 1, atol=0.02)
    d = train.shape[1]
    normal = np.random.default_rng(0).standard_normal((2, 20_000, d))
    assert density_tables.gaussian_nll(*normal) == pytest.approx(d / 2 * np.log(2 * np.pi * np.e), rel=1e-2)
