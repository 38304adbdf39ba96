"""Validation of tables, fingerprints, and tables from files."""

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
    "small": (GOOD[:1], ValueError, r"`batch_size` must be at most 1, the rows of table 0 \(got 2\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_raise_one_line(name):
    table, kind, message = BAD[name]
    with pytest.raises(kind, match=message) as caught:
        checked(data.Arrays(table).tables(), 2)
    assert "\n" not in str(caught.value)


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
    (tmp_path / "table.parquet").write_text("")
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
    with pytest.raises(ValueError, match=r"must end in .npz or .csv \(got .*table.parquet\)"):
        data.Table(str(tmp_path / "table.parquet")).tables()


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
