"""Expected calibration error against a calculation by hand, and of a calibrated classifier."""

import numpy as np
import pytest

from jaxgen import metrics


def test_it_is_the_mean_gap_of_the_bins():
    p = np.array([[0.95, 0.05], [0.92, 0.08], [0.4, 0.6], [0.55, 0.45], [1.0, 0.0]])
    labels = np.array([0, 1, 1, 1, 0])
    # Ten bins: from 0.9 two of three are correct, from 0.6 the only one, from 0.5 none.
    expected = (abs(2 - 2.87) + abs(1 - 0.6) + abs(0 - 0.55)) / 5
    assert metrics.expected_calibration_error(p, labels, bins=10) == pytest.approx(expected)


def test_a_calibrated_classifier_has_almost_none():
    generator = np.random.default_rng(0)
    p = generator.dirichlet([1, 1, 1], 200_000)
    labels = (p.cumsum(1) > generator.uniform(size=(200_000, 1))).argmax(1)
    assert metrics.expected_calibration_error(p, labels) < 0.01
    assert metrics.expected_calibration_error(p, (labels + 1) % 3) > 0.2


def test_mismatched_shapes_and_bad_probabilities_raise():
    right, labels = np.full((3, 2), 0.5), np.zeros(3, int)
    with pytest.raises(ValueError, match=r"got \(2,\) and \(3, 2\)"):
        metrics.expected_calibration_error(right, labels[:2])
    for wrong in (np.log(right), np.full((3, 2), np.nan), np.ones((3, 2)), np.ones(3), right[:0]):
        with pytest.raises(ValueError, match=r"calibration_error needs .* sum to 1"):
            metrics.expected_calibration_error(wrong, labels[: len(wrong)])
    with pytest.raises(ValueError, match=r"`bins` must be at least 1 \(got 0\)"):
        metrics.expected_calibration_error(right, labels, bins=0)


@pytest.mark.parametrize("labels", [["0", "1"], [0.0, 1.0], [0, 2], [-1, 0], [[0], [1]]])
def test_labels_are_whole_numbers_of_classes(labels):
    with pytest.raises(ValueError, match="labels"):
        metrics.expected_calibration_error([[0.5, 0.5], [0.1, 0.9]], labels)
