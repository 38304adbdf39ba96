"""The Gaussian grid end to end with few points and steps; its rules and aggregates by hand."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.common import cache
from experiments.evl import gaussians, grid_metrics
from jaxgen import data
from jaxgen.serialization.config_json import from_json


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(grid_metrics, "BLOCK", 500)
    mixture = data.GaussianMixture
    shrink = lambda n, **named: mixture(n=1000, test_n=2000, **named)
    monkeypatch.setattr(data, "GaussianMixture", shrink)


@pytest.mark.slow
def test_models_are_measured_written_and_drawn(few, tmp_path, monkeypatch):
    monkeypatch.setattr(gaussians, "MIXTURES", (4,))
    original = gaussians.ours
    monkeypatch.setattr(gaussians, "ours", lambda *given: dataclasses.replace(original(*given), batch_size=40))
    models = ("floor", "chance", "empirical", "gaussian_mixture", "untrained", "ours", "gan_published")
    settings = {"models": models, "dimensions": (2,), "gaussians": (4,), "points": (5_000,), "num_seeds": 1}
    few_steps = {"steps": 10, "epochs": 2, "cache_dir": tmp_path, "output_dir": tmp_path}
    experiment = gaussians.Experiment(**settings, **few_steps)
    (table,) = experiment.run()
    assert [cell.row.partition("-")[0] for cell in experiment.cells()] == list(models)
    assert all(np.isfinite(row.values[name]).all() for row in table.rows for name in ("kl", "fisher"))
    written = json.loads((tmp_path / "gaussians_5000.json").read_text())
    assert len(written["rows"]) == len(models) + 1  # ours without its bandwidth as well
    assert set(written["configs"]) == {"untrained", "ours", "gan_published"}
    assert from_json(written["configs"]["ours"]).method == original(data.GaussianMixture(n=1, dimensions=2), 10).method
    assert (tmp_path / "gaussians.png").stat().st_size > 10_000
    monkeypatch.setattr(cache, "write_whole", None)  # again: nothing is computed a second time
    assert experiment.run()[0].rows == table.rows


def test_geometric_means_as_the_paper_s():
    values = np.array([1.0, 10.0, 100.0])
    assert gaussians.geometric(values, 3) == "10 ± 9; 37"  # 10 * std(log) / sqrt(4) = 10 * 1.88 / 2


def test_one_configuration_for_all_cells():
    configs = [
        gaussians.ours(data.GaussianMixture(n=n, components=c, dimensions=3, seed=s), 100)
        for n, c, s in ((50_000, 1, 1), (5_000, 10, 2))
    ]
    assert configs[0].method == configs[1].method
    assert [config.seed for config in configs] == [1, 2]
    for models in gaussians.PUBLISHED.values():
        assert all(len(row) == 4 for cells in models.values() for row in cells.values())


def test_unknown_models_are_an_error():
    with pytest.raises(SystemExit, match="models must be among floor, chance"):
        gaussians.Experiment(models=("vae",))
    for sizes in ({"dimensions": (5,)}, {"gaussians": (3,)}, {"points": (10_000,)}):
        with pytest.raises(SystemExit, match="must be among"):
            gaussians.Experiment(**sizes)
