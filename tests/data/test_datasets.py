"""Validation of tables, fingerprints, and tables from files."""

import sys

import jax
import numpy as np
import pytest

import jaxgen
from jaxgen import data
from jaxgen.data.validation import checked, fingerprint, row_specs

GOOD = np.arange(12.0).reshape(6, 2)

BAD = {
    "nan": (
        np.array([[0.0], [np.nan], [np.nan]]),
        ValueError,
        "NaN or infinite numbers in 2 of 3 rows, first in row 1",
    ),
    "infinite": (np.array([[np.inf], [0.0]]), ValueError, "NaN or infinite"),
    "no rows": (np.zeros((0, 2)), ValueError, "is empty; give at least one row"),
    "no columns": (np.zeros((4, 0)), ValueError, "is empty"),
    "scalar": (np.float32(1), ValueError, "has no rows"),
    "nothing": ({}, ValueError, "has no rows"),
    "text": (np.array([["a", "b"]]), TypeError, "must hold numbers"),
    "objects": (np.array([object()]), TypeError, "must hold numbers"),
    "complex": (np.ones((3, 1), complex), TypeError, "must hold numbers .got dtype complex128"),
    "lists": ([[1.0], [1.0, 2.0]], ValueError, "give arrays"),
    "unequal": ({"x": GOOD, "y": GOOD[:4]}, ValueError, r"table 0 must have the same number of rows \(got \[4, 6\]\)"),
    "too large": (
        np.array([[1e200, 1.0], [0.0, 2.0]]),
        ValueError,
        "must fit float32 .got .* value of 1e.200.; rescale",
    ),
    "too small": (np.array([[1.0, 1e-200], [2.0, 0.0]]), ValueError, "must fit float32 .got .* value of 1e-200.; resc"),
    "whole": (np.array([[1], [2**40]]), ValueError, r"must fit int32 \(got 1 to 1099511627776\)"),
    "generator": ((row for row in GOOD), TypeError, r"must hold arrays \(got generator\); put the batches"),
    "list of lists": (
        [[1.0, 2.0], [3.0, 4.0]],
        ValueError,
        r"got a list of Python numbers\); give .* np.asarray\(rows\)",
    ),
    "small": (GOOD[:1], ValueError, r"`batch_size` must be at most 1, the rows of table 0 \(got 2\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_raise_one_line(name):
    table, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as caught:
        checked(data.Arrays(table).tables(), 2)
    assert "\n" not in str(caught.value)


def test_the_range_of_single_precision_is_kept():
    x = np.array([[3e38, 1e-37, 0.0], [-1.0, 1e-200, 0.0]])  # a small number among larger ones may round to 0
    np.testing.assert_array_equal(checked((x,), 2)[0], x.astype(np.float32))
    with jax.enable_x64(True):
        np.testing.assert_array_equal(checked((1e200 * x[:, :1] / 3e38, x * 1e-100), 2)[1], x * 1e-100)


def test_good_tables_come_out_in_default_precision():
    x, batch = checked(data.Arrays(GOOD, {"image": np.zeros((3, 2), np.uint8), "label": np.arange(3)}).tables(), 2)
    assert x.dtype == np.float32
    assert batch["image"].dtype == np.uint8
    specs = row_specs((x, batch))
    assert (specs[0].shape, specs[0].dtype) == ((2,), np.float32)
    assert specs[1]["image"].dtype == np.float32  # as a training step receives it
    np.testing.assert_array_equal(x, GOOD)


def test_fingerprint_depends_on_values_shapes_and_dtypes():
    tables = [(GOOD,), (GOOD + 1e-9,), (GOOD.reshape(3, 4),), (GOOD.astype(np.float32),), (GOOD, GOOD)]
    assert len({fingerprint(table) for table in tables}) == len(tables)
    assert fingerprint((GOOD,)) == fingerprint((GOOD.copy(),))


def test_files(tmp_path):
    np.savez(tmp_path / "one.npz", x=GOOD)
    np.savez(tmp_path / "two.npz", x=GOOD, y=GOOD + 1)
    np.savetxt(tmp_path / "plain.csv", GOOD, delimiter=",")
    np.savetxt(tmp_path / "named.csv", GOOD, delimiter=",", header="height,width", comments="")
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "plain.csv").read_bytes())
    for table in (
        data.Table(str(tmp_path / "excel.csv")),
        data.Table(str(tmp_path / "one.npz")),
        data.Table(str(tmp_path / "two.npz"), "x"),
        data.Table(str(tmp_path / "plain.csv")),
        data.Table(str(tmp_path / "named.csv")),
    ):
        np.testing.assert_array_equal(table.tables()[0], GOOD)


def test_files_that_cannot_be_read(tmp_path):
    np.savez(tmp_path / "two.npz", x=GOOD, y=GOOD)
    (tmp_path / "words.csv").write_text("a,b\n1,2\n3,four\n")
    (tmp_path / "hole.csv").write_text("1.0,,3.0\n4,5,6\n")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n\n3,4,5\n")
    (tmp_path / "empty.csv").write_text("# nothing\n")
    with pytest.raises(ValueError, match=r"got in line 4: 3 instead of 2 numbers\); fix"):
        data.Table(str(tmp_path / "ragged.csv")).tables()
    with pytest.raises(ValueError, match="got no lines"):
        data.Table(str(tmp_path / "empty.csv")).tables()
    (tmp_path / "table.xlsx").write_text("")
    whole = (tmp_path / "two.npz").read_bytes()
    for name, content in {
        "cut": whole[:-40],
        "spoiled": whole.replace(whole[150:170], b"x" * 20),
        "no": b"1,2",
    }.items():
        (tmp_path / f"{name}.npz").write_bytes(content)
        with pytest.raises(
            ValueError, match=rf"{name}.npz must be a complete .npz file of numbers \(got: .*; write it again"
        ):
            data.Table(str(tmp_path / f"{name}.npz"), "x").tables()
    with pytest.raises(FileNotFoundError, match="there is no file"):
        data.Table(str(tmp_path / "none.npz")).tables()
    with pytest.raises(ValueError, match=r"one of the arrays \['x', 'y'\] in .* \(got None\)"):
        data.Table(str(tmp_path / "two.npz")).tables()
    with pytest.raises(ValueError, match="must hold only numbers and commas"):
        data.Table(str(tmp_path / "words.csv")).tables()
    with pytest.raises(ValueError, match="must hold only numbers and commas"):  # not a header line
        data.Table(str(tmp_path / "hole.csv")).tables()
    with pytest.raises(ValueError, match=r"must end in .npz, .csv or .parquet \(got .*table.xlsx\)"):
        data.Table(str(tmp_path / "table.xlsx")).tables()
    with pytest.raises(ValueError, match=r"`header` is for .csv files"):
        data.Table(str(tmp_path / "two.npz"), header=True).tables()
    with pytest.raises(ValueError, match=r"`name` is for .npz files"):
        data.Table(str(tmp_path / "words.csv"), "x").tables()
    (tmp_path / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match="must be a text file in UTF-8"):
        data.Table(str(tmp_path / "latin.csv")).tables()
    for separator in (";", "\t"):
        (tmp_path / "other.csv").write_text(f"a{separator}b\n1,5{separator}2,5\n")
        with pytest.raises(
            ValueError, match=rf"must be separated by commas \(got {separator!r}".replace("\\t", "\\\\t")
        ):
            data.Table(str(tmp_path / "other.csv")).tables()


FILES = {
    "names and index": (",a,b\n0,1.5,2.0\n1,3.0,4.5\n", None),
    "numbers as names, and index": (",0,1\nx,1.5,2.0\ny,3.0,4.5\n", None),
    "years as names, and index": (",1990,2020\n2020-01-01,1.5,2.0\n2020-01-02,3.0,4.5\n", None),
    "index written twice": (",Unnamed: 0,a,b\n0,0,1.5,2.0\n1,1,3.0,4.5\n", None),
    "two levels of index": (",,a,b\n0,x,1.5,2.0\n0,y,3.0,4.5\n", None),
    "numbers and a word": ("0,target\n1.5,2.0\n3.0,4.5\n", None),
    "comment": ("# made in March, 2024\n1.5,2.0\n# more\n3.0,4.5\n", None),
    "comment and names": ("# made in March\n\na,b\n1.5,2.0\n3.0,4.5\n", None),
    "quoted names": ('"width, in cm","b"\n1.5,2.0\n3.0,4.5\n', None),
    "carriage returns": ("a,b\r\n1.5,2.0\r\n3.0,4.5\r\n", None),
    "names by request": ("0,1\n1.5,2.0\n3.0,4.5\n", True),
    "numbers by request": ("1.5,2\n3,4.5\n", False),
}


@pytest.mark.parametrize("name", FILES)
def test_csv_files_as_they_are_written(name, tmp_path):
    text, header = FILES[name]
    (tmp_path / "x.csv").write_text(text, newline="")
    found = data.Table(str(tmp_path / "x.csv"), header=header).tables()[0]
    np.testing.assert_array_equal(found, [[1.5, 2.0], [3.0, 4.5]])


@pytest.mark.parametrize("first", ["0,1", "1,2", "1999,2004", "7,3", "5,name"])
def test_a_first_line_that_may_be_either_is_an_error(first, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"{first}\n1.5,2.0\n3.0,4.5\n")
    with pytest.raises(
        ValueError, match=rf"may hold names or numbers \(got '{first.replace(',', ', ')}'\).*header=True"
    ):
        data.Table(str(path)).tables()
    assert data.Table(str(path), header=True).tables()[0].shape == (2, 2)
    path.write_text("3,7\n2,8\n1,5\n")  # whole numbers that do not look like names
    np.testing.assert_array_equal(data.Table(str(path)).tables()[0], [[3, 7], [2, 8], [1, 5]])


def test_what_pandas_writes_is_read(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    x = np.random.default_rng(0).normal(size=(5, 3))
    plain, mixed = (
        pandas.DataFrame(x),
        pandas.DataFrame({"a": x[:, 0], 0: [1, 2, 3, 4, 5], "c": [True, False] * 2 + [True]}),
    )
    by_date = plain.set_index(pandas.date_range("2024", periods=5))
    for frame in (plain, plain.rename(columns=lambda n: 2000 + 5 * n), plain.add_prefix("x"), mixed, by_date):
        frame.to_csv(tmp_path / "x.csv")
        expected = frame.to_numpy(np.float64)
        np.testing.assert_array_equal(data.Table(str(tmp_path / "x.csv")).tables()[0], expected)
        frame.to_csv(tmp_path / "x.csv", index=False)
        np.testing.assert_array_equal(data.Table(str(tmp_path / "x.csv"), header=True).tables()[0], expected)
        np.testing.assert_array_equal(checked(data.Arrays(frame).tables(), 2)[0], expected.astype(np.float32))
    nullable = pandas.DataFrame({"a": pandas.array([1, 2], "Int64"), "b": [0.5, 1.5]})
    frames = data.Arrays({"x": nullable, "label": pandas.Series([0, 1])}).tables()
    np.testing.assert_array_equal(frames[0]["x"], [[1, 0.5], [2, 1.5]])
    assert isinstance(frames[0]["label"], np.ndarray)
    with pytest.raises(TypeError, match=r"must hold numbers .*'b': '(object|str)'.*drop, encode or impute"):
        data.Arrays(pandas.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}))


def test_columns_of_frames_are_taken_by_position_and_bytes_are_no_pixels():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    equal_names = pandas.DataFrame([[1, 200], [2, 3]], columns=["a", "a"])
    for dtype in (object, np.uint8, np.int64):
        (found,) = checked(data.Arrays(equal_names.astype(dtype)).tables(), 2)
        np.testing.assert_array_equal(found, [[1, 200], [2, 3]])
        assert found.dtype == np.float32
    for wrong in (["x", "y"], pandas.to_datetime(["2020", "2021"]), pandas.to_timedelta([1, 2])):
        with pytest.raises(TypeError, match=r"must hold numbers without missing ones .*drop, encode or impute"):
            data.Arrays(pandas.DataFrame({"a": [1.0, 2.0], "b": wrong}).set_axis(["a", "a"], axis=1))
    with pytest.raises(ValueError, match="table 0 is empty"):
        checked(data.Arrays(pandas.DataFrame()).tables(), 1)


def test_parquet_files_are_read_without_the_index(tmp_path):
    pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path = tmp_path / "x.parquet"
    frame = pandas.DataFrame({"a": [1.5, 2], "b": np.array([1, 200], np.uint8), "c": [True, False]})
    for index in (frame.index, ["u", "v"], pandas.date_range("2020", periods=2)):
        frame.set_axis(index).to_parquet(path)
        (found,) = data.Table(str(path)).tables()
        np.testing.assert_array_equal(found, [[1.5, 1, 1], [2, 200, 0]])
        assert found.dtype == np.float64
    for column in (["x", "y"], [1, None], pandas.to_datetime(["2020", "2021"])):
        frame.assign(d=column).to_parquet(path)
        with pytest.raises(ValueError, match=r"must hold numbers without missing ones .*'d': '.*, [01] missing'"):
            data.Table(str(path)).tables()
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="must be a complete Parquet file"):
        data.Table(str(path)).tables()


def test_a_missing_pyarrow_raises_with_the_command_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jaxgen\[parquet\]'"):
        data.Table(str(tmp_path / "x.parquet")).tables()


def test_frames_of_polars_are_taken_as_they_are():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({"a": [1.5, 2.0], "b": [1, 2]})
    np.testing.assert_array_equal(checked(data.Arrays(frame).tables(), 2)[0], [[1.5, 1], [2, 2]])
    with pytest.raises(TypeError, match="must hold numbers"):
        data.Arrays(polars.DataFrame({"a": [1.5, 2.0], "b": ["x", "y"]}))
    with pytest.raises(TypeError, match=r"call collect\(\) first"):
        data.Arrays(frame.lazy())


def test_a_file_trains_like_its_array(tmp_path):
    import tiny

    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    results = [
        jaxgen.train(
            jaxgen.Config(tiny.evl(), source, steps=2, steps_per_call=2, batch_size=8, layout=tiny.ONE), progress=False
        )
        for source in (data.Arrays(x), data.Table(str(tmp_path / "x.npz")))
    ]
    np.testing.assert_array_equal(results[0].history["loss"], results[1].history["loss"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,b\nn0,1\nn1,2\n", r"\(got 'n0' in line 2, column 'name'\); drop that column or encode it as numbers"),
        ("a,b\n1,2\n3,four\n5,6\n", r"\(got 'four' in line 3, column 'b'\); fix or remove that line"),
        (",a,b\n0,1,x\n1,2,y\n", r"\(got 'x' in line 2, column 'b'\); drop that column"),
        ("1.5,2\nx,3\n4,5\n", r"\(got 'x' in line 2, column 0\); fix or remove that line"),
        ("a,b\n1,2\n3,4,5\n", r"\(got in line 3: 3 instead of 2 numbers\); fix or remove that line"),
    ],
    ids=["names", "one cell", "after an index", "without a header", "long line"],
)
def test_the_message_names_the_column_that_holds_text(text, message, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ValueError, match=r"x.csv must hold only numbers and commas " + message):
        data.Table(str(tmp_path / "x.csv")).tables()
