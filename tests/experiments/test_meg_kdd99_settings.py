"""The choice of settings end to end, on made connections."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import connections, meg_kdd99_settings
from jaxgen import data


@pytest.fixture
def small(monkeypatch):
    generator = np.random.default_rng(0)
    x, attack = generator.standard_normal((1200, 6)).astype(np.float32), generator.uniform(size=1200) < 0.8
    x[~attack] += 8
    monkeypatch.setattr(data.connections, "_connections", lambda distinct: (x, attack))
    monkeypatch.setattr(connections, "BATCH", 64)
    monkeypatch.setattr(meg_kdd99_settings, "ROWS", 100)


def test_every_setting_is_judged_by_rows_of_the_training_half_and_the_best_is_told(small, tmp_path, monkeypatch):
    settings = [connections.Training(data.KDD99(), penalty, 1, "", 5e-5) for penalty in (1.0, 100.0, 1.0)]
    monkeypatch.setattr(connections, "CANDIDATES", {"scaled": settings})
    experiment = meg_kdd99_settings.Experiment(("scaled",), seeds=1, runs=tmp_path, out=tmp_path)
    (table,) = meg_kdd99_settings.run(experiment)
    values = [row.values["f1"] for row in table.rows]
    assert sorted(map(len, values)) == [1, 2, 2]
    first = [seeds[0] for seeds in values]
    assert min(first) in [seeds[0] for seeds in values if len(seeds) == 1]
    best = max((np.mean(seeds), row.title) for seeds, row in zip(values, table.rows, strict=True) if len(seeds) == 2)
    assert f"Taken: {best[1]}, the better by mean F1" in table.remarks[0]
    written = json.loads((tmp_path / "meg_kdd99_settings_scaled.json").read_text())
    assert [made["fields"]["penalty"] for made in written["settings"]] == [1.0, 100.0, 1.0]
    monkeypatch.setattr(meg_kdd99_settings.jaxgen, "train", None)  # again: nothing is computed a second time
    assert meg_kdd99_settings.run(experiment)[0] == table


def test_what_is_held_out_has_as_many_steps_as_the_training(small):
    training = connections.Training(data.KDD99(), 100.0, 3, "", 5e-5)
    held = connections.held_out(training)
    assert held.connections == dataclasses.replace(training.connections, validation=True)
    whole, half = (connections.configure(kind, 100, 200).steps for kind in (training, held))
    assert abs(whole - half) <= held.epochs  # whole batches of each epoch


def test_what_was_taken_is_a_candidate():
    for name, candidates in connections.CANDIDATES.items():
        taken = connections.TRAININGS[name]
        assert taken in candidates


def test_unknown_trainings_are_told():
    with pytest.raises(SystemExit, match="choose from scaled, distinct"):
        meg_kdd99_settings.run(meg_kdd99_settings.Experiment(("raw",)))
