"""Properties of splits, ranks by hand, and the experiment end to end on synthetic datasets."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from experiments.tabular import adbench, adbench_data, adbench_report, detectors, one_class_models
from jaxgen import methods, nets


def write(folder, name, rows=60, outliers=12, seed=0):
    """Write rows around the origin and distant outliers; each first entry differs, and the last column is constant."""
    chance = np.random.default_rng(seed)
    x = chance.standard_normal((rows + outliers, 4))
    x[rows:] += 8
    x[:, 0] += np.arange(len(x)) / 1_000
    x[:, 3] = 7
    order = chance.permutation(len(x))
    np.savez(folder / f"{name}.npz", X=x[order], y=(order >= rows).astype(int))


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate((*adbench_data.TUNING, "39_vertebral")):
        write(tmp_path, name, seed=seed)
    return tmp_path


@pytest.mark.parametrize("seed", [0, 1])
def test_training_and_test_rows_are_disjoint_and_no_outlier_is_in_training(folder, seed):
    split = adbench_data.split(folder, "39_vertebral", seed)
    assert (split.train.shape, split.test.shape) == ((30, 3), (42, 3))
    assert split.anomalous.sum() == 12
    whole = np.concatenate([split.train, split.test])
    assert len(np.unique(whole, axis=0)) == 72
    assert split.train.max() < split.test[split.anomalous].mean()
    np.testing.assert_allclose(split.train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(split.train.std(0), 1, rtol=1e-5)


def test_seeds_differ_in_rows_and_repeat_themselves(folder):
    first, again, other = (adbench_data.split(folder, "39_vertebral", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)


def test_large_sets_are_cut_except_for_their_outliers(folder, monkeypatch):
    monkeypatch.setattr(adbench_data, "TRAIN_ROWS", 20)
    monkeypatch.setattr(adbench_data, "TEST_INLIERS", 25)
    split = adbench_data.split(folder, "39_vertebral", 0)
    assert len(split.train) == 20
    assert (~split.anomalous).sum() == 25
    assert split.anomalous.sum() == 12
    assert len(np.unique(np.concatenate([split.train, split.test]), axis=0)) == 57


def test_at_most_ten_thousand_training_rows():
    assert adbench_data.TRAIN_ROWS == 10_000
    assert not set(adbench_data.TUNING) & set(adbench_data.EVALUATED)


def test_equal_scores_share_their_ranks():
    found = adbench_report.ranks(np.array([[0.9, 0.8, 0.8, 0.5], [0.7, 0.7, 0.7, 0.95]]))
    np.testing.assert_array_equal(found, [[1, 2.5, 2.5, 4], [3, 3, 3, 1]])


def test_the_summary_equals_one_by_hand(monkeypatch):
    monkeypatch.setattr(adbench_report, "METHODS", {"flow": "A", "forest": "B"})
    monkeypatch.setattr(adbench_report, "CONTROLS", [])
    cell = lambda a, b: {"flow": measures(a), "forest": measures(b)}
    measures = lambda auroc: {"auroc": auroc, "auprc": 0.5, "share": 0.25}
    found = {"one": [cell(0.9, 0.6), cell(0.5, 0.6)], "two": [cell(0.4, 0.8), cell(0.2, 0.8)]}
    first, second = adbench_report.summary(found, ["one", "two"])
    assert (first.values["rank"], second.values["rank"]) == ([1.5], [1.5])  # 0.7 to 0.6, then 0.3 to 0.8
    assert (first.values["place"], second.values["place"]) == ([1], [1])
    assert (first.values["below"], second.values["below"]) == ([1], [0])
    np.testing.assert_allclose(first.values["auroc"], [0.65, 0.35])


def test_noise_follows_scotts_bandwidth():
    assert one_class_models.flow(10_000, 4, 1).noise == pytest.approx(0.4 * 10**-0.5)


def test_radii_lie_between_the_middle_norm_and_three_times_it():
    found = np.asarray(one_class_models.radii(jax.random.key(0), 1_000, dimensions=3))
    middle = np.median(np.linalg.norm(np.random.default_rng(0).standard_normal((100_000, 3)), axis=1))
    assert 0.99 < found.min() / middle < 1.02
    assert 2.98 < found.max() / middle < 3.02


@pytest.mark.slow
def test_every_cell_is_measured_written_drawn_and_cached(folder, tmp_path, monkeypatch):
    small = lambda n, d, steps: methods.Flow(nets.dense_flow(d, depth=2, widths=(4,)), noise=0.1)
    monkeypatch.setattr(one_class_models, "flow", small)  # most of the time is compilation
    experiment = adbench.Experiment(folder=folder, sets=("39_vertebral",), num_seeds=1, steps=2, cache_dir=tmp_path)
    table, *_ = experiment.run()
    values = {row.title: row.values for row in table.rows}
    assert len(values) == len(adbench_report.METHODS) + len(adbench_report.CONTROLS)
    for row in values.values():
        assert row["share"] == [12 / 42]
        assert np.isfinite([number for numbers in row.values() for number in numbers]).all()
    assert all(values[kind.title]["auroc"] == [1.0] for kind in detectors.CLASSICAL.values())
    assert sum("rank" in row for row in values.values()) == len(adbench_report.METHODS)
    cell = json.loads((tmp_path / "adbench.json").read_text())["cells"]["39_vertebral"][0]
    assert cell["flow"]["auroc"] == values["flow, density"]["auroc"][0]
    for name in ("adbench.md", "adbench_auroc.md", "adbench_auprc.md", "adbench.png"):
        assert (tmp_path / name).stat().st_size > 300
    monkeypatch.setattr(jaxgen, "train", None)  # nothing is computed a second time
    assert experiment.run()[0] == table


def test_a_quick_run_leaves_the_evaluated_sets_alone(folder, tmp_path, monkeypatch):
    calls = []

    def scores(config, split, seed, directory):
        calls.append((len(split.train), seed, config.steps))
        return dict.fromkeys((*adbench_report.METHODS, *adbench_report.CONTROLS), np.zeros(len(split.test)))

    config = detectors.GROUPS["densities"].config
    monkeypatch.setattr(detectors, "GROUPS", {"all": detectors.Group(config, scores)})
    experiment = adbench.Experiment(folder=folder, quick=True, cache_dir=tmp_path)
    table, *_ = experiment.run()
    assert experiment.reduced().sets == adbench_data.TUNING[:2]
    assert calls == [(30, 0, 50)] * 2
    assert table.rows[0].values["rank"] == [(1 + len(adbench_report.METHODS)) / 2]


@pytest.mark.parametrize("place", [None, "nowhere", "empty"])
def test_errors_say_where_to_get_the_sets(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"Minqi824/ADBench.*--folder PATH\.$"):
        adbench.Experiment(folder=place and tmp_path / place).run()


def test_unknown_sets_are_an_error(folder):
    with pytest.raises(SystemExit, match="43_nothing"):
        adbench.Experiment(folder=folder, sets=("43_nothing",))


def test_the_energy_grows_far_away_in_every_direction():
    network = one_class_models.energy(3, 1).critic
    params = network.init(jax.random.key(0), jnp.zeros((1, 3)))
    far = 1_000 * jax.random.normal(jax.random.key(1), (50, 3))
    assert (network.apply(params, 2 * far) > network.apply(params, far)).all()
