"""Distances to nearest neighbors against a plain loop, and the blend's scales."""

import tracemalloc

import numpy as np
import pytest

from jaxgen.neighbors import NeighborBlend, neighbor_distances

GENERATOR = np.random.default_rng(0)
ROWS, POINTS = GENERATOR.normal(size=(40, 3)), GENERATOR.normal(size=(7, 3))


@pytest.mark.parametrize("k", [1, 3, 100])
def test_distances_are_means_over_the_nearest(k):
    all_pairs = lambda x: np.sqrt(((x[:, None] - ROWS) ** 2).sum(-1))
    expected = np.sort(all_pairs(POINTS), 1)[:, :k].mean(1)
    np.testing.assert_allclose(neighbor_distances(ROWS, POINTS, num_neighbors=k), expected)
    own = np.sort(all_pairs(ROWS), 1)[:, 1 : k + 1].mean(1)  # a row is not its own neighbor
    np.testing.assert_allclose(neighbor_distances(ROWS, num_neighbors=k), own)


def test_a_blend_grows_with_both_parts_and_ignores_units():
    scores = np.arange(40.0)
    blend = NeighborBlend.fit(ROWS, scores, num_neighbors=3)
    other = NeighborBlend.fit(100 * ROWS, 7 * scores - 3, num_neighbors=3)
    x, s = ROWS[:5] + 0.1, np.arange(5.0)
    np.testing.assert_allclose(other(100 * x, 7 * s - 3), blend(x, s))
    assert np.all(blend(x, s + 1) > blend(x, s))
    assert np.all(blend(x + 50, s) > blend(x, s))


def test_repeated_rows_have_finite_scores():
    blend = NeighborBlend.fit(np.zeros((9, 2)), np.zeros(9), num_neighbors=3)
    np.testing.assert_allclose(blend(np.zeros((1, 2)), np.zeros(1)), 0)
    assert np.isfinite(blend(np.ones((1, 2)), np.ones(1))).all()


def test_the_search_holds_no_distances_of_all_pairs():
    """All pairs would be 128 MB, in single precision 64 MB."""
    rows, points = (GENERATOR.normal(size=(4_000, 20)).astype(np.float32) for _ in range(2))
    tracemalloc.start()
    neighbor_distances(rows, points, num_neighbors=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
