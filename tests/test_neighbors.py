"""Distances to nearest neighbors against a plain loop, and the blend's scales."""

import tracemalloc

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

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


def test_the_blend_is_that_of_its_parts():
    """Each part by hand, with scikit-learn's covariance, and distances whose square is a quadratic form."""
    rows = ROWS @ np.array([[1.0, 0.9, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 2.0]])
    scores, s = np.sin(np.arange(40.0)), np.arange(7.0)
    x = rows[:7] + np.linspace(-1, 1, 7)[:, None] * [0, 0.2, 2]
    precision = np.linalg.inv(LedoitWolf().fit(rows).covariance_)
    parts = []
    for metric in (np.eye(3), precision):
        difference = x[:, None] - rows
        pairs = np.sqrt(np.einsum("nmi,ij,nmj->nm", difference, metric, difference))
        difference = rows[:, None] - rows
        own = np.sqrt(np.einsum("nmi,ij,nmj->nm", difference, metric, difference))
        parts.append((np.sort(pairs, 1)[:, :3].mean(1), np.sort(own, 1)[:, 1:4].mean(1)))
    near, apart, model = (
        np.sign(z) * np.log(1 + np.abs(z))
        for values, training in (*parts, (s, scores))
        for z in [(values - np.median(training)) / np.subtract(*np.quantile(training, [0.75, 0.25]))]
    )
    expected = 2 / 3 * np.maximum(near, apart) + model / 3
    assert 0 < np.mean(near > apart) < 1
    np.testing.assert_allclose(NeighborBlend.fit(rows, scores, num_neighbors=3)(x, s), expected)


def test_a_broken_correlation_scores_higher_than_fresh_rows():
    generator = np.random.default_rng(1)
    draw = lambda n: generator.normal(size=(n, 1)) + 0.05 * generator.normal(size=(n, 10))
    rows, fresh, broken = draw(300), draw(300), np.array([[0.1, -0.1] * 5])
    blend = NeighborBlend.fit(rows, np.zeros(300), num_neighbors=3)
    plain = lambda x: neighbor_distances(rows, x, num_neighbors=3)
    assert plain(broken) < plain(fresh).max()
    assert blend.distances(broken) > blend.distances(fresh)[plain(fresh) < 0.3].max()


def test_columns_that_are_equal_have_finite_scores():
    rows = np.repeat(ROWS[:, :1], 3, 1)
    blend = NeighborBlend.fit(rows, np.arange(40.0), num_neighbors=3)
    far = np.array([[1.0, -1.0, 0.0], [3e38, 0.0, 0.0]])
    assert np.isfinite(blend(far, np.zeros(2))).all()
    assert np.all(blend(far, np.zeros(2)) > blend(rows, np.zeros(40)).max())


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
