"""Small tables: properties of their rows, and the experiment end to end with a substitute for the detectors."""

import numpy as np
import pytest

import jaxgen
from experiments.tabular import detectors, small, small_data


@pytest.mark.parametrize("name", small_data.TABLES)
def test_tables_are_small_standardized_and_differ_by_seed(name):
    first, again, other = (small_data.split(name, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert 25 <= len(first.train) <= 1_000
    assert 0.1 < first.anomalous.mean() < 0.85
    np.testing.assert_allclose(first.train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(first.train.std(0), 1, rtol=1e-4)
    rows = np.concatenate([first.train, first.test[~first.anomalous]])
    inliers = {tuple(row) for row in rows.tolist()}
    assert len(inliers) > 0.97 * len(rows)  # the split repeats no row; two irises are equal
    assert not inliers & {tuple(row) for row in first.test[first.anomalous].tolist()}


def test_gaussian_rows_have_the_covariance_of_factors_and_noise():
    draw = small_data.gaussian(np.random.default_rng(0), 4)
    factors = np.random.default_rng(0).normal(size=(3, 4))
    covariance = factors.T @ factors + small_data.GAUSSIAN_NOISE**2 * np.eye(4)
    np.testing.assert_allclose(np.cov(draw(200_000).T), covariance, atol=0.05)


class Norm:
    """A detector of normal rows, with a threshold that a tenth of its rows exceed."""

    alpha = 0.1

    def __init__(self, random_state):
        pass

    def fit(self, x):
        self.offset_ = np.quantile(-np.linalg.norm(x, axis=1), 0.1)
        return self

    def score_samples(self, x):
        return -np.linalg.norm(x, axis=1)


def test_the_experiment_from_end_to_end(tmp_path, monkeypatch):
    norm = lambda measured: lambda split, seed: {name: np.linalg.norm(split.test, axis=1) for name in measured}
    groups = {"default": norm(["default", *detectors.CONTROLS]), "scikit-learn": detectors.scikit_learn}
    monkeypatch.setattr(detectors, "GROUPS", groups)
    monkeypatch.setattr(jaxgen, "Detector", Norm)
    experiment = small.Experiment(names=("curves",), rows=(1_000,), dimensions=(3,), num_seeds=2, cache_dir=tmp_path)
    thresholds, tables = experiment.run()
    values = thresholds.rows[0].values
    assert np.all(np.abs(np.array(values["ratio"]) - 1) < 0.2)
    assert np.all(np.abs(np.array(values["rate"]) - 0.1) < 0.03)
    assert values["low"][0] <= values["ratio"][0] <= values["high"][0]
    row = tables.rows[0]
    np.testing.assert_allclose(np.array(row.values["default"]) - row.values["best"], row.values["gap"])
    assert row.values["best"] == row.values["neighbor"]  # the curves are not round
    assert "the best other is distance to neighbor 5" in row.note
