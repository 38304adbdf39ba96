"""Outliers of toy distributions: the distributions, the evaluation, and the tests of claims."""

import jax
import numpy as np
import pytest

from experiments.flows import outlier_settings, outliers, outliers_report, toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS
from jaxgen import methods, nets


@pytest.mark.parametrize("name", toy_distributions.DISTRIBUTIONS)
def test_densities_are_those_of_the_samples(name):
    distribution = toy_distributions.DISTRIBUTIONS[name]
    x, labels = distribution.draw(np.random.default_rng(0), 4_000)
    side = np.linspace(-6, 6, 121)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    area = (side[1] - side[0]) ** 2
    mass = np.exp(distribution.log_density(grid)) * area
    assert mass.sum() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mass @ grid, x.mean(0), atol=0.1)
    # The share of samples above a density is that of the mass above it.
    bound = distribution.log_density_quantile(0.3)
    assert mass[distribution.log_density(grid) > bound].sum() == pytest.approx(0.7, abs=0.03)
    assert np.mean(distribution.log_density(x) > bound) == pytest.approx(0.7, abs=0.03)
    assert set(labels) == set(range(distribution.classes))


def test_three_gaussians_have_the_thesis_accuracy():
    assert toy_distributions.DISTRIBUTIONS["three Gaussians"].accuracy == pytest.approx(0.926, abs=0.01)


def test_outliers_lie_outside_and_gaps_within():
    points = outlier_settings.points("two moons", 0)
    assert set(points.outliers) == {"box", "ring", "gap", "other", "noise"}
    low = points.distribution.log_density_quantile(0.01)
    assert all((points.distribution.log_density(x) < low).all() for x in points.outliers.values())
    assert np.abs(points.outliers["gap"]).max() < 2.5
    assert set(outlier_settings.points("three Gaussians", 0).outliers) == {"box", "ring", "noise"}


def test_a_perfect_and_a_constant_score():
    points = outlier_settings.points("three Gaussians", 0)
    distribution = points.distribution
    low = distribution.log_density_quantile(0.01)
    perfect = outliers.evaluated(lambda x: (distribution.log_density(x) < low).astype(float), points)
    assert perfect["auroc"] > 0.99
    assert perfect["fpr"] < 0.02
    constant = outliers.evaluated(lambda x: np.zeros(len(x)), points)
    assert constant["auroc"] == 0.5
    assert constant["ring"] == 0.5


def test_inversion_is_exact_in_double_precision():
    flow = methods.Flow(nets.dense_flow(2, depth=2, widths=(4,))).resolve(jax.ShapeDtypeStruct((2,), "float32"))
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = outliers.inversion(flow, flow.init(jax.random.key(0), jax.numpy.asarray(x, "float32")), x)
    assert found["error in double"] < 1e-12
    assert found["error in single"] < 1e-5


def test_claims_are_tested_by_paired_differences():
    line = lambda base, **more: [{"auroc": base + 0.01 * seed, **more} for seed in range(5)]
    rows = {
        "plain classifier": line(0.5, accuracy=0.9),
        "extreme, by class: classifier": line(0.6, accuracy=0.85),
        "spread, rejected: discriminator": line(0.7),
        "flow": line(0.6),
    }
    answers = outliers_report.claims({"a toy": rows})
    assert len(answers) == 2
    assert "C1" in answers[0]
    assert "a toy: no (auroc 0.1000 ± 0.0000 higher, accuracy -0.0500" in answers[0]  # too much accuracy is lost
    assert "C5" in answers[1]
    assert "a toy: yes" in answers[1]


@pytest.mark.parametrize(("gains", "answer"), [([0, 1, -1], "no"), ([0, 10, -10], "open"), ([9, 10, 11], "yes")])
def test_a_claim_without_a_gain_that_matters_fails_and_one_without_precision_is_open(gains, answer):
    rows = {"spread, rejected: discriminator": [{"auroc": 0.9 + gain / 1_000} for gain in gains]}
    (line,) = outliers_report.claims({"a toy": rows | {"flow": [{"auroc": 0.9}] * 3}})
    assert f"a toy: {answer} (" in line


@pytest.mark.slow
def test_a_quick_run_has_every_line(tmp_path):
    experiment = outliers.Experiment(
        quick=True, distributions=("three Gaussians",), samplers=("extreme",), cache_dir=tmp_path
    )
    table, flows = experiment.run()
    assert len(table.rows) == 6 + 2 * 2
    assert [row.title for row in flows.rows] == ["three Gaussians"]
    assert (tmp_path / "quick" / "outliers-three-Gaussians.png").stat().st_size > 10_000
    assert (tmp_path / "quick" / "outliers_flows-three-Gaussians.png").stat().st_size > 10_000


def test_unknown_samplers_are_an_error():
    with pytest.raises(SystemExit, match="samplers must be among box"):
        outliers.Experiment(samplers=("nothing",))


def test_no_two_samplers_share_a_title():
    assert len(SAMPLERS) == len({sampler.title for sampler in SAMPLERS.values()})
