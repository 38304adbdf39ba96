"""Flags at a given share, and each detector on anomalies that are far away."""

import numpy as np
import pytest

from experiments.common import anomaly_metrics


def test_flags_agree_with_a_count_by_hand():
    found = anomaly_metrics.evaluate(np.array([5.0, 4, 3, 2, 1, 0]), np.array([1, 0, 1, 0, 0, 0], bool), 0.2)
    np.testing.assert_allclose([found[name] for name in ("precision", "recall", "f1")], [0.5, 0.5, 0.5])
    np.testing.assert_allclose([found["auroc"], found["auprc"], found["share"]], [7 / 8, (1 + 2 / 3) / 2, 1 / 3])


def test_ties_at_the_threshold_are_all_flagged():
    found = anomaly_metrics.evaluate(np.zeros(10), np.arange(10) < 2, 0.2)
    np.testing.assert_allclose([found[name] for name in ("precision", "recall", "auroc")], [0.2, 1.0, 0.5])


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(FloatingPointError, match=r"scores must be finite \(got 1 of 3"):
        anomaly_metrics.evaluate(np.array([0, np.nan, 1]), np.array([True, False, False]), 0.5)


@pytest.mark.parametrize("name", anomaly_metrics.DETECTORS)
def test_a_detector_finds_what_is_far_away(name, monkeypatch):
    monkeypatch.setattr(anomaly_metrics, "BATCH_SIZE", 70)  # less than all rows
    generator = np.random.default_rng(0)
    x, test = generator.standard_normal((300, 3)), generator.standard_normal((200, 3))
    anomalous = np.arange(200) < 40
    test[anomalous] += 6
    scores = anomaly_metrics.DETECTORS[name].score(np.random.RandomState(0), x, test, anomalous)
    auroc = anomaly_metrics.evaluate(scores, anomalous, 0.2)["auroc"]
    assert abs(auroc - 0.5) < 0.15 if name == "chance" else auroc > 0.99
