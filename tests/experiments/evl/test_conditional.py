"""The conditional experiment end to end with few steps and draws."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.evl import conditional


@pytest.mark.slow
def test_every_model_is_measured_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(conditional, "DRAWS", 400)
    problem = conditional.PROBLEMS["pendulum"]
    make = lambda seed: dataclasses.replace(problem.make(seed), n=300)
    changed = dataclasses.replace(problem, make=make, inputs=problem.inputs[::12])
    monkeypatch.setitem(conditional.PROBLEMS, "pendulum", changed)
    conditional.truth.cache_clear()
    experiment = conditional.Experiment(problems=("pendulum",), quick=True, steps=10, cache_dir=tmp_path)
    (table,) = experiment.run()
    conditional.truth.cache_clear()
    assert len(table.rows) == len(conditional.MODELS)
    assert all(np.isfinite(values).all() for row in table.rows for values in row.values.values())
    fisher = {row.title.removeprefix("double pendulum: "): row.values["fisher"][0] for row in table.rows}
    assert fisher["the truth itself (floor)"] < fisher["outcomes of any input (chance)"] < fisher["EVL, untrained"]
    assert len(json.loads((tmp_path / "quick" / "conditional.json").read_text())["rows"]) == len(table.rows)
    assert (tmp_path / "quick" / "conditional.png").stat().st_size > 10_000


def test_unknown_names_are_an_error():
    with pytest.raises(SystemExit, match="problems must be among ring, pendulum"):
        conditional.Experiment(problems=("vae",))
    with pytest.raises(SystemExit, match="models must be among floor, chance"):
        conditional.Experiment(models=("vae",))
