"""The experiment end to end, with few steps, samples and chains."""

import json

import numpy as np
import pytest

from experiments.meg import toy, toy_metrics
from jaxgen import metrics


@pytest.fixture
def small(monkeypatch):
    for name, value in {"NUM_SAMPLES": 2000, "NUM_CHAINS": 20, "ADAPTATION_STEPS": 5, "CHAIN_STEPS": 10}.items():
        monkeypatch.setattr(toy_metrics, name, value)
    monkeypatch.setattr(toy_metrics, "FINE", metrics.Grid(100, -2.0, 2.0))


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(small, tmp_path):
    experiment = toy.Experiment(steps=8, width=8, quick=True, cache_dir=tmp_path)
    (table,) = experiment.run()
    values = {row.title: row.values for row in table.rows}
    assert len(values) == len(toy.ROW_TITLES) + 4
    assert values["the distribution itself (floor)"]["covered"] == [8.0]
    assert values["the distribution itself (floor)"]["kl"][0] < 0.5 < values["uniform in the square (chance)"]["kl"][0]
    assert values["exp(-bE)/Z, the best b"]["grid_kl"] <= values["exp(-E)/Z"]["grid_kl"]
    assert np.isfinite([number for row in values.values() for numbers in row.values() for number in numbers]).all()
    assert 0 < values["chains in data space"]["acceptance"][0] <= 1
    assert (tmp_path / "quick" / "toy_eight.png").stat().st_size > 10_000
    written = json.loads((tmp_path / "quick" / "toy_eight.json").read_text())["config"]["fields"]
    text = (tmp_path / "quick" / "toy_eight.md").read_text()
    assert f"8 steps with lambda {written['method']['fields']['penalty']:g}." in text


def test_the_paper_s_size_is_what_papers_say():
    config = toy.Experiment(paper=True).config("roll", 0)
    assert (config.steps, config.batch_size, config.method.learning_rate) == (100_000, 5 * 256, 1e-4)
    assert (config.method.n_critic, config.method.penalty, config.method.latent_dim) == (5, 0.1, 2)
    assert config.method.critic.widths == (512, 512, 512, 1)


@pytest.mark.parametrize("name", toy.TOYS)
def test_every_toy_is_trained_as_was_chosen_for_it(name):
    ours, paper = (toy.Experiment(paper=paper).config(name, 0) for paper in (False, True))
    assert (ours.steps, ours.method.penalty) == (toy.STEPS[name], toy.PENALTIES[name])
    assert 0 < ours.method.penalty < paper.method.penalty
    assert 0 < ours.steps == ours.method.learning_rate.steps < paper.steps
    assert toy.Experiment(steps=8).config(name, 0).steps == 8


@pytest.mark.parametrize(("steps", "taken"), [(None, 400), (8, 8), (500, 400)])
def test_a_quick_run_is_short(steps, taken):
    reduced = toy.Experiment(steps=steps, num_seeds=3).reduced()
    assert (reduced.toys, reduced.num_seeds, reduced.steps) == (("eight",), 1, taken)


def test_unknown_data_are_an_error():
    with pytest.raises(SystemExit, match="toys must be among eight"):
        toy.Experiment(toys=("nine",))
