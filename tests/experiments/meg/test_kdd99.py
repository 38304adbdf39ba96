"""The experiment end to end, on made connections."""

import json

import numpy as np
import pytest

from experiments.common import anomaly_metrics
from experiments.meg import kdd99, kdd99_protocols


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(kdd99, "LAST", 2)
    experiment = kdd99.Experiment(("released",), epochs=3, cache_dir=tmp_path, output_dir=tmp_path)
    (table,) = kdd99.run(experiment)
    assert len(table.rows) == 2 * len(anomaly_metrics.SCORES) + len(anomaly_metrics.DETECTORS)
    assert [row.title for row in table.rows if row.paper] == ["MEG, norm of the gradient (judged by)"]
    values = {row.title: row.values for row in table.rows}
    assert values["isolation forest"]["auroc"][0] > 0.99
    assert values["every anomaly first (bound)"]["auroc"] == [1.0]
    curve = json.loads((tmp_path / "meg_kdd99_released.json").read_text())["runs"][0]["curve"]
    assert [at["step"] for at in curve] == [7, 2 * 7, 3 * 7]
    assert values["MEG, energy"]["f1"][0] == np.mean([at["released"]["energy"]["f1"] for at in curve[-2:]])
    assert (tmp_path / "meg_kdd99_released.png").stat().st_size > 10_000
    monkeypatch.setattr(kdd99, "scored", None)  # again: nothing is computed a second time
    kept = kdd99.trained(experiment, "raw", 0)
    assert kept["released"]["energy"]["f1"] == values["MEG, energy"]["f1"][0]


@pytest.mark.slow
def test_protocols_with_one_training_have_a_table_each(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(anomaly_metrics, "DETECTORS", {"chance": anomaly_metrics.DETECTORS["chance"]})
    experiment = kdd99.Experiment(("scaled", "later"), epochs=2, cache_dir=tmp_path, output_dir=tmp_path)
    tables = kdd99.run(experiment)
    assert [table.name for table in tables] == ["meg_kdd99_scaled", "meg_kdd99_later"]
    assert len([*tmp_path.glob("scaled-0-*.curve")]) == 1
    for table in tables:
        look = json.loads((tmp_path / f"{table.name}.json").read_text())["runs"][0]["curve"][0]
        assert set(look) == {"step", table.name.removeprefix("meg_kdd99_")}


def test_the_released_protocol_is_what_papers_say(few_connections):
    protocol = kdd99_protocols.PROTOCOLS["released"]
    config = kdd99_protocols.configure(kdd99_protocols.TRAININGS[protocol.training], 0, 54)
    assert (protocol.connections.scaled, protocol.judged, protocol.flagged) == (False, "score_norm", 0.2)
    assert (config.method.n_critic, config.method.penalty, config.method.latent_dim) == (1, 100.0, 32)
    assert config.method.critic.widths == (256, 128, 128, 1)
    assert config.method.generator.widths == (64, 128, 6)
    assert config.shuffle is False


@pytest.mark.parametrize(("name", "epochs", "count"), [("raw", 54, 10), ("raw", 3, 3), ("scaled", 6, 1)])
def test_the_last_looks_count_and_where_rates_fall_the_last_alone(name, epochs, count):
    assert kdd99.looks(kdd99_protocols.TRAININGS[name], epochs) == count


def test_unknown_protocols_are_told():
    with pytest.raises(SystemExit, match="choose from released"):
        kdd99.run(kdd99.Experiment(("nine",)))
