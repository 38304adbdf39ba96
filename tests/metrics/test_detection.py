"""Detection metrics against double loops, and the coverage of bootstrap intervals."""

import numpy as np
import pytest
from scipy import stats

from jaxgen import metrics


def scores(n=40, m=30, seed=0, ties=False):
    generator = np.random.default_rng(seed)
    inliers, outliers = generator.normal(size=n), generator.normal(0.8, size=m)
    return (np.round(inliers), np.round(outliers)) if ties else (inliers, outliers)


def by_pairs(inliers, outliers):
    return np.mean([(o > i) + 0.5 * (o == i) for o in outliers for i in inliers])


def false_alarms(inliers, outliers):
    thresholds = [t for t in np.unique([*inliers, *outliers]) if np.mean(outliers >= t) >= 0.95]
    return np.mean(inliers >= max(thresholds))


def average_precision(inliers, outliers):
    total, before = 0.0, 0.0
    for threshold in np.unique([*inliers, *outliers])[::-1]:
        hit, missed = np.sum(outliers >= threshold), np.sum(inliers >= threshold)
        total += (hit / len(outliers) - before) * hit / (hit + missed)
        before = hit / len(outliers)
    return total


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_metrics_equal_double_loops(seed, ties):
    given = scores(seed=seed, ties=ties)
    found = metrics.detection(*given)
    np.testing.assert_allclose(
        found, (by_pairs(*given), average_precision(*given), 30 / 70, false_alarms(*given)), rtol=1e-12
    )


def test_only_ranks_matter_and_infinite_scores_are_allowed():
    inliers, outliers = scores()
    assert metrics.detection(np.exp(inliers), np.exp(outliers)) == metrics.detection(inliers, outliers)
    outliers[0] = np.inf
    assert metrics.detection(inliers, outliers).auroc == pytest.approx(by_pairs(inliers, outliers))


def test_perfect_reversed_and_constant_scores():
    low, high = np.arange(100.0), np.arange(100.0, 200.0)
    assert metrics.detection(low, high) == (1, 1, 0.5, 0)
    assert metrics.detection(high, low)[0] == 0
    assert metrics.detection(high, low).fpr_at_95_tpr == 1
    assert metrics.detection(np.zeros(10), np.zeros(30)) == (0.5, 0.75, 0.75, 1)
    assert metrics.detection(low, low).fpr_at_95_tpr == 0.95  # all points of the curve lie on the diagonal


@pytest.mark.slow
def test_the_interval_has_its_nominal_coverage():
    truth, rounds = stats.norm.cdf(0.8 / np.sqrt(2)), 200
    for confidence in (0.5, 0.9):
        held = 0
        for seed in range(rounds):
            found = metrics.bootstrap(
                *scores(80, 80, seed), confidence=confidence, num_resamples=80, seed=seed + rounds
            )
            held += found.low <= truth <= found.high
        error = np.sqrt(confidence * (1 - confidence) / rounds)
        # Within three standard errors; the percentile interval of few samples is slightly too short.
        assert confidence - 0.03 - 3 * error < held / rounds < confidence + 3 * error


def test_an_interval_of_another_metric():
    given, fpr = scores(), lambda *scores: metrics.detection(*scores).fpr_at_95_tpr
    found = metrics.bootstrap(*given, metric=fpr, num_resamples=50)
    assert found.low < fpr(*given) < found.high
    assert found == metrics.bootstrap(*given, metric=fpr, num_resamples=50)


def test_bad_scores_raise():
    for bad in (np.zeros(0), np.zeros((2, 2)), np.array([0.0, np.nan])):
        with pytest.raises(ValueError, match=r"scores must be \[n\] with n >= 1 and without NaN"):
            metrics.detection(np.zeros(3), bad)
    with pytest.raises(ValueError, match=r"got shape \(2,\), 1 NaN"):
        metrics.bootstrap(np.array([0.0, np.nan]), np.zeros(3))
    with pytest.raises(ValueError, match=r"got 1 and 3\); give more"):
        metrics.bootstrap(np.zeros(1), np.zeros(3))
    with pytest.raises(ValueError, match=r"`confidence` must be between 0 and 1 \(got 95.0\)"):
        metrics.bootstrap(np.zeros(3), np.zeros(3), confidence=95.0)
