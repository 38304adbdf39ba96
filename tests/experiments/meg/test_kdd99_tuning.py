"""The choice of settings end to end, on random connections."""

import dataclasses
import json
import pathlib

import pytest

from experiments.common import anomaly_metrics
from experiments.meg import kdd99_protocols, kdd99_tuning
from jaxgen import data


def setting(penalty):
    return kdd99_protocols.Training(data.KDD99(), penalty, 1, "", 5e-5)


def test_a_setting_is_trained_and_evaluated_on_the_training_half(few_connections, tmp_path, monkeypatch):
    scores = lambda result, x, batch_size: {"energy": x.sum(1), "score_norm": -x.sum(1)}
    monkeypatch.setattr(anomaly_metrics, "scores", scores)
    experiment = kdd99_tuning.Experiment(trainings=("scaled",), num_candidates=1, max_epochs=1, cache_dir=tmp_path)
    cell, *_ = experiment.cells()
    measures = experiment.measure(cell)
    _, anomalous = data.KDD99(validation=True).test()
    assert measures["share"] == anomalous.mean()
    assert measures["auroc"] > 0.99


def test_the_best_two_have_further_seeds_and_the_better_by_all_is_taken(few_connections, tmp_path, monkeypatch):
    f1 = {1.0: [0.9, 0.1], 2.0: [0.8, 0.8], 3.0: [0.5]}
    measured = {penalty: [] for penalty in f1}

    def measure(config, training, directory):
        measured[training.penalty].append(config.seed)
        return dict.fromkeys(("f1", "auroc", "auprc"), f1[training.penalty][config.seed - 100])

    monkeypatch.setattr(kdd99_tuning, "measure", measure)
    monkeypatch.setattr(kdd99_tuning, "CANDIDATES", {"scaled": [setting(penalty) for penalty in f1]})
    experiment = kdd99_tuning.Experiment(trainings=("scaled",), num_seeds=1, cache_dir=tmp_path)
    (table,) = experiment.run()
    assert measured == {1.0: [100, 101], 2.0: [100, 101], 3.0: [100]}
    assert [row.values["f1"] for row in table.rows] == list(f1.values())
    assert "Taken: lambda 2, 1 epochs, rate 5e-05, the best" in table.remarks[0]
    written = json.loads((tmp_path / "kdd99_tuning_scaled.json").read_text())
    assert [setting["fields"]["penalty"] for setting in written["settings"]] == [*f1]


def test_a_quick_run_has_two_settings_of_one_epoch():
    experiment = kdd99_tuning.Experiment().reduced()
    assert (experiment.trainings, experiment.num_seeds) == (("distinct",), 1)
    assert [kind.epochs for kind in experiment.candidates("distinct")] == [1, 1]


def test_the_validation_split_has_the_steps_of_the_training(few_connections):
    training = kdd99_protocols.Training(data.KDD99(), 100.0, 3, "", 5e-5)
    validation = kdd99_protocols.on_validation_split(training)
    assert validation.connections == dataclasses.replace(training.connections, validation=True)
    whole, half = (kdd99_protocols.configure(kind, 100, 200).steps for kind in (training, validation))
    assert abs(whole - half) <= validation.epochs  # whole batches of each epoch


@pytest.mark.parametrize("name", [*kdd99_protocols.CANDIDATES])
def test_the_setting_in_use_is_that_of_the_table(name):
    used = kdd99_protocols.TRAININGS[name]
    table = pathlib.Path(kdd99_tuning.__file__).parents[1] / "results" / "meg" / f"kdd99_tuning_{name}.md"
    assert f"Taken: lambda {used.penalty:g}, {used.epochs} epochs, rate {used.cosine_rate:g}," in table.read_text()
    assert used in kdd99_protocols.CANDIDATES[name]


def test_unknown_trainings_are_an_error():
    with pytest.raises(SystemExit, match="trainings must be among scaled, distinct"):
        kdd99_tuning.Experiment(trainings=("raw",))
