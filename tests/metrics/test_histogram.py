"""Histograms against plain counting; divergences against closed forms and the paper's printed numbers."""

import inspect
import time

import numpy as np
import pytest

from jaxgen import data, metrics


@pytest.mark.parametrize("d", [1, 2, 3])
def test_grid_counts_as_a_loop_does(d):
    generator = np.random.default_rng(d)
    x, weights = generator.normal(size=(300, d)) * 6, generator.uniform(size=300)
    counts = np.zeros((20,) * d)
    for point, weight in zip(x, weights, strict=True):
        cell = tuple(int(min(max(np.floor(20 * (c + 12) / 24), 0), 19)) for c in point)
        counts[cell] += weight
    np.testing.assert_allclose(metrics.Grid()(x, weights), counts.ravel() / counts.sum(), rtol=1e-12)


def test_points_outside_count_at_the_edge():
    counts = metrics.Grid(bins=4, low=0.0, high=4.0)(np.array([[-9.0], [0.5], [4.0], [99.0]]))
    np.testing.assert_array_equal(counts, [0.5, 0, 0, 0.5])


def test_closed_forms():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    # Restricted to the test's cells the two are equal: half of the model's mass has no effect on the KL.
    assert metrics.kl_divergence(p, q) == pytest.approx(0, abs=1e-12)
    assert metrics.mass_off_support(p, q) == 0.5
    assert metrics.fisher_distance(p, q) == pytest.approx(2 * np.arccos(2 * np.sqrt(1 / 8)))
    assert metrics.kl_divergence(q, np.array([0.5, 0.25, 0.25])) == pytest.approx(0.25 * np.log(0.5) + 0.5 * np.log(2))


def test_equal_histograms_have_distance_0_and_disjoint_ones_pi():
    p, q = np.array([0.2, 0.8, 0.0]), np.array([0.0, 0.0, 1.0])
    assert metrics.fisher_distance(p, p) == pytest.approx(0, abs=1e-7)
    assert metrics.kl_divergence(p, p) == pytest.approx(0, abs=1e-12)
    assert metrics.fisher_distance(p, q) == pytest.approx(np.pi)


def test_an_empty_cell_costs_74_nats_per_unit_of_mass():
    test, model = np.array([0.1, 0.9]), np.array([0.0, 1.0])
    expected = 0.1 * np.log(0.1 / 1e-32) + 0.9 * np.log(0.9)
    assert metrics.kl_divergence(test, model) == pytest.approx(expected, rel=1e-12)


def test_a_model_without_mass_in_test_cells_counts_as_uniform():
    test = np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    # 0.106 nats, although a model with a little mass in these cells costs 70.
    expected = np.log(4) + sum(p * np.log(p) for p in (0.1, 0.2, 0.3, 0.4))
    assert metrics.kl_divergence(test, np.array([0.0, 0.0, 0.0, 0.0, 1.0])) == pytest.approx(expected, rel=1e-12)
    assert metrics.mass_off_support(test, np.array([0.0, 0.0, 0.0, 0.0, 1.0])) == 1
    nearly = np.array([1e-9, 0.0, 0.0, 0.0, 1 - 1e-9])
    assert metrics.kl_divergence(test, nearly) > 60


@pytest.mark.parametrize(
    ("components", "d", "n", "kl", "fisher"), [(1, 1, 50_000, 0.00047, 0.016), (4, 2, 5_000, 0.155, 0.153)]
)
def test_the_paper_s_numbers_are_reproduced_from_its_data(components, d, n, kl, fisher):
    """Geometric means over seeds 1 to 5 of the training set's histogram, as in the authors' stored results."""
    found = []
    for seed in range(1, 6):
        mixture = data.GaussianMixture(n=n, seed=seed, components=components, dimensions=d)
        test, model = metrics.Grid()(mixture.test()), metrics.Grid()(mixture.tables()[0])
        found.append((metrics.kl_divergence(test, model), metrics.fisher_distance(test, model)))
    np.testing.assert_allclose(np.exp(np.mean(np.log(found), 0)), [kl, fisher], rtol=0.02)


def test_four_dimensions_take_well_under_a_second():
    x = np.random.default_rng(0).normal(size=(400_000, 4)).astype(np.float32)
    begun = time.process_time()  # this process only, so that other load does not count
    counts = metrics.Grid()(x)
    metrics.kl_divergence(counts, counts[::-1])
    assert time.process_time() - begun < 1
    assert counts.shape == (160_000,)


@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.full((3, 2), np.nan), np.zeros(3)])
def test_bad_points_raise(x):
    with pytest.raises(ValueError, match=r"must be finite points \[n, d\]"):
        metrics.Grid()(x)


def test_bad_weights_and_unequal_grids_raise():
    with pytest.raises(ValueError, match=r"got a minimum of -1\.0"):
        metrics.Grid(2, 0.0, 1.0)([[0.1], [0.9], [0.9]], [-1, 1, 1])
    with pytest.raises(ValueError, match=r"positive finite sum \(got 0\.0"):
        metrics.Grid()(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(ValueError, match=r"positive finite sum \(got inf"):
        metrics.Grid()(np.zeros((3, 2)), np.array([1, np.inf, 1]))
    for measure in (metrics.kl_divergence, metrics.fisher_distance, metrics.mass_off_support):
        with pytest.raises(ValueError, match=r"same shape \(got \(2,\) and \(3,\)"):
            inspect.unwrap(measure)(np.ones(2) / 2, np.ones(3) / 3)  # without the annotation checks of the tests


@pytest.mark.parametrize("measure", [metrics.kl_divergence, metrics.fisher_distance, metrics.mass_off_support])
def test_counts_are_not_shares(measure):
    shares, counts = np.array([0.25, 0.75]), np.array([1.0, 3.0])
    with pytest.raises(ValueError, match=r"`model` must hold shares .* \(got a sum of 4\)"):
        measure(shares, counts)
    with pytest.raises(ValueError, match="`test` must hold shares"):
        measure(np.array([-0.25, 1.25]), shares)


@pytest.mark.parametrize("wrong", [{"low": 1.0, "high": 1.0}, {"low": 2.0, "high": 1.0}, {"high": np.inf}, {"bins": 0}])
def test_a_grid_has_cells(wrong):
    with pytest.raises(ValueError, match=r"must be (below `high`|a whole number)"):
        metrics.Grid(**wrong)
    with pytest.raises(ValueError, match=r"at most 134217728 cells \(got 20 bins in 10 dimensions\)"):
        metrics.Grid()(np.zeros((3, 10)))
    with pytest.raises(ValueError, match=r"`weights` must be \[3\]"):
        metrics.Grid()(np.zeros((3, 2)), np.ones((3, 1)))
