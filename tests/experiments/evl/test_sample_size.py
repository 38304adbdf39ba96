"""The contraction experiment end to end with few points, and that a run that was cut off keeps its end."""

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
    table = sample_size.run(experiment)
    assert [row.title for row in table.rows] == [
        "50,000 points, 1 epochs",
        "5,000 points, 1 epochs",
        "5,000 points, 10 epochs",
    ]
    written = json.loads((tmp_path / "quick" / "evl_contraction.json").read_text())
    assert [[curve[-1]["step"] for curve in seeds] for seeds in written["curves"].values()] == [[12], [1], [10]]
    assert [from_json(config).steps for config in written["configs"].values()] == [12, 1, 10]
    assert (tmp_path / "quick" / "evl_contraction.png").stat().st_size > 10_000
    # Cut off between the last checkpoint and the last look: the run is over, and its end is looked at again.
    for kept in (tmp_path / "quick").glob("*.curve"):
        kept.write_text("".join(kept.read_text().splitlines(keepends=True)[:-1]))
        kept.with_suffix(".json").unlink()
    assert sample_size.run(experiment).rows == table.rows
