"""Intervals that a further run should meet, and the verdict on it."""

import json

import numpy as np
import pytest
from scipy import stats

from experiments.common import report
from experiments.common.expectations import Expectation, read_rows, verdicts

COLUMNS = (report.Column("kl", "KL, nats"), report.Column("gain", "gain, nats", 2))
VALUES = {"kl": (0.02, 0.03, 0.04, 0.05), "gain": (-1.0, 0.0, 2.0, 3.0)}


@pytest.fixture
def expectation():
    return Expectation(COLUMNS, VALUES, first_seed=30, steps=4000, machine="2 cores")


def test_an_interval_covers_one_further_run_95_times_in_100():
    draws = np.random.default_rng(0).normal(size=(2000, 6))
    inside = 0
    for *known, further in draws:
        low, high = Expectation(COLUMNS, {"gain": known}, first_seed=0, steps=1, machine="").interval("gain")
        inside += low <= further <= high
    assert inside / 2000 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 2000))


def test_positive_measures_have_a_positive_interval(expectation):
    low, high = expectation.interval("kl")
    assert 0 < low < min(VALUES["kl"])
    assert high > max(VALUES["kl"])
    logs = np.log(VALUES["kl"])
    np.testing.assert_allclose(np.sqrt(low * high), np.exp(logs.mean()))  # the same on both sides, as a factor
    np.testing.assert_allclose(np.log(high / low) / 2, stats.t.ppf(0.975, 3) * logs.std(ddof=1) * np.sqrt(1.25))


def test_the_verdict_is_right_on_both_sides_of_both_ends(expectation):
    for column in COLUMNS:
        low, high = expectation.interval(column.name)
        other = {name: values[1] for name, values in VALUES.items() if name != column.name}
        for value, word in ((low - 1e-6, "OUTSIDE"), (low, "inside"), (high, "inside"), (high + 1e-6, "OUTSIDE")):
            lines = expectation.verdict({**other, column.name: value, "seconds": 1.0})
            assert len(lines) == 2
            (line,) = (line for line in lines if line.startswith(column.title))
            (rest,) = (line for line in lines if not line.startswith(column.title))
            assert f": {word} the expected" in line
            assert ": inside the expected" in rest


def test_it_states_seeds_and_steps(expectation):
    assert "4,000 steps" in str(expectation)
    assert "seeds 30 to 33" in str(expectation)
    low, high = expectation.interval("kl")
    assert f"KL, nats {low:.3f} to {high:.3f}" in str(expectation)


def test_it_is_read_from_a_written_table(tmp_path, expectation, capsys):
    details = {"steps": 4000, "first": 30}
    report.Table("t", "title", COLUMNS, [report.Row("ours", VALUES)], details=details).write(tmp_path)
    found = Expectation.read(tmp_path / "t.json", "ours", COLUMNS)
    assert found.values == VALUES
    assert (found.first_seed, found.steps) == (30, 4000)
    assert found.machine == json.loads((tmp_path / "t.json").read_text())["machine"]["device"]
    with pytest.raises(ValueError, match=r"must hold a row `theirs` \(got ours\)"):
        Expectation.read(tmp_path / "t.json", "theirs", COLUMNS)
    few = report.Row("ours", {name: values[:2] for name, values in VALUES.items()})
    report.Table("t", "title", COLUMNS, [few], details={"steps": 4000, "first": 30}).write(tmp_path)
    with pytest.raises(ValueError, match="three seeds"):
        Expectation.read(tmp_path / "t.json", "ours", COLUMNS)


def test_rows_with_enough_seeds_are_compared(tmp_path):
    values = {**VALUES, "seconds": (1.0, 2.0, 3.0, 4.0)}
    few = {name: numbers[:2] for name, numbers in VALUES.items()}
    columns = [*COLUMNS, report.Column("seconds", "seconds")]
    details = {"steps": 4000, "first": 30}
    table = report.Table("t", "title", columns, [report.Row("ours", values), report.Row("few", few)], details=details)
    table.write(tmp_path)
    expected = read_rows(tmp_path / "t.json", columns)
    assert {title: expectation.values for title, expectation in expected.items()} == {"ours": VALUES}
    lines = verdicts(table, expected)
    assert lines[0] == f"ours, {expected['ours']}"
    assert [line.split(",")[0] for line in lines[1:]] == [f"seed {seed}" for seed in (30, 31, 32, 33) for _ in COLUMNS]
    assert all(": inside the expected" in line for line in lines[1:])
    assert not verdicts(table, {})
