"""Measurements are computed once for each identity; resumed runs have the curves of whole ones."""

import functools
import json
import time

import chex
import jax
import numpy as np
import pytest
import tiny

import jaxgen
from experiments.common import cache, training
from jaxgen.training import compilation


def test_a_cell_is_computed_once_for_each_identity(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.float32(0.5)}

    file = tmp_path / "cell.json"
    assert cache.cached(file, {"seed": (1, 2)}, compute) == {"x": 0.5}
    assert cache.cached(file, {"seed": (1, 2)}, compute) == {"x": 0.5}
    assert len(calls) == 1
    cache.cached(file, {"seed": (1, 3)}, compute)
    file.write_text("{")
    cache.cached(file, {"seed": (1, 3)}, compute)
    assert len(calls) == 3


def test_other_values_have_another_digest():
    assert cache.digest({"steps": 1}) == cache.digest({"steps": 1}) != cache.digest({"steps": 2})


def test_segments_divide_the_steps():
    assert [training.steps_per_call(steps) for steps in (20, 40, 7, 30_000)] == [1, 2, 1, 1500]
    assert training.steps_per_call(100, 3) == 50  # a third does not divide


def test_the_fresh_key_is_not_used_by_the_training():
    config = tiny.config(tiny.evl(), seed=3, num_seeds=5)
    spent = [*compilation.root_keys(config), jax.random.key_data(jax.random.key(3))]
    fresh = jax.random.key_data(training.fresh_key(3))
    assert not any((key == fresh).all() for key in spent)
    assert (jax.random.key_data(training.fresh_key(4)) != fresh).any()


def test_untrained_networks_have_the_shapes_of_trained_ones(tmp_path):
    config = tiny.config(tiny.evl(), num_seeds=1)
    result, times = training.timed(config, tmp_path / "run", train=False)
    assert (result.steps, times) == (0, {})
    assert not list(tmp_path.iterdir())
    shapes = lambda result: jax.tree.map(np.shape, training.first_model(result)[1].params)
    assert shapes(result) == shapes(jaxgen.train(config, progress=False))


def follow(folder, look=lambda result: {"loss": float(result.history["loss"].sum())}):
    config = tiny.config(tiny.evl(), num_seeds=1, steps=8, steps_per_call=2)
    return training.train_and_evaluate(
        config, (2, 6, 8), look, checkpoint_dir=folder / "run", curve_file=folder / "run.curve"
    )


@pytest.mark.parametrize(("cut", "torn"), [(1, False), (2, True), (3, True)])
def test_a_run_interrupted_in_an_evaluation_has_the_curve_of_a_whole_one(tmp_path, cut, torn):
    whole = follow(tmp_path / "whole")
    assert [line["step"] for line in whole.curve] == [2, 6, 8]
    assert whole.times["seconds"] > 0
    (tmp_path / "cut").mkdir()
    calls = []

    def look(result):
        calls.append(result.steps)
        if len(calls) == cut:
            raise KeyboardInterrupt
        return {"loss": float(result.history["loss"].sum())}

    with pytest.raises(KeyboardInterrupt):
        follow(tmp_path / "cut", look)
    kept = tmp_path / "cut" / "run.curve"
    if torn:
        kept.write_text((kept.read_text() if kept.exists() else "") + '{"step": 6, "lo')
    resumed = follow(tmp_path / "cut")
    assert resumed.curve == whole.curve
    assert resumed.times == {}
    assert [json.loads(line) for line in kept.read_text().splitlines()] == whole.curve
    assert calls == [2, 6, 8][:cut]
    chex.assert_trees_all_equal(resumed.result.state, whole.result.state)
    again = follow(tmp_path / "cut", None)  # finished: nothing is evaluated
    assert (again.curve, again.times) == (whole.curve, {})


def test_a_finished_run_has_its_last_evaluation_for_another_measure(tmp_path):
    follow(tmp_path)
    (tmp_path / "run.curve").unlink()
    assert [line["step"] for line in follow(tmp_path).curve] == [8]


def test_a_changed_measure_trains_again_and_has_a_whole_curve(tmp_path):
    config = tiny.config(tiny.evl(), num_seeds=1, steps=8, steps_per_call=2)
    calls = []

    def measure(factor, result):
        calls.append(result.steps)
        return {"x": factor * result.steps}

    def curve(steps, factor):
        look = functools.partial(measure, factor)
        run = training.train_and_evaluate(config, steps, look, checkpoint_dir=tmp_path / "run")
        return [line["x"] for line in run.curve]

    for _ in range(2):
        assert curve((2, 8), 1) == [2, 8]
    assert calls == [2, 8]
    assert curve((2, 8), 10) == [20, 80]
    assert curve((2, 4, 8), 1) == [2, 4, 8]


def test_the_time_of_evaluations_is_not_that_of_training(tmp_path):
    def look(result):
        time.sleep(1)
        return {}

    begun = time.perf_counter()
    run = follow(tmp_path, look)
    assert run.times["seconds"] + 3 <= time.perf_counter() - begun


def test_a_run_is_timed_only_if_it_was_not_resumed(tmp_path):
    config = tiny.config(tiny.evl(), num_seeds=1)
    _, spent = training.timed(config, tmp_path / "run")
    assert spent["seconds"] > 0
    _, spent = training.timed(config, tmp_path / "run")  # nothing is left to train
    assert spent == {}
