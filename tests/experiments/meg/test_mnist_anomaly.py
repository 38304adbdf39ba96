"""The split and the experiment end to end on scikit-learn's small digits, with dense networks."""

import json

import numpy as np
import pytest
import tiny

from experiments.common import cache
from experiments.meg import image_models, mnist_anomaly, mnist_anomaly_data
from jaxgen import data

SETS = (data.Digits(),)


def rows_of(x):
    return {row.tobytes() for row in x}


def test_inliers_lack_the_digit_and_are_on_one_side():
    images = mnist_anomaly_data.HeldOut(3, sets=SETS)
    (x,), (test, anomalous) = images.tables(), images.test()
    threes = (data.Digits().labels() == 3).sum()
    assert anomalous.sum() == threes
    assert len(x) + len(test) == 1797
    assert len(x) == 4 * (1797 - threes) // 5
    assert not rows_of(x) & rows_of(test[anomalous])
    assert not rows_of(x) & rows_of(test[~anomalous])


def test_the_released_split_leaks_four_in_five():
    images = mnist_anomaly_data.HeldOut(3, leaking=True, sets=SETS)
    (x,), (test, anomalous) = images.tables(), images.test()
    np.testing.assert_array_equal(x, mnist_anomaly_data.HeldOut(3, sets=SETS).tables()[0])
    usual = test[~anomalous]
    assert abs(np.mean([row.tobytes() in rows_of(x) for row in usual]) - 0.8) < 0.1


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(image_models, "networks", tiny.adversaries)
    leaking = lambda protocol: mnist_anomaly.PROTOCOLS[protocol].leaking
    split = lambda protocol, digit: mnist_anomaly_data.HeldOut(digit, leaking=leaking(protocol), sets=SETS)
    monkeypatch.setattr(mnist_anomaly, "split", split)


@pytest.mark.slow
def test_every_cell_is_evaluated_and_written(small, tmp_path, monkeypatch):
    experiment = mnist_anomaly.Experiment(
        digits=(1,), protocols=("released",), steps=4, evaluations=2, cache_dir=tmp_path
    )
    (table,) = experiment.run()
    titles = [row.title for row in table.rows]
    assert titles[:2] == [f"without 1: MEG, {score}" for score in ("norm of the gradient", "energy")]
    assert len(titles) == 2 * 2 * 2
    assert [row.paper for row in table.rows if row.paper] == [{"auprc": 0.281}] * 2
    for row in table.rows:
        np.testing.assert_allclose(row.values["above"], np.subtract(row.values["auprc"], row.values["share"]))
    written = json.loads((tmp_path / "mnist_anomaly_released.json").read_text())["config"]["fields"]
    assert (written["steps"], written["data"]["fields"]["leaking"]) == (4, True)
    assert table.rows[0].values == table.rows[4].values  # the mean of one digit
    monkeypatch.setattr(cache, "write_whole", None)  # nothing is computed a second time
    assert experiment.run()[0].rows == table.rows
    kept = experiment.measure(next(experiment.cells()))
    assert [kept["score_norm"]["auroc"]] == table.rows[0].values["auroc"]
    assert [point["step"] for point in kept["curve"]] == [3, 4]


def test_the_paper_s_size_is_what_papers_say(small):
    config = mnist_anomaly.Experiment(paper=True).config("released", 1, 0)
    assert (config.batch_size, config.method.n_critic, config.method.penalty) == (320, 5, 100.0)
    assert (config.steps_per_call, config.steps) == (4 * 1615 // 5 // 320, 54 * (4 * 1615 // 5 // 320))


def test_too_many_evaluations_are_an_error(small):
    with pytest.raises(SystemExit, match=r"evaluations must be 1 to 4, .* \(got 9"):
        mnist_anomaly.Experiment(digits=(1,), protocols=("released",), steps=4, evaluations=9).run()


def test_unknown_names_are_an_error():
    with pytest.raises(SystemExit, match="digits must be among 0, 1"):
        mnist_anomaly.Experiment(digits=(10,))
    with pytest.raises(SystemExit, match="protocols must be among apart, released"):
        mnist_anomaly.Experiment(protocols=("leaking",))
