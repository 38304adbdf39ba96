"""The time to the first step, measured end to end in one fresh process."""

import json

import numpy as np

from experiments.speed import benchmark


def test_a_fresh_process_is_measured_by_stage(tmp_path):
    (table,) = benchmark.Experiment(comparisons=("first_step",), quick=True, cache_dir=tmp_path).run()
    (row,) = table.rows
    values = {name: value for name, (value,) in row.values.items()}
    assert all(np.isfinite(value) for value in values.values())
    assert values["programs"] >= 2  # one for the initial parameters, one for training
    assert values["xla"] > 0
    assert values["trace"] > 0
    np.testing.assert_allclose(values["xla"] + values["trace"] + values["rest"], values["seconds"])
    written = json.loads((tmp_path / "quick" / "first_step.json").read_text())
    assert written["rows"][0]["values"]["programs"] == [values["programs"]]
