"""Conformal p-values: false positive rate over thousands of calibration sets, with and without ties; FDR."""

import numpy as np
import pytest
from scipy import stats

from jaxgen import metrics

ROUNDS = 4_000


def alarms(draw, n, level=0.05):
    """Count the rounds in which an inlier is flagged, each with a new calibration set."""
    generator = np.random.default_rng(n)
    rows = draw(generator, (ROUNDS, n + 1))
    return sum(metrics.conformal_p_values(row[:1], row[1:])[0] <= level for row in rows)


def bounds(level=0.05):
    return stats.binom(ROUNDS, level).interval(0.999)


@pytest.mark.parametrize("n", [19, 199])
def test_without_ties_the_false_positive_rate_is_exact(n):
    low, high = bounds()
    assert low <= alarms(lambda generator, shape: generator.normal(size=shape), n) <= high


@pytest.mark.parametrize("n", [10, 50, 99, 205])
@pytest.mark.parametrize("values", [2, 5, 30])
def test_with_ties_the_false_positive_rate_is_bounded(n, values):
    assert alarms(lambda generator, shape: generator.integers(values, size=shape), n) <= bounds()[1]


def test_by_hand():
    calibration = [3.0, 1.0, 2.0, 2.0]
    found = metrics.conformal_p_values([0.0, 1.0, 2.0, 2.5, 3.0, 4.0, np.inf], calibration)
    np.testing.assert_allclose(found, np.array([5, 5, 4, 2, 2, 1, 1]) / 5)
    loop = [(1 + sum(c >= s for c in calibration)) / 5 for s in [0.0, 1.0, 2.0, 2.5, 3.0, 4.0, np.inf]]
    np.testing.assert_allclose(found, loop)


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_the_false_discovery_rate_is_controlled(alpha):
    generator, rounds = np.random.default_rng(0), 1_500
    wrong, hit = np.zeros(rounds), np.zeros(rounds)
    for i in range(rounds):
        rows = np.r_[generator.normal(size=90), generator.normal(4, size=10)]
        rejected = metrics.benjamini_hochberg(metrics.conformal_p_values(rows, generator.normal(size=500)), alpha=alpha)
        wrong[i], hit[i] = rejected[:90].sum() / max(rejected.sum(), 1), rejected[90:].mean()
    error = wrong.std() / np.sqrt(rounds)
    assert wrong.mean() <= 0.9 * alpha + 3 * error  # the bound is alpha times the share of inliers
    assert wrong.mean() >= 0.6 * alpha  # the procedure is not overly conservative
    assert hit.mean() > 0.5


def test_benjamini_hochberg_by_hand():
    p_values = np.array([0.01, 0.6, 0.02, 0.04, 0.03])
    order = np.sort(p_values)
    largest = max(p for rank, p in enumerate(order, 1) if p <= rank / 5 * 0.05)
    np.testing.assert_array_equal(metrics.benjamini_hochberg(p_values), p_values <= largest)
    assert metrics.benjamini_hochberg(np.zeros(0)).shape == (0,)
    exact = np.r_[np.full(17, 17 / 500), np.ones(83)]  # 17/500 * 100/17 differs from 1/5 by rounding
    assert metrics.benjamini_hochberg(exact, alpha=0.2).sum() == 17


def test_bad_input_raises():
    with pytest.raises(ValueError, match=r"got \(1,\) and \(0,\)"):
        metrics.conformal_p_values([1.0], [])
    with pytest.raises(ValueError, match="got 1 in `scores` and 0 in `calibration`"):
        metrics.conformal_p_values([np.nan, 1.0], [1.0])
    with pytest.raises(ValueError, match=r"`p_values` must be \[m\] with numbers between 0 and 1"):
        metrics.benjamini_hochberg([0.5, 1.2])
    with pytest.raises(ValueError, match=r"`alpha` must be between 0 and 1 \(got 5.0\)"):
        metrics.benjamini_hochberg([0.5], alpha=5.0)
