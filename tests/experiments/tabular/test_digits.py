"""One digit of ten held out: the split, and both tables end to end with substitutes for the detectors."""

import numpy as np

from experiments.tabular import digits
from experiments.tabular.adbench_data import Split


def test_a_split_repeats_no_image_and_holds_one_digit_out():
    first, again, other = (digits.split(3, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)
    assert first.train.shape == (digits.TRAINING, 64)
    assert len(first.train) + len(first.test) == 1_797
    assert first.anomalous.sum() == 183  # of the digit 3
    assert (first.train.min(), first.train.max()) == (0, 1)
    trained, tested = ({tuple(row) for row in rows.tolist()} for rows in (first.train, first.test))
    assert not trained & tested


def test_peers_score_each_test_image_and_principal_components_restore_a_plane():
    generator = np.random.default_rng(0)
    plane = generator.normal(size=(60, 2)) @ np.eye(64)[:2]
    off = plane[:1] + 5 * np.eye(64)[5]
    test = np.concatenate([plane[50:], off]).astype(np.float32)
    scores = digits.peers(Split(plane[:50].astype(np.float32), test, np.arange(11) == 10), 0)
    assert set(scores) == set(digits.PEERS)
    assert all(values.shape == (11,) for values in scores.values())
    np.testing.assert_allclose(scores["pca"], 25.0 * (np.arange(11) == 10), atol=1e-3)
    assert np.argmax(scores["neighbors"]) == 10


def test_the_experiment_from_end_to_end(tmp_path, monkeypatch):
    """Scores that are perfect for one detector and constant for the others."""

    def default(kind, shape, split, seed):
        constant = np.zeros(len(split.test))
        return {kind: split.anomalous.astype(float) if kind == "images" else constant, f"{kind} untrained": constant}

    constants = lambda split, seed: dict.fromkeys(digits.PEERS, np.zeros(len(split.test)))
    monkeypatch.setattr(digits, "peers", constants)
    monkeypatch.setattr(digits, "default", default)
    experiment = digits.Experiment(digits=(0, 1), num_seeds=2, cache_dir=tmp_path)
    means, by_digit = experiment.run()
    values = {row.title: row.values for row in means.rows}
    assert values["**`Detector()` on images**"] == {"auroc": [1, 1], "auprc": [1, 1], "least": [1, 1], "wins": [2, 2]}
    assert values["PCA reconstruction"]["auroc"] == [0.5, 0.5]
    assert values["PCA reconstruction"]["wins"] == [0, 0]
    assert {tuple(row.values) for row in by_digit.rows} == {("digit 0", "digit 1")}
