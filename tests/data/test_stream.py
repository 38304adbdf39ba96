"""Sources of streams: which are accepted, what is read, and what bad examples raise."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from jaxgen import data
from jaxgen.data import example_reader
from jaxgen.data.stream_table import reader_of
from jaxgen.data.validation import checked, fingerprint, row_specs
from jaxgen.serialization.config_json import from_json, to_json

pytest.importorskip("grain", reason="Grain is not installed")

X = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
ROWS = np.array([[4, 0, 89], [7, 7, 1]])


class Sequence:
    """Examples by number only, as most sources have them."""

    def __init__(self, x, changed=None):
        self.x, self.changed = x, changed or {}

    def __len__(self):
        return len(self.x)

    def __getitem__(self, number):
        example = self.changed.get(number, self.x[number])
        if isinstance(example, Exception):
            raise example
        return example


class Together(Sequence):
    """Examples several at a time, as those of TensorFlow Datasets and Hugging Face."""

    def __getitems__(self, numbers):
        return [self[number] for number in numbers]


def read(source, rows=ROWS, **named):
    (table,) = data.Stream(source, **named).tables()
    return reader_of(table).read(rows)


def loaded(number):
    return X[number]


@pytest.mark.parametrize("num_threads", [None, 0, 3])
@pytest.mark.parametrize(
    "make",
    [
        lambda folder: {"source": X},
        lambda folder: {"source": Sequence(X)},
        lambda folder: {"source": Together(X)},
        lambda folder: {"source": X.tolist(), "transform": lambda row: np.array(row, np.float32)},
        lambda folder: {"source": range(90), "transform": loaded},
        lambda folder: {"source": mapped(folder)},
    ],
    ids=["array", "sequence", "several at a time", "list", "loader", "memory-mapped"],
)
def test_any_source_with_examples_by_number_gives_their_values(tmp_path, make, num_threads):
    np.testing.assert_array_equal(read(**make(tmp_path), num_threads=num_threads), X[ROWS])


def mapped(folder):
    np.save(folder / "x.npy", X)
    return np.load(folder / "x.npy", mmap_mode="r")


def test_mixtures_of_grain_are_sources():
    import grain

    parts = [grain.MapDataset.source(X[:60]), grain.MapDataset.source(X[60:])]
    mixed = grain.MapDataset.mix(parts, weights=(0.75, 0.25))
    (table,) = data.Stream(mixed).tables()
    assert len(table) == len(mixed) == 80
    np.testing.assert_array_equal(
        reader_of(table).read(ROWS[:1] % 80), np.stack([mixed[i] for i in ROWS[0] % 80])[None]
    )


@pytest.mark.parametrize("source", [X.astype(np.float64), (X, np.arange(90)), {"a": X, "b": X[:, 0] > 0}])
def test_values_and_row_specs_are_those_of_arrays(source):
    """Also of numbers that JAX stores in another precision."""
    (stream,) = checked(data.Stream(source).tables(), 8)
    (table,) = checked(data.Arrays(source).tables(), 8)
    assert row_specs((stream,)) == row_specs((table,))
    found = reader_of(stream).read(ROWS)
    parts = [found] if isinstance(table, np.ndarray) else (found.values() if isinstance(found, dict) else found)
    whole = [table] if isinstance(table, np.ndarray) else (table.values() if isinstance(table, dict) else table)
    for part, expected in zip(parts, whole, strict=True):
        np.testing.assert_array_equal(part, expected[ROWS])
        assert part.dtype == expected.dtype


def test_the_fingerprint_changes_with_the_length_and_with_a_sampled_example():
    base = fingerprint(data.Stream(X).tables())
    assert fingerprint(data.Stream(Sequence(X)).tables()) == base  # the kind of source does not matter
    assert fingerprint(data.Stream(X[:89]).tables()) != base
    assert fingerprint(data.Stream(Sequence(X, {89: X[88]})).tables()) != base


NAN = X[0] * np.nan
LARGE = np.where(np.arange(90)[:, None] == 7, 1e300, X.astype(float))
BAD = {
    "shape": (lambda: read(Sequence(X, {7: X[7, :2]})), r"float32\[3\] \(got float32\[2\] in example 7\)"),
    "dtype": (lambda: read(Sequence(X, {7: X[7].astype(int)})), r"float32\[3\] \(got int64\[3\] in example 7\)"),
    "structure": (lambda: read(Sequence(X, {7: (X[7], X[7])})), r"structure of example 0, .* in example 7\); give"),
    "raises": (
        lambda: read(Sequence(X, {7: OSError("disk")})),
        r"example 7 .* read \(OSError: disk\); repair",
    ),
    "several raise": (lambda: read(Together(X, {7: OSError("disk")})), r"example 7 .* \(OSError: disk\); repair"),
    "the first raises": (lambda: read(Sequence(X, {0: OSError("disk")})), r"example 0 .* \(OSError: disk\); repair"),
    "transform": (lambda: read(X, transform=lambda x: 1 // int(x is X[7])), r"example 0 of .* \(ZeroDivisionError: "),
    "nan": (lambda: read(Sequence(X, {7: NAN})), r"must be finite \(got NaN or infinity in example 7\); remove"),
    "nan in an array": (lambda: read(np.where(np.arange(90)[:, None] == 7, np.nan, X)), "infinity in example 7"),
    "empty": (lambda: read(X[:0]), r"at least one example \(got none\)"),
    "endless": (lambda: read(range(2**31)), r"fewer than 2\*\*31 examples \(got 2147483648\)"),
    "lengths": (lambda: read((X, X[:7])), r"same length \(got \[7, 90\]\)"),
    "batch": (lambda: checked(data.Stream(X).tables(), 91), r"`batch_size` must be at most 90, the rows of table 0"),
    "range": (
        lambda: read(Sequence(X.astype(float), {7: X[7].astype(float) * 1e300})),
        r"examples 1 to 7 .* must fit float32",
    ),
    "threads": (lambda: data.Stream(X, num_threads=-1), r"`num_threads` .* at least 0, or None \(got -1\)"),
}
KINDS = {
    "iterator": (lambda: data.Stream(iter(X)), "`len.source.` and `source.i.`"),
    "no function": (lambda: data.Stream(X, transform=3), r"must be a function of an example or None \(got 3\)"),
    "text": (lambda: read(["a", "b"]), "must hold numbers"),
    "whole": (lambda: np.asarray(data.Stream(X).tables()[0]), "must not be read whole"),
    "absent": (lambda: from_json(to_json(data.Stream(X))).tables(), "no `source` to read"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_one_sentence_that_names_it(name):
    call, message = BAD[name]
    with pytest.raises(ValueError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", KINDS)
def test_input_of_another_kind_raises(name, unchecked):
    call, message = KINDS[name]
    with pytest.raises(TypeError, match=message):
        call()


def test_a_config_stores_the_length_of_the_source_and_not_its_values():
    stored = to_json(data.Stream(X))
    assert stored["fields"]["source"]["fields"] == {"length": 90}
    again = from_json(stored)
    assert to_json(again) == stored
    assert repr(again) == "Stream(90 examples)"
    assert repr(data.Stream(X)) == "Stream(90 examples of ndarray)"


def test_the_error_without_grain_says_what_to_install():
    code = (
        "import sys; sys.modules['grain'] = None\nfrom jaxgen import data\n"
        "import numpy as np\ntry: data.Stream(np.zeros((9, 2))).tables()\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("install 'jaxgen[stream]', or pass arrays that fit in memory as data.Arrays(x).\n")


@pytest.mark.skipif(not pathlib.Path("/proc/self/smaps").exists(), reason="/proc is that of Linux")
@pytest.mark.parametrize(("mode", "kept", "is_resident"), [("r", 0, False), ("r", 2**29, True), ("c", 0, True)])
def test_pages_of_a_large_mapped_file_are_given_back(tmp_path, monkeypatch, mode, kept, is_resident):
    """And those of a copy-on-write mapping are not, which may hold changes."""
    monkeypatch.setattr(example_reader, "KEPT", kept)
    np.save(tmp_path / "large.npy", np.ones((1000, 1024), np.float32))
    x = np.load(tmp_path / "large.npy", mmap_mode=mode)
    if mode == "c":
        x[5] = 7
    found = read(x[10:].reshape(-1, 32, 32), np.arange(900).reshape(9, 100))
    np.testing.assert_array_equal(found, np.ones((9, 100, 32, 32)))
    lines = pathlib.Path("/proc/self/smaps").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.endswith("large.npy"))
    resident = next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))
    assert (resident > 1000) == is_resident, resident
    np.testing.assert_array_equal(x[5], 7 if mode == "c" else 1)
