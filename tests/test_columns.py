"""Data frames of numbers, booleans, categories, dates and missing values in Detector."""

import pickle

import numpy as np
import pytest
from test_detector import detector

import jaxgen
from jaxgen.columns import UNSEEN, as_seconds, as_text, column_encoder

pandas = pytest.importorskip("pandas")


def frame(n, seed):
    generator = np.random.default_rng(seed)
    table = pandas.DataFrame(
        {
            "width": generator.normal(size=n),
            "smoker": generator.random(n) < 0.5,
            "city": pandas.Categorical(generator.choice(["Rome", "Oslo", "Bern"], n)),
            "note": generator.choice(["a", "b"], n),
            "day": pandas.Timestamp("2020-01-01") + pandas.to_timedelta(generator.integers(0, 365, n), unit="D"),
            "mass": np.where(generator.random(n) < 0.2, np.nan, generator.normal(size=n)),
            "unit": "kg",
        }
    )
    table.loc[generator.random(n) < 0.1, "day"] = pandas.NaT
    return table


FITTED = detector().fit(frame(200, 0))
NEW = frame(50, 1)


def test_mixed_columns_are_scored_and_saved(tmp_path):
    scaled = FITTED._scaled(FITTED._numbers(NEW))
    assert np.isfinite(scaled).all()
    assert scaled.shape[1] == 1 + 1 + 3 + 2 + 1 + 1 + 1 + 1  # with markers of the missing days and masses
    assert np.mean(FITTED.predict(NEW) == 1) > 0.7
    FITTED.save(tmp_path / "detector")
    for other in (
        jaxgen.Detector.load(tmp_path / "detector", trusted=("test_detector",)),
        pickle.loads(pickle.dumps(FITTED)),
    ):
        np.testing.assert_array_equal(other.p_values(NEW), FITTED.p_values(NEW))


@pytest.mark.parametrize(("column", "value"), [("city", "Paris"), ("note", "c"), ("unit", "g"), ("width", np.nan)])
def test_an_unseen_value_has_the_least_p_value(column, value):
    changed = NEW.astype({"city": object})
    changed[column] = value
    np.testing.assert_array_equal(FITTED.p_values(changed), 1 / 41)
    assert FITTED.explain(changed).top() == [column] * 50


def test_the_table_names_every_column():
    lines = FITTED.column_table().splitlines()
    assert [line.split(":")[0] for line in lines] == list(NEW.columns)
    assert "one column for each of 3 values" in lines[2]
    assert "constant" in lines[6]
    with pytest.raises(ValueError, match="rows were plain numbers"):
        detector().fit(np.random.default_rng(0).normal(size=(50, 3))).column_table()


@pytest.mark.parametrize(
    "column",
    [[1j] * 20, [[1]] * 20, pandas.period_range("2020", periods=20), pandas.interval_range(0, 20), [{"a": 1}] * 20],
    ids=["complex", "lists", "periods", "intervals", "dicts"],
)
def test_columns_without_a_meaning_are_refused(column):
    with pytest.raises(TypeError, match=r"column 'odd' must hold numbers, .* \(got .*\); convert or drop it"):
        detector().fit(pandas.DataFrame({"width": np.arange(20.0), "odd": column}))


def test_durations_are_seconds_and_names_of_rows_are_reported():
    table = pandas.DataFrame({"time": pandas.to_timedelta(np.arange(20), unit="min"), "width": np.arange(20.0)})
    table.loc[3, "time"] = pandas.NaT
    found = column_encoder(table).fit_transform(table)
    np.testing.assert_array_equal(found[:, 0], np.where(np.arange(20) == 3, np.nan, 60.0 * np.arange(20)))
    with pytest.warns(UserWarning, match="column 'name' has 20 different values in 20 rows.*drop the column"):
        column_encoder(table.assign(name=[f"row {number}" for number in range(20)]))
    with pytest.raises(ValueError, match="at least one column"):
        column_encoder(pandas.DataFrame())


def test_rows_that_are_no_data_frame_are_refused():
    with pytest.raises(TypeError, match="must be a data frame with the columns of `fit` "):
        FITTED.predict(NEW.to_numpy())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("missing", [False, True])
def test_dates_of_a_time_zone_are_seconds_since_1970(missing):
    days = pandas.Series(pandas.date_range("2020-03-29", periods=6, freq="h", tz="Europe/Berlin"))
    expected = [day.timestamp() for day in days]
    if missing:
        days[1], expected[1] = pandas.NaT, np.nan
    np.testing.assert_array_equal(as_seconds(pandas.DataFrame({"day": days}))[:, 0], expected)


def test_whole_numbers_are_the_same_category_as_integers_and_floats():
    """With a missing value, pandas turns a column of integers into floats."""
    table = pandas.DataFrame({"code": pandas.Series([1, 2, 3]).astype("category")})
    other = pandas.DataFrame({"code": pandas.Series([1, np.nan, 3]).astype("category")})
    assert as_text(table)[:, 0].tolist() == ["1", "2", "3"]
    assert as_text(other)[[0, 2], 0].tolist() == ["1", "3"]
    assert as_text(pandas.DataFrame({"code": [1.5, 2.0]}))[:, 0].tolist() == ["1.5", "2"]
    encoder = column_encoder(table).fit(table)
    np.testing.assert_array_equal(encoder.transform(other)[:, 0], [0, UNSEEN, 2])
