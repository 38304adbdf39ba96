"""Distances on lines: matched quantiles, a shift seen from every side, and samples that cannot be compared."""

import numpy as np
import pytest
from scipy import stats

from jaxgen import metrics

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("order", [1.0, 2.0, 3.0])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (4, 6), (3, 7)])
def test_distances_on_a_line_are_those_of_matched_quantiles(order, n, m):
    x, y = GENERATOR.normal(size=(n, 1)), GENERATOR.normal(size=(m, 1))
    # Each row as often as makes both samples equally large.
    a, b = (np.sort(np.repeat(rows, n * m // len(rows))) for rows in (x, y))
    expected = np.mean(np.abs(a - b) ** order) ** (1 / order)
    np.testing.assert_allclose(metrics.sliced_wasserstein(x, y, order=order), expected)
    if order == 1:
        np.testing.assert_allclose(expected, stats.wasserstein_distance(x[:, 0], y[:, 0]))


def test_a_shift_is_seen_from_every_side():
    x = GENERATOR.normal(size=(50, 3))
    shift = np.array([3.0, 0.0, 4.0])
    # Along a random direction a shift of length 5 shows 5 / sqrt(3) in the square mean.
    found = metrics.sliced_wasserstein(x, x + shift, projections=5_000)
    np.testing.assert_allclose(found, 5 / np.sqrt(3), rtol=0.03)
    assert metrics.sliced_wasserstein(x, x[::-1]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: metrics.sliced_wasserstein(np.ones((1, 2)), np.ones((1, 2)), projections=0), "projections 0"),
        (lambda: metrics.sliced_wasserstein(np.ones((0, 2)), np.ones((1, 2))), "0 and 1 rows"),
        (lambda: metrics.sliced_wasserstein(np.ones((1, 2)), np.ones((1, 2)), order=0.5), "order is 0.5"),
        (lambda: metrics.sliced_wasserstein(np.ones((5, 2)), np.full((5, 2), np.nan)), "not finite"),
    ],
)
def test_bad_samples_are_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()
