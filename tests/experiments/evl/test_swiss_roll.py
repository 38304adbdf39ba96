"""The experiment end to end, with few steps and points, as a user starts it."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from experiments.common import cache, expectations
from experiments.evl import baselines, grid_metrics, swiss_roll, swiss_roll_tuning
from experiments.evl.swiss_roll import Experiment
from jaxgen import data
from jaxgen.serialization.config_json import from_json

COMMITTED = json.loads((expectations.RESULTS / "evl" / "swiss_roll.json").read_text())
SETTINGS = {"": swiss_roll_tuning.SHORT, "--quick": swiss_roll_tuning.QUICK, "--full": swiss_roll_tuning.FULL}


@pytest.fixture
def few(monkeypatch):
    """The same experiment on two thousand points."""
    monkeypatch.setattr(grid_metrics, "BLOCK", 1000)
    monkeypatch.setattr(data, "SwissRoll", lambda seed: data.toy.SwissRoll(n=1000, test_n=2000, seed=seed))


@pytest.fixture
def small(few, monkeypatch):
    """Its trainings have twenty steps."""
    cut = lambda make: (
        lambda *given, **named: dataclasses.replace(make(*given, **named), steps=20, steps_per_call=10, batch_size=40)
    )
    monkeypatch.setattr(swiss_roll, "ours", cut(swiss_roll.ours))
    monkeypatch.setattr(baselines, "extreme_value", cut(baselines.extreme_value))


@pytest.mark.slow
def test_every_row_is_measured_written_and_drawn(small, tmp_path, monkeypatch, capsys):
    others = {"mixture_density", "gan_published", "gan"}  # evaluated with the grid of Gaussians, and by themselves
    models = tuple(model for model in swiss_roll.MODELS if model not in others)
    experiment = Experiment(models=models, full=True, paper_seeds=1, steps=20, cache_dir=tmp_path)
    (table,) = experiment.run()
    titles = [row.title for row in table.rows]
    assert len(titles) == 11  # eight cells, two of them rejection sampled too, and ours without its bandwidth
    assert all(np.isfinite(values).all() for row in table.rows for values in row.values.values())
    written = json.loads((tmp_path / "swiss_roll.json").read_text())
    assert [row["title"] for row in written["rows"]] == titles
    untrained = {"floor", "chance", "empirical", "smoothed", "gaussian_mixture"}
    assert set(written["configs"]) == set(models) - untrained
    rebuilt = from_json(written["configs"]["ours"])
    assert rebuilt.method == swiss_roll.ours(data.SwissRoll(seed=30), swiss_roll_tuning.FULL, 20).method
    assert (tmp_path / "swiss_roll.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "EVL, ours" in printed
    assert expectations.MARK not in printed
    # Again: nothing is computed a second time.
    monkeypatch.setattr(cache, "write_whole", None)
    (again,) = experiment.run()
    assert again.rows == table.rows


def test_the_first_command_trains_ours_alone_and_prints_the_committed_rows(small, tmp_path, capsys):
    experiment = Experiment(cache_dir=tmp_path)
    assert [cell.name for cell in experiment.cells()] == ["ours-30"]
    (table,) = experiment.run()
    assert [row.title for row in table.rows] == ["EVL, ours"]
    assert table.rows[0].paper == {"kl": 0.204, "fisher": 0.411}
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith(f"| {expectations.MARK}")]
    assert len(lines) == len(COMMITTED["rows"])
    for line, row in zip(lines, COMMITTED["rows"], strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        kl = row["values"]["kl"]
        assert cells[0] == f"{expectations.MARK} {row['title']}"
        assert float(cells[1].split(" ± ")[0]) == pytest.approx(np.mean(kl), abs=5.1e-4)
        assert float(cells[2].split(" ± ")[0]) == pytest.approx(np.mean(row["values"]["fisher"]), abs=5.1e-4)
        assert (" ± " in cells[1]) == (len(kl) > 1)
        assert cells[-2] == str(len(kl))
        assert cells[-1] == " / ".join(f"{number:g}" for number in row["paper"].values())
    assert "seeds 30 to 34" in printed
    assert all(f"{name} {value}" in printed for name, value in COMMITTED["machine"].items())
    # What is written is what was measured here.
    written = json.loads((tmp_path / "swiss_roll.json").read_text())
    assert [row["title"] for row in written["rows"]] == ["EVL, ours"]
    assert expectations.MARK not in (tmp_path / "swiss_roll.md").read_text()
    assert (tmp_path / "swiss_roll.png").stat().st_size > 10_000


def test_without_an_argument_it_is_a_short_training_of_ours():
    experiment = Experiment()
    assert experiment.rows == ("ours",)
    assert experiment.setting == swiss_roll_tuning.SHORT
    assert experiment.length == swiss_roll_tuning.SHORT.steps
    quick = Experiment(quick=True, num_seeds=5).reduced()
    assert (quick.rows, quick.length, quick.num_seeds) == (("ours",), swiss_roll_tuning.QUICK.steps, 5)


def test_full_runs_every_row_as_committed():
    experiment = Experiment(full=True)
    assert experiment.rows == tuple(swiss_roll.MODELS)
    assert (experiment.length, experiment.epochs, experiment.density_steps) == (30_000, 50, 4_000)
    config = swiss_roll.MODELS["ours"].config(experiment, data.SwissRoll(seed=30))
    method = config.method
    assert (config.steps, config.batch_size, config.steps_per_call, config.seed) == (30_000, 200, 1_500, 30)
    assert (method.candidates.num_candidates, method.latent_dim, method.bandwidth) == (2304, 64, 0.05)
    assert method.generator.generator.widths == (96, 96, 96, 3)
    assert Experiment(models=("ours",), full=True).rows == ("ours",)
    assert not list(dataclasses.replace(experiment, models=("paper",)).cells())  # without `paper_seeds`


def test_full_and_quick_exclude_each_other():
    with pytest.raises(SystemExit, match="must not be combined"):
        Experiment(full=True, quick=True)


@pytest.mark.parametrize("flag", SETTINGS)
def test_expected_numbers_are_those_of_the_committed_runs(flag):
    setting = SETTINGS[flag]
    expected = setting.expected()
    assert expected.steps == setting.steps
    assert expected.first_seed == 30
    content = json.loads(setting.file.read_text())
    (row,) = (row for row in content["rows"] if row["title"] == "EVL, ours")
    assert len(row["values"]["kl"]) == 5
    assert expected.values == {name: tuple(row["values"][name]) for name in ("kl", "fisher")}
    if "configs" in content:
        config = from_json(content["configs"]["ours"])
        assert config.method == swiss_roll.ours(data.SwissRoll(seed=30), setting, setting.steps).method


@pytest.mark.parametrize("flag", ["", "--quick"])
def test_the_docstring_states_the_expected_numbers(flag):
    text = " ".join(swiss_roll.__doc__.split())
    expected = SETTINGS[flag].expected()
    for measure in ("kl", "fisher"):
        low, high = expected.interval(measure)
        assert f"{low:.3f} to {high:.3f}" in text


def test_a_first_result_is_near_the_training_points():
    values = swiss_roll_tuning.SHORT.expected().values
    assert max(values["kl"]) <= 0.054  # the paper's number for the training points
    assert max(values["fisher"]) <= 0.25


def test_a_run_is_compared_with_both_intervals():
    experiment = Experiment(quick=True).reduced()
    middle = {m: float(np.mean(experiment.setting.expected().interval(m))) for m in ("kl", "fisher")}

    def verdicts(experiment, *cells):
        (table,) = experiment.tables({"ours": list(cells)})
        return expectations.verdicts(table, experiment.expected(table))

    both = verdicts(experiment, middle, {**middle, "fisher": 3.0})
    assert both[0] == f"EVL, ours, {experiment.setting.expected()}"
    assert [line.split(",")[0] for line in both[1:]] == ["seed 30", "seed 30", "seed 31", "seed 31"]
    assert [": inside the expected" in line for line in both[1:]] == [True, True, True, False]
    assert ": OUTSIDE the expected" in both[4]
    other = verdicts(dataclasses.replace(experiment, steps=20), middle)
    assert "do not apply" in other[1]
    assert len(other) == 2


def test_unknown_rows_are_an_error():
    with pytest.raises(SystemExit, match="models must be among floor, chance"):
        Experiment(models=("vae",))


def test_its_command_line_explains_itself():
    completed = subprocess.run(
        [sys.executable, "-m", "experiments.evl.swiss_roll", "--help"], capture_output=True, text=True, check=True
    )
    assert re.search(r"--quick\b", completed.stdout)
    assert re.search(r"--full\b", completed.stdout)
    assert "seeds" in completed.stdout
