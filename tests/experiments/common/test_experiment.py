"""Cells are computed once, and again if anything that they depend on has changed."""

import dataclasses
import functools
import importlib
import json
import linecache
import sys
from typing import ClassVar

import pytest
import tiny

from experiments.common import expectations, experiment, report
from experiments.common.experiment import Cell
from experiments.common.source import source_digest

COLUMNS = [report.Column("x", "x")]
computed = []


def measure(number, directory):
    computed.append((number, directory.name))
    return {"x": float(number)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Numbers."""

    rows: tuple[str, ...] = ("one", "two")
    """Rows."""
    width: int = 8
    """Of the network."""

    name = "test/numbers"
    details: ClassVar = {"also": 1}
    choices = {"rows": ("one", "two")}

    def cells(self):
        config = tiny.config(tiny.evl(latent_dim=self.width))
        for row in self.rows:
            for seed in self.seeds:
                settings = {"threshold": 3}
                yield Cell(row, seed, functools.partial(measure, seed), config if row == "one" else None, settings)

    def tables(self, results):
        rows = [report.Row.of(row, cells, COLUMNS) for row, cells in results.items()]
        return [report.Table("numbers", "Numbers", COLUMNS, rows, details=self.details)]


@pytest.fixture
def made(tmp_path):
    computed.clear()
    return Experiment(num_seeds=2, first_seed=5, cache_dir=tmp_path)


def test_cells_are_computed_once_and_tables_written(made, tmp_path):
    for _ in range(2):
        (table,) = made.run()
        assert [row.values["x"] for row in table.rows] == [[5.0, 6.0], [5.0, 6.0]]
    assert len(computed) == 4
    written = json.loads((tmp_path / "numbers.json").read_text())
    assert (written["also"], written["rows"][0]["values"]["x"]) == (1, [5.0, 6.0])


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, 0),
        ({"num_seeds": 3}, 2),  # one more of each row
        ({"width": 4}, 2),  # the row with a config
        ({"rows": ("one",)}, 0),
    ],
)
def test_what_changed_is_computed_again(made, change, again):
    made.run()
    before = len(computed)
    dataclasses.replace(made, **change).run()
    assert len(computed) - before == again


@pytest.mark.parametrize("part", ["settings", "version", "measure"])
def test_each_part_of_a_cell_s_identity_counts(made, part):
    cell = next(iter(made.cells()))
    made.measure(cell)
    changed = {"settings": {"threshold": 4}, "version": 1, "measure": functools.partial(measure, 7)}
    made.measure(dataclasses.replace(cell, **{part: changed[part]}))
    assert len(computed) == 2
    made.measure(cell)
    assert len(computed) == 2 + (part != "settings")  # other settings have a file of their own


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithFollowup(Experiment):
    """Numbers, and one more seed of the row with the highest sum."""

    def followup_cells(self, results):
        best = max(results, key=lambda row: sum(cell["x"] for cell in results[row]))
        yield Cell(best, 9, functools.partial(measure, 9))


def test_followup_cells_depend_on_the_results(tmp_path):
    computed.clear()
    for _ in range(2):
        (table,) = WithFollowup(num_seeds=2, first_seed=5, cache_dir=tmp_path).run()
        assert [row.values["x"] for row in table.rows] == [[5.0, 6.0, 9.0], [5.0, 6.0]]
    assert len(computed) == 5


def test_checkpoints_depend_on_the_config_alone(made):
    one, *_ = made.cells()
    made.measure(one)
    made.measure(dataclasses.replace(one, settings={}, measure=functools.partial(measure, 9)))
    made.measure(dataclasses.replace(one, config=dataclasses.replace(one.config, seed=3)))
    assert computed[0][1] == computed[1][1] != computed[2][1]


def test_a_quick_run_has_a_place_of_its_own(made, tmp_path):
    dataclasses.replace(made, quick=True, output_dir=tmp_path / "results").run()
    assert (tmp_path / "quick" / "numbers.json").is_file()
    assert not (tmp_path / "results").exists()


def test_a_quick_run_is_compared_with_a_committed_table(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(expectations, "RESULTS", tmp_path / "results")
    quick = dataclasses.replace(made, quick=True)
    quick.run()
    assert "expected after" not in capsys.readouterr().out
    details = {"steps": 20, "first": 5}
    table = report.Table("quick", "", COLUMNS, [report.Row("one", {"x": [4.0, 5.0, 6.0]})], details=details)
    table.write(tmp_path / "results" / "test" / "numbers")
    monkeypatch.setattr(Experiment, "details", details)
    quick.run()
    printed = capsys.readouterr().out
    assert "one, expected after 20 steps" in printed
    assert "seed 5, x 5.000: inside the expected" in printed
    made.run()
    assert "expected after" not in capsys.readouterr().out


def test_configs_are_listed_without_computing(made, capsys):
    dataclasses.replace(made, configs=True).run()
    assert set(json.loads(capsys.readouterr().out)) == {"one-5", "one-6"}
    assert not computed


@pytest.mark.parametrize(("change", "message"), [({"rows": ("three",)}, "rows must be among"), ({"num_seeds": 0}, "1")])
def test_wrong_settings_are_an_error(made, change, message):
    with pytest.raises(SystemExit, match=message):
        dataclasses.replace(made, **change)


FILES = {
    "experiments_of_a_test.py": """
import experiments_metric
FACTOR = 2
def measure(directory):
    return (lambda x: FACTOR * experiments_metric.metric(x))(1)
def other(directory):
    return 0
""",
    "experiments_metric.py": """
import functools
import numpy as np
def times(factor):
    return lambda x: factor * x
TABLE = {
    "doubled": times(2),
    "tripled": times(3),
    "next": lambda x: x + 1,
    "after": lambda x: x + 2,
}
class Grid:
    corners = np.zeros(3)
    @functools.cached_property
    def rows(self):
        return list(TABLE)
    def cell(self, x):
        return x
def metric(x):
    return Grid().cell(x)
def unused(x):
    return x
""",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "changes"),
    [
        ("experiments_of_a_test.py", "FACTOR = 2", "FACTOR = 3", True),
        ("experiments_of_a_test.py", "return 0", "return 1", False),
        ("experiments_metric.py", "return Grid().cell(x)", "return -Grid().cell(x)", True),
        ("experiments_metric.py", "        return x\ndef metric", "        return 2 * x\ndef metric", True),
        ("experiments_metric.py", "times(3)", "times(4)", True),
        ("experiments_metric.py", "x + 2", "x + 3", True),
        ("experiments_metric.py", "np.zeros(3)", "np.zeros(4)", True),
        ("experiments_metric.py", "def unused(x):\n    return x", "def unused(x):\n    return 1", False),
    ],
)
def test_the_digest_follows_what_is_called(tmp_path, monkeypatch, file, old, new, changes):
    monkeypatch.syspath_prepend(tmp_path)

    def digest():
        for name in FILES:
            sys.modules.pop(name.removesuffix(".py"), None)
        importlib.invalidate_caches()
        linecache.clearcache()
        return source_digest(importlib.import_module("experiments_of_a_test").measure)

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    before = digest()
    assert digest() == before
    text = FILES[file].replace(old, new)
    assert text != FILES[file]
    (tmp_path / file).write_text(text)
    assert (digest() != before) == changes
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_digests_are_equal_in_another_process():
    from experiments.meg import toy

    code = "from experiments.meg import toy; from experiments.common.source import source_digest as d"
    import subprocess

    text = subprocess.run(
        [sys.executable, "-c", f"{code}; print(d(toy.measured))"], capture_output=True, text=True, check=True
    ).stdout
    assert text.strip() == source_digest(toy.measured)
