"""The experiment end to end, on random connections."""

import json

import numpy as np
import pytest

from experiments.common import anomaly_metrics, cache
from experiments.meg import kdd99, kdd99_protocols


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(kdd99, "MAX_AVERAGED", 2)
    experiment = kdd99.Experiment(protocols=("released",), epochs=3, cache_dir=tmp_path)
    (table,) = experiment.run()
    assert len(table.rows) == 2 * len(anomaly_metrics.SCORES) + len(anomaly_metrics.DETECTORS)
    assert [row.title for row in table.rows if row.paper] == ["MEG, norm of the gradient (reported)"]
    values = {row.title: row.values for row in table.rows}
    assert values["isolation forest"]["auroc"][0] > 0.99
    assert values["every anomaly first (bound)"]["auroc"] == [1.0]
    run = json.loads((tmp_path / "kdd99_released.json").read_text())["runs"][0]
    assert [point["step"] for point in run["curve"]] == [7, 2 * 7, 3 * 7]
    assert len(run["energy_gap"]) == 3
    assert values["MEG, energy"]["f1"][0] == np.mean([point["released"]["energy"]["f1"] for point in run["curve"][-2:]])
    assert (tmp_path / "kdd99_released.png").stat().st_size > 10_000
    monkeypatch.setattr(cache, "write_whole", None)  # nothing is computed a second time
    assert experiment.run()[0].rows == table.rows


@pytest.mark.slow
def test_protocols_that_share_a_training_have_a_table_each(few_connections, tmp_path, monkeypatch):
    monkeypatch.setattr(anomaly_metrics, "DETECTORS", {"chance": anomaly_metrics.DETECTORS["chance"]})
    tables = kdd99.Experiment(protocols=("scaled", "later"), epochs=2, cache_dir=tmp_path).run()
    assert [table.name for table in tables] == ["kdd99_scaled", "kdd99_later"]
    assert len([*tmp_path.glob("training/*.curve")]) == 1
    for table in tables:
        point = json.loads((tmp_path / f"{table.name}.json").read_text())["runs"][0]["curve"][0]
        assert set(point) == {"step", table.name.removeprefix("kdd99_")}


def test_the_released_protocol_is_what_papers_say(few_connections):
    protocol = kdd99_protocols.PROTOCOLS["released"]
    config = kdd99_protocols.configure(kdd99_protocols.TRAININGS[protocol.training], 0, 54)
    assert (protocol.connections.scaled, protocol.score, protocol.flagged) == (False, "score_norm", 0.2)
    assert (config.method.n_critic, config.method.penalty, config.method.latent_dim) == (1, 100.0, 32)
    assert config.method.critic.widths == (256, 128, 128, 1)
    assert config.method.generator.widths == (64, 128, 6)
    assert config.shuffle is False


@pytest.mark.parametrize(("name", "epochs", "count"), [("raw", 54, 10), ("raw", 3, 3), ("scaled", 6, 1)])
def test_the_last_evaluations_count_and_if_the_rate_decays_the_last_alone(name, epochs, count):
    assert kdd99.num_averaged(name, epochs) == count


def test_unknown_protocols_are_an_error():
    with pytest.raises(SystemExit, match="protocols must be among released"):
        kdd99.Experiment(protocols=("nine",))
