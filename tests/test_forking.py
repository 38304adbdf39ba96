"""Processes that were forked after JAX was used, and the two ways of starting others that work."""

import os
import pathlib
import subprocess
import sys

import pytest
import tiny

import jaxgen
from jaxgen import forking

ROOT = pathlib.Path(__file__).parents[1]
COMMON = """
import multiprocessing, os, signal, sys, warnings
import numpy as np
import jaxgen
from jaxgen import data, methods

X = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)

def work(seed):
    config = jaxgen.Config(methods.Archetypes(2), data.Arrays(X), steps=2, batch_size=48, steps_per_call=2, seed=seed)
    return np.asarray(jaxgen.train(config, progress=False).state.archetypes)
"""
FORKED = """
warnings.simplefilter("ignore")  # JAX warns of every fork
config = jaxgen.Config(methods.Archetypes(2), data.Arrays(X), steps=2, batch_size=48, steps_per_call=2)
result = jaxgen.train(config, progress=False)
calls = (
    lambda: work(0), lambda: jaxgen.untrained(config), lambda: result.scores(X), lambda: result.sample(None, 3),
    lambda: jaxgen.load("nowhere"), lambda: jaxgen.Detector(methods.MEG()).fit(X), lambda: config.resolved(),
)
for number, call in enumerate(calls):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends the child if it hangs
        try:
            call()
        except RuntimeError as error:
            print(number, error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
child = os.fork()
if child == 0:
    print("a child that does not use JAX runs", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
STARTED = """
if __name__ == "__main__":
    import joblib
    expected = [work(seed) for seed in (0, 1)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        spawned = pool.map(work, [0, 1])
    started = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(seed) for seed in (0, 1))
    np.testing.assert_array_equal(spawned, expected)
    np.testing.assert_array_equal(started, expected)
    print("equal")
"""


def output(tmp_path, text):
    script = tmp_path / "forks_of_a_test.py"
    script.write_text(COMMON + text)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    ran = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=500)
    assert ran.returncode == 0, ran.stderr[-3_000:]
    return ran.stdout


def test_another_process_is_named(monkeypatch):
    monkeypatch.setattr(forking, "_used_in", 1)
    with pytest.raises(RuntimeError, match=r"`train` cannot run .* forked from 1\); start .*spawn.*loky"):
        jaxgen.train(tiny.config(tiny.evl()))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_is_told_to_spawn_instead_of_hanging(tmp_path):
    lines = output(tmp_path, FORKED).splitlines()
    names = ("train", "untrained", "Result.scores", "Result.sample", "load", "Detector.fit", "Config.resolved")
    for number, name in enumerate(names):
        assert lines[number].startswith(f"{number} `{name}` cannot run in a process that was forked"), lines[number]
        assert "get_context('spawn')" in lines[number]
        assert "loky" in lines[number]
    assert lines[len(names) :] == ["a child that does not use JAX runs"]


@pytest.mark.slow
def test_spawned_processes_and_those_of_joblib_compute_the_same(tmp_path):
    assert output(tmp_path, STARTED) == "equal\n"
