"""Removal of suspected outliers from training rows, and detectors of contaminated tables."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

import jaxgen
from jaxgen import metrics
from jaxgen.detector.trimming import suspected_inliers

GENERATOR = np.random.default_rng(0)


def contaminated(n, share, d=3):
    """Normal rows, of which a share is replaced by a tight cluster, in a random order; and which are of the cluster."""
    planted = GENERATOR.permutation(np.arange(n) < round(share * n))
    rows = GENERATOR.normal(size=(n, d))
    rows[planted] = 5 + 0.05 * rows[planted]
    return rows.astype(np.float32), planted


@pytest.mark.parametrize("decorrelate", [False, True])
@pytest.mark.parametrize("n", [60, 400, 1_500])  # more and fewer than are searched
def test_a_cluster_is_removed(n, decorrelate):
    rows, planted = contaminated(n, 0.1)
    kept = suspected_inliers(rows, 0.2, decorrelate=decorrelate)
    assert not np.any(kept & planted)
    assert np.sum(~kept) == round(0.2 * n)


def test_the_removed_rows_have_the_largest_mean_distances():
    """The larger of two distances, each by a loop over all pairs."""
    rows = contaminated(50, 0.04)[0] @ np.float32([[1, 0.9, 0], [0, 0.2, 0], [0, 0, 1]])
    precision = np.linalg.inv(LedoitWolf().fit(np.float64(rows)).covariance_)
    scores = []
    for metric in (np.eye(3), precision):
        pairs = cdist(rows, rows, "mahalanobis", VI=metric)
        means = np.array([np.mean(np.sort(np.delete(row, own))[:10]) for own, row in enumerate(pairs)])
        low, median, high = np.quantile(means, [0.25, 0.5, 0.75])
        scores.append((means - median) / (high - low))  # the logarithm after that keeps the order
    expected = np.argsort(np.maximum(*scores))[46:]
    np.testing.assert_array_equal(np.flatnonzero(~suspected_inliers(rows, 0.08)), np.sort(expected))


@pytest.mark.parametrize("n", [3, 4, 7])
def test_at_least_two_rows_are_kept(n):
    assert np.sum(suspected_inliers(contaminated(n, 0.0)[0], 0.8)) == max(2, n - int(np.ceil(0.8 * n)))


def test_trimming_finds_outliers_like_those_among_the_training_rows():
    rows, _ = contaminated(600, 0.05)
    new, planted = contaminated(400, 0.2)
    auroc = {}
    for share in (0.0, 0.1):
        scores = -jaxgen.Detector(trim_fraction=share, random_state=0).fit(rows).score_samples(new)
        auroc[share] = metrics.detection(scores[~planted], scores[planted]).auroc
    assert auroc[0.0] < 0.8
    assert auroc[0.1] > 0.99


def test_everything_but_the_calibration_set_is_fitted_to_the_kept_rows():
    rows, _ = contaminated(500, 0.1)
    fitted = jaxgen.Detector(trim_fraction=0.2, steps=1, random_state=0).fit(rows)
    assert np.all(fitted.scaler_[-1].mean_ < 0.3)  # 0.5 with all rows
    assert np.all(fitted.typical_ < 2)
    assert len(fitted.blend_.rows) == 400 - 80
    assert len(fitted.calibration_) == 100
    clean = GENERATOR.normal(size=(2_000, 3))
    assert np.mean(fitted.predict(clean) == -1) < 0.1  # conservative, by the outliers of the calibration set


@pytest.mark.parametrize("wrong", [-0.1, 0.9, float("nan")])
def test_the_fraction_is_a_share(wrong):
    with pytest.raises(ValueError, match=r"`trim_fraction` must be from 0 to 0.8 \(got .*\); try 0.1"):
        jaxgen.Detector(trim_fraction=wrong).fit(np.eye(20))


def test_rows_that_are_equal_without_the_removed_ones_are_refused():
    rows = np.zeros((100, 2))
    rows[::20] = GENERATOR.normal(size=(5, 2))
    with pytest.raises(ValueError, match=r"training rows must differ \(got 48 equal rows\); .* below 0.4"):
        jaxgen.Detector(trim_fraction=0.4).fit(rows)


def test_images_are_trimmed():
    rows, _ = contaminated(300, 0.1, 64)
    fitted = jaxgen.Detector(trim_fraction=0.2, steps=1, num_seeds=1, random_state=0).fit(rows.reshape(-1, 8, 8, 1))
    assert len(fitted.blend_.rows) == 240 - 48
    assert np.all(fitted.scaler_.mean_ < 0.3)  # 0.5 with all images
