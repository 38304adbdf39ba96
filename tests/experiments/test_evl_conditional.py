"""The conditional experiment end to end with few steps and draws."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import evl_conditional


def test_every_model_is_measured_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(evl_conditional, "DRAWS", 400)
    problem = evl_conditional.PROBLEMS["pendulum"]
    make = lambda seed: dataclasses.replace(problem.make(seed), n=300)
    changed = dataclasses.replace(problem, make=make, inputs=problem.inputs[::12])
    monkeypatch.setitem(evl_conditional.PROBLEMS, "pendulum", changed)
    evl_conditional.truth.cache_clear()
    experiment = evl_conditional.Experiment(problems=("pendulum",), quick=True, steps=10, runs=tmp_path)
    table = evl_conditional.run(experiment)
    evl_conditional.truth.cache_clear()
    assert len(table.rows) == len(evl_conditional.MODELS)
    assert all(np.isfinite(values).all() for row in table.rows for values in row.values.values())
    fisher = {row.title.removeprefix("double pendulum: "): row.values["fisher"][0] for row in table.rows}
    assert fisher["the truth itself (floor)"] < fisher["outcomes of any input (chance)"] < fisher["EVL, untrained"]
    assert len(json.loads((tmp_path / "quick" / "evl_conditional.json").read_text())["rows"]) == len(table.rows)
    assert (tmp_path / "quick" / "evl_conditional.png").stat().st_size > 10_000


def test_unknown_names_are_told():
    with pytest.raises(SystemExit, match="choose from ring, pendulum"):
        evl_conditional.run(evl_conditional.Experiment(models=("vae",)))
