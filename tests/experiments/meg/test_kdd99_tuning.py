"""The choice of settings end to end, on made connections."""

import dataclasses
import json
import pathlib

import pytest

from experiments.meg import kdd99_protocols, kdd99_tuning
from jaxgen import data


def setting(penalty):
    return kdd99_protocols.Training(data.KDD99(), penalty, 1, "", 5e-5)


def test_a_setting_is_trained_and_judged_on_the_training_half(few_connections, tmp_path, monkeypatch):
    told = lambda method, state, x, at_once: {"energy": x.sum(1), "score_norm": -x.sum(1)}
    monkeypatch.setattr(kdd99_tuning.anomalies, "scores", told)
    experiment = kdd99_tuning.Experiment(("scaled",), cache_dir=tmp_path)
    cell = kdd99_tuning.judged(experiment, "scaled", setting(100.0), 100)
    _, anomalous = data.KDD99(validation=True).test()
    assert cell["share"] == anomalous.mean()
    assert cell["auroc"] > 0.99
    monkeypatch.setattr(kdd99_tuning.jaxgen, "train", None)  # again: nothing is computed a second time
    assert kdd99_tuning.judged(experiment, "scaled", setting(100.0), 100) == cell


def test_the_best_two_are_judged_with_further_seeds_and_the_better_by_all_is_taken(tmp_path, monkeypatch):
    found = {1.0: [0.9, 0.1], 2.0: [0.8, 0.8], 3.0: [0.5]}
    asked = {penalty: [] for penalty in found}

    def judged(experiment, name, training, seed):
        asked[training.penalty].append(seed)
        return dict.fromkeys(("f1", "auroc", "auprc"), found[training.penalty][seed - 100])

    monkeypatch.setattr(kdd99_tuning, "judged", judged)
    monkeypatch.setattr(kdd99_protocols, "CANDIDATES", {"scaled": [setting(penalty) for penalty in found]})
    experiment = kdd99_tuning.Experiment(("scaled",), num_seeds=1, cache_dir=tmp_path, output_dir=tmp_path)
    (table,) = kdd99_tuning.run(experiment)
    assert asked == {1.0: [100, 101], 2.0: [100, 101], 3.0: [100]}
    assert [row.values["f1"] for row in table.rows] == list(found.values())
    assert "Taken: lambda 2, 1 epochs, rate 5e-05, the best" in table.remarks[0]
    written = json.loads((tmp_path / "meg_kdd99_settings_scaled.json").read_text())
    assert [made["fields"]["penalty"] for made in written["settings"]] == [*found]


def test_what_is_held_out_has_as_many_steps_as_the_training(few_connections):
    training = kdd99_protocols.Training(data.KDD99(), 100.0, 3, "", 5e-5)
    held = kdd99_protocols.held_out(training)
    assert held.connections == dataclasses.replace(training.connections, validation=True)
    whole, half = (kdd99_protocols.configure(kind, 100, 200).steps for kind in (training, held))
    assert abs(whole - half) <= held.epochs  # whole batches of each epoch


@pytest.mark.parametrize("name", [*kdd99_protocols.CANDIDATES])
def test_what_was_taken_is_what_the_table_has(name):
    taken = kdd99_protocols.TRAININGS[name]
    table = pathlib.Path(kdd99_tuning.__file__).parent / "results" / f"meg_kdd99_settings_{name}.md"
    assert f"Taken: lambda {taken.penalty:g}, {taken.epochs} epochs, rate {taken.falling:g}," in table.read_text()
    assert taken in kdd99_protocols.CANDIDATES[name]


def test_unknown_trainings_are_told():
    with pytest.raises(SystemExit, match="choose from scaled, distinct"):
        kdd99_tuning.run(kdd99_tuning.Experiment(("raw",)))
