"""The maps' experiment end to end with few points, and what its measures detect."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.mmd import map_tasks, maps
from jaxgen import losses


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(map_tasks, "POINTS", 200)


@pytest.mark.slow
def test_every_cell_is_evaluated_written_and_drawn(few, tmp_path):
    # At least forty steps of the report's configurations, twenty evaluations of each.
    experiment = maps.Experiment(tasks=("f3",), steps=20, epochs=0.001, quick=True, cache_dir=tmp_path)
    (table,) = experiment.run()
    values = {row.title.removeprefix("f3, line to normal: "): row.values for row in table.rows}
    assert set(values) == {
        *maps.CONTROLS.values(),
        "untrained",
        "as published, two networks",
        "as published, one network",
        "working, with a noise input",
    }
    assert values["the target itself (floor)"]["narrow"][0] > 0.8
    assert values["the target's mean alone (chance)"]["wide"][0] < 1e-6
    assert values["the target's mean alone (chance)"]["rejected"] == [1]
    assert np.isfinite([number for row in values.values() for numbers in row.values() for number in numbers]).all()
    written = json.loads((tmp_path / "quick" / "maps.json").read_text())
    assert len(written["curves"]["f3 published"]) == maps.EVALUATIONS
    assert (tmp_path / "quick" / "maps.png").stat().st_size > 10_000


def test_the_reports_bandwidth_does_not_see_that_a_map_has_collapsed():
    task, generator = map_tasks.TASKS["f1"], np.random.default_rng(0)
    target, other = generator.uniform(size=(2, 1000, 2)).astype(np.float32)
    point = np.full_like(target, 0.5)
    own, reported = map_tasks.discrepancy(point, target, task.median, map_tasks.BANDWIDTH)
    assert reported < 0.002  # the report's best number is 0.0110
    assert own > 0.2
    assert map_tasks.tested(task, point, target, permutations=99, seed=0) <= 0.01
    assert map_tasks.tested(task, other, target, permutations=99, seed=0) > 0.01


@pytest.mark.slow
def test_medians_are_those_of_the_targets():
    for task in map_tasks.TASKS.values():
        (y,) = task.target(n=4000, test_n=1).tables()
        np.testing.assert_allclose(losses.median_bandwidth(jnp.asarray(y)), task.median, rtol=0.02)


def test_a_grid_spans_the_source():
    grid = map_tasks.lines(map_tasks.TASKS["f1"], 2)
    assert grid.shape == (22, 60, 2)
    assert (grid.min(), grid.max()) == (-2.5, 2.5)
    assert map_tasks.lines(map_tasks.TASKS["f3"], 1).shape == (1, 60, 1)


def test_unknown_tasks_are_an_error():
    with pytest.raises(SystemExit, match="f4"):
        maps.Experiment(tasks=("f4",))
