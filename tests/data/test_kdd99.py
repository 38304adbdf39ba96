"""KDD99 protocols on simulated connections, and the published counts if the real data are cached."""

import pathlib

import numpy as np
import pytest
from sklearn import datasets

from jaxgen import data
from jaxgen.data import kdd99

ROWS = 4000


@pytest.fixture
def made(monkeypatch):
    """Connections in the real format: one in five is normal, and each row occurs twice."""
    generator = np.random.default_rng(0)
    columns = [generator.integers(0, 1000, ROWS // 2).astype(float) for _ in range(41)]
    for place in kdd99.CATEGORIES:
        columns[place] = generator.choice([b"tcp", b"udp"], ROWS // 2)
    columns[4] *= 1e5
    columns[7][:] = 3.0
    x = np.empty((ROWS // 2, 41), object)
    for place, column in enumerate(columns):
        x[:, place] = column
    names = generator.choice([b"normal.", b"smurf."], ROWS // 2, p=[0.2, 0.8]).astype(object)
    twice = lambda rows: np.concatenate([rows, rows])
    monkeypatch.setattr(datasets, "fetch_kddcup99", lambda **_: (twice(x), twice(names)))
    kdd99._connections.cache_clear()
    yield twice(names) == b"normal."
    kdd99._connections.cache_clear()


def test_training_rows_are_attacks_and_the_split_is_disjoint(made):
    kind = data.KDD99(scaled=False, contamination=1.0)
    (x,), (test, anomalous) = kind.tables(), kind.test()
    assert x.shape[1] == test.shape[1] == 34 + 2 * 7
    assert len(x) + np.sum(~anomalous) == np.sum(~made)
    assert abs(anomalous.sum() - made.sum() / 2) < 60
    _, both = data.KDD99(scaled=False, contamination=1.0, every_anomaly=True).test()
    assert both.sum() == made.sum()


def test_anomalies_are_at_most_the_contamination(made):
    _, anomalous = data.KDD99(contamination=0.1).test()
    np.testing.assert_allclose(anomalous.mean(), 0.1, atol=1e-3)
    _, all_there = data.KDD99(contamination=0.9).test()
    assert 0.1 < all_there.mean() < 0.3


@pytest.mark.parametrize("validation", [False, True])
def test_scaled_columns_span_the_training_rows_alone(made, validation):
    kind = data.KDD99(validation=validation)
    (x,), (test, _) = kind.tables(), kind.test()
    assert x.min() == 0
    np.testing.assert_array_equal(np.delete(x.max(0), 3), 1)  # the fourth numeric column is constant
    assert x[:, 3].max() == 0
    assert test.shape[1] == x.shape[1]
    (raw,) = data.KDD99(scaled=False, validation=validation).tables()
    assert raw.max() > 1e7
    np.testing.assert_allclose(x[:, 0], (raw[:, 0] - raw[:, 0].min()) / np.ptp(raw[:, 0]), rtol=1e-6)


def test_distinct_rows_occur_once(made):
    kind = data.KDD99(distinct=True, scaled=False, contamination=1.0)
    (x,), (test, anomalous) = kind.tables(), kind.test()
    assert len(np.unique(np.concatenate([x, test[~anomalous]]), axis=0)) == len(x) + np.sum(~anomalous)
    assert len(x) + np.sum(~anomalous) == np.sum(~made) // 2


def test_a_split_follows_its_seed(made):
    same, other = data.KDD99(split=1).tables()[0], data.KDD99(split=2).tables()[0]
    np.testing.assert_array_equal(same, data.KDD99(split=1).tables()[0])
    assert same.shape != other.shape or not np.array_equal(same, other)


@pytest.mark.parametrize("every_anomaly", [False, True])
def test_validation_rows_are_disjoint_from_the_test_set(made, every_anomaly):
    whole = lambda rows: {row.tobytes() for row in rows}
    settings = {"scaled": False, "distinct": True, "contamination": 1.0}
    chosen = data.KDD99(**settings, validation=True, every_anomaly=every_anomaly)
    kind = data.KDD99(**settings)
    (x,), (validation, anomalous) = chosen.tables(), chosen.test()
    assert not (whole(x) | whole(validation)) & whole(kind.test()[0])
    assert whole(x) | whole(validation[~anomalous]) == whole(kind.tables()[0])
    assert not whole(x) & whole(validation)
    count = made.sum() / 2 / (2 if every_anomaly else 4)  # of the distinct ones
    assert abs(anomalous.sum() - count) < 40


def test_contamination_outside_0_and_1_raises():
    with pytest.raises(ValueError, match=r"`contamination` must be in \(0, 1\] \(got 1.5\)"):
        data.KDD99(contamination=1.5)


@pytest.mark.slow
def test_the_real_connections_have_the_published_counts():
    if not list(pathlib.Path(datasets.get_data_home()).glob("kddcup99_10-py3/*")):
        pytest.skip("KDD99 is not cached; download it by sklearn.datasets.fetch_kddcup99(), or set SCIKIT_LEARN_DATA")
    kdd99._connections.cache_clear()
    (x,), (test, anomalous) = data.KDD99(scaled=False).tables(), data.KDD99(scaled=False).test()
    assert x.shape[1] == 121
    assert len(x) + np.sum(~anomalous) == 494_021 - 97_278
    assert abs(anomalous.mean() - 0.197) < 1e-3
    assert test.max() > 1e8 > data.KDD99().test()[0].max()
