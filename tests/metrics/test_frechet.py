"""Fréchet distance against its definition and closed forms; Inception score at its extremes."""

import numpy as np
import pytest
from scipy import linalg

from jaxgen import metrics


def by_definition(x, y):
    first, second = np.cov(x.T), np.cov(y.T)
    root = linalg.sqrtm(first @ second)
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(first + second - 2 * root.real)


def test_the_distance_equals_its_definition():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(50, 6)), generator.normal(size=(80, 6)) @ generator.normal(size=(6, 6)) + 1
    np.testing.assert_allclose(metrics.frechet_distance(x, y), by_definition(x, y), rtol=1e-8)


def test_fewer_rows_than_features_and_a_constant_one():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(4, 9)), generator.normal(size=(5, 9))
    x[:, 0] = y[:, 0] = 3.0
    assert metrics.frechet_distance(x, x) < 1e-12
    np.testing.assert_allclose(metrics.frechet_distance(x, y), metrics.frechet_distance(y, x))
    assert metrics.frechet_distance(x, y) > np.sum((x.mean(0) - y.mean(0)) ** 2)


def test_normal_distributions_of_known_distance():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200_000, 2))
    y = generator.normal(size=(200_000, 2)) * [1, 3] + [2, 0]
    assert abs(metrics.frechet_distance(x, y) - (4 + (3 - 1) ** 2)) < 0.1


def test_the_inception_score_at_its_extremes_and_by_hand():
    sure = np.eye(10)[np.arange(1000) % 10]
    assert metrics.inception_score(sure, 10) == (pytest.approx(10), pytest.approx(0, abs=1e-9))
    assert metrics.inception_score(np.full((100, 10), 0.1)).mean == pytest.approx(1)
    assert metrics.inception_score(sure[:1].repeat(50, 0)).mean == pytest.approx(1)  # certain of a single class
    mixed = np.array([[0.75, 0.25], [0.25, 0.75]])
    by_hand = np.exp(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert metrics.inception_score(mixed, 1).mean == pytest.approx(by_hand)


def test_bad_features_and_probabilities_raise():
    with pytest.raises(ValueError, match=r"shapes \(3, 2\) and \(3, 4\)"):
        metrics.frechet_distance(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="give two rows or more of each"):
        metrics.frechet_distance(np.zeros((1, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"`splits` must be at least 1 \(got 0\)"):
        metrics.inception_score(np.full((20, 2), 0.5), splits=0)
    for wrong in (np.zeros((20, 3)), np.full((20, 3), np.nan), np.full(10, 0.1), np.full((20, 3, 4), 0.25)):
        with pytest.raises(ValueError, match="give rows of non-negative numbers that sum to 1"):
            metrics.inception_score(wrong)
