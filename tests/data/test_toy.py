"""Synthetic data against their moments and supports; tolerances of four standard errors fail once in 15,000."""

import numpy as np
import pytest
from sklearn.datasets import make_swiss_roll

from jaxgen import data

TOYS = {
    "swiss roll": (data.SwissRoll, 3),
    "planar swiss roll": (data.PlanarSwissRoll, 2),
    "mixture": (lambda **named: data.GaussianMixture(components=3, dimensions=4, **named), 4),
    "8 gaussians": (data.EightGaussians, 2),
    "25 gaussians": (data.TwentyFiveGaussians, 2),
    "two moons": (data.TwoMoons, 2),
    "rings": (data.Rings, 2),
    "checkerboard": (data.Checkerboard, 2),
    "normal": (lambda **named: data.Normal(dimensions=3, **named), 3),
    "cube": (data.Cube, 2),
}


@pytest.mark.parametrize("name", TOYS)
def test_training_and_test_points_are_one_sample(name):
    make, d = TOYS[name]
    toy = make(n=30, test_n=20, seed=3)
    (x,), test = toy.tables(), toy.test()
    assert (x.shape, test.shape, x.dtype) == ((30, d), (20, d), np.float32)
    np.testing.assert_array_equal(np.concatenate([x, test]), toy.points(50).astype(np.float32))
    np.testing.assert_array_equal(x, make(n=30, test_n=20, seed=3).tables()[0])
    assert not np.array_equal(x, make(n=30, test_n=20, seed=4).tables()[0])


def test_normal_and_cube_have_their_moments():
    x, u = data.Normal(n=4000, test_n=1).tables()[0], data.Cube(n=4000, test_n=1).tables()[0]
    np.testing.assert_allclose(x.mean(0), [0, 0], atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(x.var(0), [1, 1], atol=4 * np.sqrt(2 / 4000))
    np.testing.assert_allclose(u.mean(0), [0.5, 0.5], atol=4 / np.sqrt(12 * 4000))
    np.testing.assert_allclose(u.var(0), [1 / 12] * 2, atol=4 / np.sqrt(180 * 4000))
    assert u.min() >= 0
    assert u.max() <= 1


def test_swiss_rolls_are_scikit_learn_s_in_the_papers_scales():
    x = data.SwissRoll(n=100, test_n=100, seed=5).tables()[0]
    np.testing.assert_allclose(x, make_swiss_roll(200, noise=0.1, random_state=5)[0][:100] * 0.5, rtol=1e-6)
    x = data.PlanarSwissRoll(n=100, test_n=100, seed=5).tables()[0]
    np.testing.assert_allclose(x, make_swiss_roll(200, noise=0.25, random_state=5)[0][:100, [0, 2]] / 7.5, rtol=1e-6)


def test_gaussians_have_the_paper_s_centers():
    x = data.EightGaussians(n=8000, test_n=1).tables()[0]
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.sqrt(2), atol=0.1)
    sectors = np.bincount(np.round(np.arctan2(x[:, 1], x[:, 0]) / (np.pi / 4)).astype(int) % 8, minlength=8)
    assert np.all(np.abs(sectors - 1000) < 4 * np.sqrt(8000 * 7 / 64))
    x = data.TwentyFiveGaussians(n=25000, test_n=1).tables()[0] * np.sqrt(8) / 2
    nearest = np.round(x)
    assert np.abs(x - nearest).max() < 0.2
    counts = np.unique(nearest, axis=0, return_counts=True)[1]
    assert len(counts) == 25
    assert np.all(np.abs(counts - 1000) < 4 * np.sqrt(25000 * 24 / 625))


def test_rings_and_checkerboard_fill_their_supports_evenly():
    radius = np.linalg.norm(data.Rings(n=8000, test_n=1, noise=0.01).tables()[0], axis=1)
    counts = np.bincount(np.round(radius).astype(int), minlength=5)[1:]
    assert np.all(np.abs(counts - 2000) < 4 * np.sqrt(8000 * 3 / 16))
    squares = np.floor((data.Checkerboard(n=8000, test_n=1).tables()[0] + 4) / 2).astype(int)
    assert np.all(squares.sum(1) % 2 == 0)
    counts = np.bincount(squares[:, 0] * 4 + squares[:, 1], minlength=16)
    assert np.count_nonzero(counts) == 8
    assert np.all(np.abs(counts[counts > 0] - 1000) < 4 * np.sqrt(8000 * 7 / 64))
