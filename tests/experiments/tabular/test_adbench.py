"""Splits by their laws, ranks by hand, and the experiment end to end on made sets."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.tabular import adbench, adbench_data, adbench_report, detectors, one_class_models
from jaxgen import methods, nets


def write(folder, name, rows=60, outliers=12, seed=0):
    """Write rows about the origin and outliers far off, a number of its own in each first column, a constant last."""
    chance = np.random.default_rng(seed)
    x = chance.standard_normal((rows + outliers, 4))
    x[rows:] += 8
    x[:, 0] += np.arange(len(x)) / 1_000
    x[:, 3] = 7
    order = chance.permutation(len(x))
    np.savez(folder / f"{name}.npz", X=x[order], y=(order >= rows).astype(int))


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate((*adbench_data.TUNED, "39_vertebral")):
        write(tmp_path, name, seed=seed)
    return tmp_path


@pytest.mark.parametrize("seed", [0, 1])
def test_no_row_is_learned_and_tested_and_no_outlier_is_learned(folder, seed):
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


def test_large_sets_are_cut_but_for_their_outliers(folder, monkeypatch):
    monkeypatch.setattr(adbench_data, "ROWS", 20)
    monkeypatch.setattr(adbench_data, "CAP", 25)
    split = adbench_data.split(folder, "39_vertebral", 0)
    assert len(split.train) == 20
    assert (~split.anomalous).sum() == 25
    assert split.anomalous.sum() == 12
    assert len(np.unique(np.concatenate([split.train, split.test]), axis=0)) == 57


def test_no_more_than_ten_thousand_rows_are_learned():
    assert adbench_data.ROWS == 10_000
    assert not set(adbench_data.TUNED) & set(adbench_data.JUDGED)


def test_equal_scores_share_their_ranks():
    found = adbench_report.ranks(np.array([[0.9, 0.8, 0.8, 0.5], [0.7, 0.7, 0.7, 0.95]]))
    np.testing.assert_array_equal(found, [[1, 2.5, 2.5, 4], [3, 3, 3, 1]])


def test_the_summary_is_that_of_hand(monkeypatch):
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
def test_every_cell_is_measured_written_drawn_and_remembered(folder, tmp_path, monkeypatch):
    small = lambda n, d, steps: methods.Flow(nets.dense_flow(d, depth=2, widths=(4,)), noise=0.1)
    monkeypatch.setattr(one_class_models, "flow", small)  # most of the time is compilation
    experiment = adbench.Experiment(
        folder, ("39_vertebral",), num_seeds=1, steps=2, cache_dir=tmp_path, output_dir=tmp_path
    )
    table = adbench.run(experiment)
    values = {row.title: row.values for row in table.rows}
    assert len(values) == len(adbench_report.METHODS) + len(adbench_report.CONTROLS)
    for row in values.values():
        assert row["share"] == [12 / 42]
        assert np.isfinite([number for numbers in row.values() for number in numbers]).all()
    assert all(values[kind.title]["auroc"] == [1.0] for kind in detectors.CLASSICAL.values())
    assert sum("rank" in row for row in values.values()) == len(adbench_report.METHODS)
    cell = json.loads((tmp_path / "anomaly_tabular.json").read_text())["cells"]["39_vertebral"][0]
    assert cell["flow"]["auroc"] == values["flow, density"]["auroc"][0]
    for name in ("anomaly_tabular.md", "anomaly_tabular_auroc.md", "anomaly_tabular_auprc.md", "anomaly_tabular.png"):
        assert (tmp_path / name).stat().st_size > 300
    monkeypatch.setattr(adbench, "judged", None)  # again: nothing is computed a second time
    assert adbench.measured(experiment, folder, "39_vertebral", 0) == cell


def test_a_quick_look_leaves_the_judgement_alone(folder, tmp_path, monkeypatch):
    asked = []

    def measured(experiment, folder, name, seed):
        asked.append((name, seed, experiment.steps))
        measures = {"auroc": 0.5, "auprc": 0.2, "share": 0.2}
        return dict.fromkeys((*adbench_report.METHODS, *adbench_report.CONTROLS), measures)

    monkeypatch.setattr(adbench, "measured", measured)
    table = adbench.run(adbench.Experiment(folder, quick=True, cache_dir=tmp_path))
    assert asked == [(name, 0, 50) for name in adbench_data.TUNED[:2]]
    assert table.rows[0].values["rank"] == [(1 + len(adbench_report.METHODS)) / 2]


@pytest.mark.parametrize("given", [None, "nowhere", "empty"])
def test_where_to_get_the_sets_is_told(tmp_path, given):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"Minqi824/ADBench.*--folder PATH\.$"):
        adbench.run(adbench.Experiment(given and tmp_path / given))


def test_unknown_sets_are_told(folder):
    with pytest.raises(SystemExit, match="43_nothing"):
        adbench.run(adbench.Experiment(folder, ("43_nothing",)))


def test_an_energy_leads_up_on_every_way_out():
    network = one_class_models.energy(3, 1).critic
    params = network.init(jax.random.key(0), jnp.zeros((1, 3)))
    far = 1_000 * jax.random.normal(jax.random.key(1), (50, 3))
    assert (network.apply(params, 2 * far) > network.apply(params, far)).all()
