"""The experiment on sample sizes end to end with few points; an interrupted run keeps its end."""

import dataclasses
import json

import pytest

from experiments.evl import baselines, grid_metrics, sample_size
from jaxgen import data
from jaxgen.serialization.config_json import from_json


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(grid_metrics, "BLOCK", 500)
    mixture = data.GaussianMixture
    monkeypatch.setattr(data, "GaussianMixture", lambda n, **named: mixture(n=n // 20, test_n=500, **named))
    original = baselines.extreme_value
    small = lambda *given, **named: dataclasses.replace(original(*given, **named | {"widths": (8,)}), batch_size=40)
    monkeypatch.setattr(baselines, "extreme_value", small)


@pytest.mark.slow
def test_every_run_is_followed_to_its_end(few, tmp_path):
    experiment = sample_size.Experiment(quick=True, dimensions=2, cache_dir=tmp_path)
    (table,) = experiment.run()
    assert [row.title for row in table.rows] == [
        "50,000 points, 1 epochs",
        "5,000 points, 1 epochs",
        "5,000 points, 10 epochs",
    ]
    written = json.loads((tmp_path / "quick" / "sample_size.json").read_text())
    assert [[curve[-1]["step"] for curve in seeds] for seeds in written["curves"].values()] == [[12], [1], [10]]
    assert [from_json(config).steps for config in written["configs"].values()] == [12, 1, 10]
    assert (tmp_path / "quick" / "sample_size.png").stat().st_size > 10_000
    # Interrupted between the last checkpoint and the last evaluation: training is over, and its end evaluated again.
    curves, cells = list((tmp_path / "quick").rglob("*.curve")), list((tmp_path / "quick").glob("*-1-*.json"))
    assert len(curves) == len(cells) == 3
    for kept in curves:
        kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:-1]))
    for cell in cells:
        cell.unlink()
    assert experiment.run()[0].rows == table.rows
