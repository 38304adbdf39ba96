"""Outliers from the edge on toy laws: the laws, what is judged, and the answers."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.flows import outliers, outliers_report, toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS
from jaxgen import methods, nets


@pytest.mark.parametrize("name", toy_distributions.LAWS)
def test_densities_are_those_of_the_draws(name):
    law = toy_distributions.LAWS[name]
    x, labels = law.draw(np.random.default_rng(0), 4_000)
    grid = np.linspace(-6, 6, 121)
    places = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    cell = (grid[1] - grid[0]) ** 2
    mass = np.exp(law.log_density(places)) * cell
    assert mass.sum() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mass @ places, x.mean(0), atol=0.1)
    # The share of draws above a density is that of the mass above it.
    bound = law.bound(0.3)
    assert mass[law.log_density(places) > bound].sum() == pytest.approx(0.7, abs=0.03)
    assert np.mean(law.log_density(x) > bound) == pytest.approx(0.7, abs=0.03)
    assert set(labels) == set(range(law.classes))


def test_three_gaussians_have_the_thesis_accuracy():
    assert toy_distributions.LAWS["three Gaussians"].accuracy == pytest.approx(0.926, abs=0.01)


def test_strange_rows_lie_outside_and_gaps_within():
    rows = outliers.drawn("two moons", 0)
    assert set(rows.strange) == {"box", "ring", "gap", "other", "noise"}
    assert all((rows.law.log_density(x) < rows.law.bound(0.01)).all() for x in rows.strange.values())
    assert np.abs(rows.strange["gap"]).max() < 2.5
    assert set(outliers.drawn("three Gaussians", 0).strange) == {"box", "ring", "noise"}


def test_a_perfect_and_a_blind_score():
    rows = outliers.drawn("three Gaussians", 0)
    found = outliers.judged(lambda x: (rows.law.log_density(x) < rows.law.bound(0.01)).astype(float), rows)
    assert found["auroc"] > 0.99
    assert found["fpr"] < 0.02
    blind = outliers.judged(lambda x: np.zeros(len(x)), rows)
    assert blind["auroc"] == 0.5
    assert blind["ring"] == 0.5


def test_inversion_is_exact_in_double_precision():
    flow = methods.Flow(nets.dense_flow(2, depth=2, widths=(4,))).resolve(jax.ShapeDtypeStruct((2,), "float32"))
    x = np.random.default_rng(0).normal(size=(50, 2))
    found = outliers.inversion(flow, flow.init(jax.random.key(0), jax.numpy.asarray(x, "float32")), x)
    assert found["error in double"] < 1e-12
    assert found["error in single"] < 1e-5


def test_claims_are_answered_by_paired_differences():
    line = lambda base, **more: [{"auroc": base + 0.01 * seed, **more} for seed in range(5)]
    law = {
        "plain classifier": line(0.5, accuracy=0.9),
        "extreme, by class: classifier": line(0.6, accuracy=0.85),
        "spread, rejected: discriminator": line(0.7),
        "flow": line(0.6),
    }
    answers = outliers_report.claims({"a law": law})
    assert len(answers) == 2
    assert "C1" in answers[0]
    assert "a law: no (auroc 0.1000 ± 0.0000 higher, accuracy -0.0500" in answers[0]  # too much accuracy is lost
    assert "C5" in answers[1]
    assert "a law: yes" in answers[1]


@pytest.mark.parametrize(("gains", "answer"), [([0, 1, -1], "no"), ([0, 10, -10], "open"), ([9, 10, 11], "yes")])
def test_a_claim_without_a_gain_that_matters_is_not_so_and_one_without_precision_is_open(gains, answer):
    law = {"spread, rejected: discriminator": [{"auroc": 0.9 + gain / 1_000} for gain in gains]}
    (told,) = outliers_report.claims({"a law": law | {"flow": [{"auroc": 0.9}] * 3}})
    assert f"a law: {answer} (" in told


@pytest.mark.slow
def test_a_quick_run_has_every_line(tmp_path):
    experiment = outliers.Experiment(
        quick=True, laws=("three Gaussians",), samplers=("extreme",), cache_dir=tmp_path, output_dir=tmp_path
    )
    table = outliers.run(experiment)
    assert len(table.rows) == 6 + 2
    assert (tmp_path / "quick" / "flow_outliers-three-Gaussians.png").stat().st_size > 10_000
    assert (tmp_path / "quick" / "flow_outliers_flows-three-Gaussians.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match="there are no"):
        outliers.run(dataclasses.replace(experiment, samplers=("nothing",)))
    assert len(SAMPLERS) == len({sampler.title for sampler in SAMPLERS.values()})
