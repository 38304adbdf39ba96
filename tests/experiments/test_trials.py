"""Cells are computed once for each identity; controls and timings are those of the configuration."""

import jax
import numpy as np
import tiny

import jaxgen
from experiments import trials


def test_a_cell_is_computed_once_for_each_identity(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.float32(0.5)}

    file = tmp_path / "cell.json"
    assert trials.remembered(file, {"seed": (1, 2)}, compute) == {"x": 0.5}
    assert trials.remembered(file, {"seed": (1, 2)}, compute) == {"x": 0.5}
    assert len(calls) == 1
    trials.remembered(file, {"seed": (1, 3)}, compute)
    file.write_text("{")
    trials.remembered(file, {"seed": (1, 3)}, compute)
    assert len(calls) == 3


def test_cells_of_another_identity_lie_elsewhere(tmp_path):
    here = trials.place(tmp_path, "cell", {"steps": 1})
    assert here == trials.place(tmp_path, "cell", {"steps": 1})
    assert here != trials.place(tmp_path, "cell", {"steps": 2})
    assert here.parent == tmp_path


def test_segments_divide_the_steps():
    assert [trials.segment(steps) for steps in (20, 40, 7, 30_000)] == [1, 2, 1, 1500]
    assert trials.segment(100, 3) == 50  # a third does not divide


def test_the_control_is_a_network_of_the_same_kind_that_saw_no_step():
    config = tiny.config(tiny.evl(), seeds=1)
    method, state = trials.untrained(config)
    result = jaxgen.train(config, progress=False)
    shapes = lambda tree: jax.tree.map(np.shape, tree)
    assert shapes(state.params) == shapes(result.of(0).params)
    assert method.sample(jax.random.key(0), state, 3).shape[0] == 3


def test_a_run_is_timed_only_when_it_is_whole(tmp_path):
    config = tiny.config(tiny.evl(), seeds=1)
    _, spent = trials.timed(config, tmp_path / "run")
    assert spent["seconds"] > 0
    _, spent = trials.timed(config, tmp_path / "run")  # nothing is left to train
    assert spent == {}
