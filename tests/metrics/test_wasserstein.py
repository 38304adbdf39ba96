"""Sliced Wasserstein distance: matched quantiles in one dimension, and a shift in three."""

import numpy as np
import pytest
from scipy import stats

from jaxgen import metrics

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (3, 7)])
def test_distances_in_one_dimension_match_quantiles(order, n, m):
    x, y = GENERATOR.normal(size=(n, 1)), GENERATOR.normal(size=(m, 1))
    # Repeating rows makes both samples equally large, and leaves their quantiles unchanged.
    a, b = (np.sort(np.repeat(rows, n * m // len(rows))) for rows in (x, y))
    expected = np.mean(np.abs(a - b) ** order) ** (1 / order)
    np.testing.assert_allclose(metrics.sliced_wasserstein(x, y, order=order), expected)
    if order == 1:
        np.testing.assert_allclose(expected, stats.wasserstein_distance(x[:, 0], y[:, 0]))


def test_the_distance_of_a_shift():
    x = GENERATOR.normal(size=(50, 3))
    shift = np.array([3.0, 0.0, 4.0])
    # The projection of a shift of length 5 on a random direction has the root mean square 5 / sqrt(3).
    found = metrics.sliced_wasserstein(x, x + shift, num_projections=5_000)
    np.testing.assert_allclose(found, 5 / np.sqrt(3), rtol=0.03)
    assert metrics.sliced_wasserstein(x, x[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.sliced_wasserstein(np.ones((1, 2)), np.ones((1, 2)), num_projections=0), r"got 2.0 and 0\)"),
        (lambda: metrics.sliced_wasserstein(np.ones((0, 2)), np.ones((1, 2))), "0 and 1"),
        (lambda: metrics.sliced_wasserstein(np.ones((1, 2)), np.ones((1, 2)), order=0.5), r"got 0.5 and 200\)"),
        (lambda: metrics.sliced_wasserstein(np.ones((5, 2)), np.full((5, 2), np.nan)), "not finite"),
    ],
)
def test_bad_samples_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
