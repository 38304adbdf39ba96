"""The experiment end to end, on made connections."""

import json

import numpy as np
import pytest

from experiments import anomalies, connections, meg_kdd99


def test_every_cell_is_measured_written_and_drawn(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(meg_kdd99, "LAST", 2)
    experiment = meg_kdd99.Experiment(("released",), epochs=3, runs=tmp_path, out=tmp_path)
    (table,) = meg_kdd99.run(experiment)
    assert len(table.rows) == 2 * len(anomalies.SCORES) + len(anomalies.DETECTORS)
    assert [row.title for row in table.rows if row.paper] == ["MEG, norm of the gradient (judged by)"]
    values = {row.title: row.values for row in table.rows}
    assert values["isolation forest"]["auroc"][0] > 0.99
    assert values["every anomaly first (bound)"]["auroc"] == [1.0]
    curve = json.loads((tmp_path / "meg_kdd99_released.json").read_text())["runs"][0]["curve"]
    assert [at["step"] for at in curve] == [7, 2 * 7, 3 * 7]
    assert values["MEG, energy"]["f1"][0] == np.mean([at["released"]["energy"]["f1"] for at in curve[-2:]])
    assert (tmp_path / "meg_kdd99_released.png").stat().st_size > 10_000
    monkeypatch.setattr(meg_kdd99, "scored", None)  # again: nothing is computed a second time
    kept = meg_kdd99.trained(experiment, "raw", 0)
    assert kept["released"]["energy"]["f1"] == values["MEG, energy"]["f1"][0]


def test_protocols_with_one_training_have_a_table_each(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(anomalies, "DETECTORS", {"chance": anomalies.DETECTORS["chance"]})
    experiment = meg_kdd99.Experiment(("scaled", "later"), epochs=2, runs=tmp_path, out=tmp_path)
    tables = meg_kdd99.run(experiment)
    assert [table.name for table in tables] == ["meg_kdd99_scaled", "meg_kdd99_later"]
    assert len([*tmp_path.glob("scaled-0-*.curve")]) == 1
    for table in tables:
        look = json.loads((tmp_path / f"{table.name}.json").read_text())["runs"][0]["curve"][0]
        assert set(look) == {"step", table.name.removeprefix("meg_kdd99_")}


def test_the_released_protocol_is_what_papers_say(few_connections):
    protocol = connections.PROTOCOLS["released"]
    config = connections.configure(connections.TRAININGS[protocol.training], 0, 54)
    assert (protocol.connections.scaled, protocol.judged, protocol.flagged) == (False, "score_norm", 0.2)
    assert (config.method.n_critic, config.method.penalty, config.method.latent_dim) == (1, 100.0, 32)
    assert config.method.critic.widths == (256, 128, 128, 1)
    assert config.method.generator.widths == (64, 128, 6)
    assert config.shuffle is False


@pytest.mark.parametrize(("name", "epochs", "count"), [("raw", 54, 10), ("raw", 3, 3), ("scaled", 6, 1)])
def test_the_last_looks_count_and_where_rates_fall_the_last_alone(name, epochs, count):
    assert meg_kdd99.looks(connections.TRAININGS[name], epochs) == count


def test_unknown_protocols_are_told():
    with pytest.raises(SystemExit, match="choose from released"):
        meg_kdd99.run(meg_kdd99.Experiment(("nine",)))
