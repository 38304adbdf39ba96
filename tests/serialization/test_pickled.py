"""Pickled results and detectors, also in a fresh process."""

import copy
import pickle
import subprocess
import sys

import chex
import flax.linen as nn
import jax
import joblib
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, nets

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
READ = """
import sys, pickle, joblib, numpy as np
rows = np.load(sys.argv[1])
detector, result = joblib.load(sys.argv[2]), pickle.load(open(sys.argv[3], "rb"))
np.savez(sys.argv[4], detector=detector.score_samples(rows), **result.scores(rows))
"""


@pytest.fixture(scope="module")
def fitted():
    method = methods.Flow(nets.dense_flow(3, depth=1, widths=(4,)))
    return jaxgen.Detector(method, steps=2, random_state=0).fit(X)


@pytest.mark.parametrize("activation", [jax.nn.relu, jax.nn.silu, nn.gelu, nets.LeakyReLU(0.2)])
def test_a_pickled_result_is_the_result(activation):
    config = jaxgen.Config(
        tiny.evl(generator=nets.MLP((8, 4), activation)),
        data.Arrays(X),
        steps=1,
        steps_per_call=1,
        batch_size=4,
        layout=tiny.ONE,
    )
    result = jaxgen.untrained(config)
    for other in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert other.config.method == result.config.method
        np.testing.assert_array_equal(other.config.data.arrays[0], X)  # rows are kept, so that training can go on
        chex.assert_trees_all_equal(other.state, result.state)
        assert other.row_specs == result.row_specs
        assert jaxgen.to_json(other.config) == jaxgen.to_json(result.config)


@pytest.mark.parametrize("name", ["meg", "vae", "mmd map", "deep archetypes"])
def test_results_of_all_methods_are_pickled(name):
    result = jaxgen.untrained(tiny.config(tiny.METHODS[name]))
    other = pickle.loads(pickle.dumps(result))
    assert other.config == result.config
    chex.assert_trees_all_equal(other.state, result.state)


def test_layers_with_default_initializers_are_pickled():
    """Pickle alone fails, since these initializers are functions inside functions."""
    generator = nn.Sequential([nn.Dense(6), nn.relu, nn.Dense(4)])
    result = jaxgen.untrained(tiny.config(tiny.evl(generator=generator)))
    other = pickle.loads(pickle.dumps(result))
    x = [r.sample(jax.random.key(0), 3) for r in (result, other)]
    np.testing.assert_array_equal(*x)


def test_a_result_with_a_lambda_is_left_to_cloudpickle():
    result = jaxgen.untrained(tiny.config(tiny.evl(optimizer=lambda rate: optax.sgd(rate))))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(result)


def test_a_fresh_process_reads_both(fitted, tmp_path):
    paths = [tmp_path / name for name in ("x.npy", "detector.joblib", "result.pickle", "y.npz")]
    np.save(paths[0], X)
    joblib.dump(fitted, paths[1])
    paths[2].write_bytes(pickle.dumps(fitted.result_))
    subprocess.run([sys.executable, "-W", "ignore", "-c", READ, *map(str, paths)], check=True)
    scores = np.load(paths[3])
    np.testing.assert_allclose(scores["detector"], fitted.score_samples(X), rtol=1e-5)
    for name, expected in fitted.result_.scores(X).items():
        np.testing.assert_allclose(scores[name], expected, rtol=1e-5)
    assert pickle.loads(pickle.dumps(fitted)).result_.signed_bytes == fitted.result_.signed_bytes
