"""The experiment end to end, with few steps and points, as a user starts it."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.evl import baselines, grid_metrics, swiss_roll
from jaxgen import data
from jaxgen.serialization.config_json import from_json


@pytest.fixture
def few(monkeypatch):
    """The same experiment on two thousand points."""
    monkeypatch.setattr(grid_metrics, "BLOCK", 1000)
    monkeypatch.setattr(data, "SwissRoll", lambda seed: data.toy.SwissRoll(n=1000, test_n=2000, seed=seed))


@pytest.mark.slow
def test_every_row_is_measured_written_and_drawn(few, tmp_path, monkeypatch, capsys):
    small = lambda make: (
        lambda *given, **named: dataclasses.replace(make(*given, **named), steps=20, steps_per_call=10, batch_size=40)
    )
    monkeypatch.setattr(swiss_roll, "ours", small(swiss_roll.ours))
    monkeypatch.setattr(baselines, "extreme_value", small(baselines.extreme_value))
    others = {"mixture_density", "gan_published", "gan"}  # looked at with the grid of Gaussians, and by themselves
    models = tuple(model for model in swiss_roll.MODELS if model not in others)
    experiment = swiss_roll.Experiment(models, quick=True, steps=20, cache_dir=tmp_path / "runs")
    table = swiss_roll.run(experiment)
    titles = [row.title for row in table.rows]
    assert len(titles) == 11  # eight cells, two of them rejection sampled too, and ours without its bandwidth
    assert all(np.isfinite(values).all() for row in table.rows for values in row.values.values())
    written = json.loads((tmp_path / "runs" / "quick" / "evl_swiss_roll.json").read_text())
    assert [row["title"] for row in written["rows"]] == titles
    untrained = {"floor", "chance", "empirical", "smoothed", "gaussian_mixture"}
    assert set(written["configs"]) == set(models) - untrained
    rebuilt = from_json(written["configs"]["ours"])
    assert rebuilt.method == swiss_roll.ours(data.SwissRoll(seed=30), 20).method
    assert (tmp_path / "runs" / "quick" / "evl_swiss_roll.png").stat().st_size > 10_000
    assert "EVL, ours" in capsys.readouterr().out
    # Again: nothing is computed a second time.
    monkeypatch.setattr(grid_metrics, "score", None)
    again = swiss_roll.run(experiment)
    assert again.rows == table.rows


def test_unknown_rows_are_told():
    with pytest.raises(SystemExit, match="choose from floor, chance"):
        swiss_roll.run(swiss_roll.Experiment(models=("vae",)))


def test_its_command_line_explains_itself():
    told = subprocess.run(
        [sys.executable, "-m", "experiments.evl.swiss_roll", "--help"], capture_output=True, text=True, check=True
    )
    assert "--quick" in told.stdout
    assert "Seeds" in told.stdout
