"""Mode coverage by hand, and the divergence of a uniform sample against its expected value."""

import numpy as np
import pytest

from jaxgen import metrics


def test_by_hand():
    found = metrics.mode_coverage(np.array([[0, 1], [0, 1], [1, 0], [1, 1]]), classes=2)
    assert found.num_modes == 3
    np.testing.assert_allclose(found.kl, 0.5 * np.log(2))  # 1/2 log 2 + 2 * 1/4 log 1


def test_the_divergence_of_a_uniform_sample_is_that_of_its_size():
    """26 samples per mode have 999 / 52,000 nats on average, with a standard deviation of about 0.00086."""
    generator = np.random.default_rng(0)
    kl = [metrics.mode_coverage(generator.integers(0, 10, (26_000, 3))).kl for _ in range(5)]
    np.testing.assert_allclose(np.mean(kl), 999 / 52_000, atol=4 * 0.00086 / np.sqrt(5) + 3e-4)


def test_a_single_mode_has_the_largest_divergence():
    assert metrics.mode_coverage(np.zeros((9, 3), int)) == (1, pytest.approx(np.log(1000)))


@pytest.mark.parametrize(
    "labels", [np.zeros(3, int), np.zeros((2, 2)), np.full((2, 2), 10), np.full((2, 2), -1), np.zeros((0, 3), int)]
)
def test_labels_that_are_not_classes_raise(labels):
    with pytest.raises(ValueError, match=r"must be whole numbers from 0 to 9 of shape \[n, stacks\]"):
        metrics.mode_coverage(labels)


def test_ten_stacks_need_no_memory_for_all_modes():
    labels = np.zeros((4, 10), int)
    labels[2:, 9] = 1
    found = metrics.mode_coverage(labels)
    assert found.num_modes == 2
    np.testing.assert_allclose(found.kl, 10 * np.log(10) - np.log(2))
