"""Properties of splits, ranks by hand, and the experiment end to end on synthetic datasets."""

import numpy as np
import pytest

import jaxgen
from experiments.tabular import adbench, adbench_data, adbench_report, detectors


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


def test_contaminated_rows_are_outliers_that_are_not_tested(folder):
    clean, mixed = adbench_data.contaminated(folder, "39_vertebral", 0, 0.1)
    assert clean.train.shape == mixed.train.shape == (30, 3)
    assert len(clean.test) == len(mixed.test) == 39  # 3 of 12 outliers are in the training rows
    assert mixed.anomalous.sum() == 9
    assert np.all(mixed.train[27:].mean(1) > mixed.train[:27].mean(1).max())
    affine = lambda a, b: np.abs(np.corrcoef(a, b)[0, 1]) > 1 - 1e-6  # the same rows in other units
    assert all(affine(a, b) for a, b in zip(clean.train[3:].T, mixed.train[:27].T, strict=True))
    assert all(affine(a, b) for a, b in zip(clean.test.T, mixed.test.T, strict=True))
    assert adbench_data.contaminated(folder, "39_vertebral", 0, 0.9)[1].anomalous.sum() == 6  # half of them at most


def test_seeds_differ_in_rows_and_repeat_themselves(folder):
    first, again, other = (adbench_data.split(folder, "39_vertebral", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)


def test_large_sets_are_cut(folder, monkeypatch):
    monkeypatch.setattr(adbench_data, "MOST_ROWS", 10)
    split = adbench_data.split(folder, "39_vertebral", 0)
    assert len(split.train) == 10
    assert (~split.anomalous).sum() == split.anomalous.sum() == 10
    assert len(np.unique(np.concatenate([split.train, split.test]), axis=0)) == 30


def test_no_set_both_chooses_and_is_evaluated():
    assert not set(adbench_data.TUNING) & set(adbench_data.EVALUATED)
    assert (len(adbench_data.TUNING), len(adbench_data.EVALUATED)) == (4, 13)


def test_scores_equal_to_four_digits_share_the_better_rank():
    found = adbench_report.ranks(np.array([[0.9, 0.80001, 0.8, 0.5], [0.7, 0.7, 0.7, 0.95]]))
    np.testing.assert_array_equal(found, [[1, 2, 2, 4], [2, 2, 2, 1]])


def test_the_summary_equals_one_by_hand(monkeypatch):
    monkeypatch.setattr(adbench_report, "DETECTORS", {"default": "A", "neighbor": "B", "KNN": "C"})
    monkeypatch.setattr(adbench_report, "CONTROLS", {"untrained": "D"})
    measures = lambda auroc: {"auroc": auroc, "auprc": 0.5, "share": 0.25}
    cell = lambda a, b: dict(
        zip(("default", "neighbor", "KNN", "untrained"), map(measures, (a, b, b, 0.5)), strict=True)
    )
    found = {"one": [cell(0.9, 0.6), cell(0.5, 0.6)], "two": [cell(0.4, 0.8), cell(0.2, 0.8)]}
    first, second, same, control = adbench_report.summary(found, ["one", "two"])
    assert (first.values["auroc_rank"], second.values["auroc_rank"]) == ([1.5], [1.5])  # 0.7 to 0.6, then 0.3 to 0.8
    assert same.values == second.values
    assert (first.values["auprc_rank"], second.values["auprc_rank"]) == ([1], [1])
    assert (first.values["below"], second.values["below"]) == ([1], [0])
    assert "auroc_rank" not in control.values
    np.testing.assert_allclose(first.values["auroc"], [0.65, 0.35])


def test_differences_are_paired_by_split():
    measures = lambda auroc: {"auroc": auroc, "auprc": auroc / 2}
    cells = {"39_vertebral": [{"a": measures(0.9), "b": measures(0.6)}, {"a": measures(0.8), "b": measures(0.7)}]}
    cells["45_wine"] = [{"a": measures(0.1), "b": measures(0.9)}] * 2
    first, tuning, mean = adbench_report.differences(cells, "a", "b")
    np.testing.assert_allclose(first.values["auroc_gain"], [0.3, 0.1])
    np.testing.assert_allclose(tuning.values["auprc_gain"], [-0.4, -0.4])
    np.testing.assert_allclose(mean.values["auroc_gain"], [0.3, 0.1])


def constant(measured):
    """Replaces a group: the scores of all its detectors are the distance from the middle."""

    def group(split, seed):
        return {name: np.linalg.norm(split.test, axis=1) for name in measured}

    return group


@pytest.fixture
def fast(monkeypatch):
    groups = {"default": constant(["default", *detectors.CONTROLS]), "PyOD": constant(list(detectors.DETECTORS)[6:])}
    monkeypatch.setattr(detectors, "GROUPS", {**groups, "scikit-learn": detectors.scikit_learn})

    class Middle:
        def __init__(self, random_state):
            pass

        def fit(self, x):
            return self

        def score_samples(self, x):
            return -np.linalg.norm(x, axis=1)

    monkeypatch.setattr(jaxgen, "Detector", Middle)


def test_every_cell_is_measured_written_drawn_and_cached(folder, tmp_path, fast, monkeypatch):
    experiment = adbench.Experiment(folder=folder, sets=("39_vertebral",), num_seeds=1, cache_dir=tmp_path)
    tables = experiment.run()
    values = {row.title: row.values for row in tables[0].rows}
    assert list(values) == [*detectors.DETECTORS.values(), *detectors.CONTROLS.values()]
    for row in values.values():
        assert np.isfinite([number for numbers in row.values() for number in numbers]).all()
        assert row["auroc"] == [1.0]
    assert sum("auroc_rank" in row for row in values.values()) == len(detectors.DETECTORS)
    for table in tables:
        assert (tmp_path / f"{table.name}.md").stat().st_size > 200
    assert (tmp_path / "adbench.png").stat().st_size > 300
    monkeypatch.setattr(jaxgen, "Detector", None)  # nothing is computed a second time
    assert experiment.run()[0] == tables[0]


def test_a_quick_run_leaves_the_evaluated_sets_alone(folder, tmp_path, fast):
    (folder / "39_vertebral.npz").unlink()
    experiment = adbench.Experiment(folder=folder, quick=True, cache_dir=tmp_path)
    assert experiment.reduced().sets == adbench_data.TUNING[:2]
    assert "2 sets" in experiment.run()[0].remarks[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a calibration set of")  # the tables are small
def test_the_default_and_its_controls_score_outliers_higher(folder):
    split = adbench_data.split(folder, "39_vertebral", 0)
    scores = detectors.default(split, 0)
    assert list(scores) == ["default", *detectors.CONTROLS]
    for values in scores.values():
        assert adbench.evaluated(values, split.anomalous)["auroc"] > 0.95


@pytest.mark.slow
def test_the_detectors_of_pyod_score_outliers_higher(folder):
    pytest.importorskip("pyod")
    split = adbench_data.split(folder, "39_vertebral", 0)
    scores = detectors.pyod(split, 0) | detectors.scikit_learn(split, 0)
    assert set(scores) | {"default"} == set(detectors.DETECTORS)
    for name, values in scores.items():
        assert adbench.evaluated(values, split.anomalous)["auroc"] > 0.9, name


@pytest.mark.parametrize("place", [None, "nowhere", "empty"])
def test_errors_say_where_to_get_the_sets(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"Minqi824/ADBench.*--folder PATH\.$"):
        adbench.Experiment(folder=place and tmp_path / place).run()


def test_unknown_sets_are_an_error(folder):
    with pytest.raises(SystemExit, match="43_nothing"):
        adbench.Experiment(folder=folder, sets=("43_nothing",))
