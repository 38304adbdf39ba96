"""Results: functions of all seeds, atomic saves, and loading in a new process without the data."""

import copy
import dataclasses
import json
import os
import pathlib
import pickle
import runpy
import subprocess
import sys
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, optim

X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def result():
    config = jaxgen.Config(
        tiny.evl(), data.Arrays(X), steps=4, steps_per_call=2, batch_size=4, num_seeds=2, layout=tiny.ONE
    )
    return jaxgen.train(config, progress=False)


def test_state_of_one_seed_is_the_method_s_own_state(result):
    state = result.state_of(1)
    method = result.config.method
    key = jax.random.fold_in(jax.random.key(5), 1)
    np.testing.assert_allclose(result.sample(jax.random.key(5), 6)[1], method.sample(key, state, 6), rtol=1e-5)
    with pytest.raises(IndexError, match=r"between 0 and 1 \(got 2\)"):
        result.state_of(2)


def test_functions_that_a_method_lacks_raise(result):
    with pytest.raises(TypeError, match="EVL has no `scores`"):
        result.scores(X)


@dataclasses.dataclass(frozen=True)
class Bright(tiny.Mean):
    """Scores images by their mean brightness."""

    def init(self, key, x):
        return super().init(key, x.reshape(len(x), -1))

    def step(self, key, state, x):
        return super().step(key, state, x.reshape(len(x), -1))

    def scores(self, state, x):
        return {"bright": jnp.mean(x, (1, 2, 3))}


def test_bytes_of_the_other_signedness_raise(tmp_path):
    """An image is 0.2 as unsigned bytes and -0.6 as signed ones, so their scores cannot be compared."""
    plain = np.full((8, 2, 2, 1), 51, np.uint8)
    signed = (plain ^ 128).view(np.int8)
    for rows, other, message, bright in (
        (plain, signed, r"must be uint8 .* \(got int8\); do not wrap", 0.2),
        (signed, plain, r"must be int8 .* \(got uint8\); wrap the dataset in data.ScaledToTanh", -0.6),
    ):
        result = jaxgen.train(dataclasses.replace(tiny.config(Bright()), data=data.Arrays(rows)), progress=False)
        result.save(tmp_path / "run")
        for known in (result, jaxgen.load(tmp_path / "run", trusted=(__name__,))):
            np.testing.assert_allclose(known.scores(rows)["bright"], bright, rtol=1e-6)
            np.testing.assert_allclose(known.scores(np.full((1, 2, 2, 1), 0.3, np.float32))["bright"], 0.3, rtol=1e-6)
            for wrong in (other, other.reshape(8, 4)):
                with pytest.raises(ValueError, match=message):
                    known.scores(wrong)


def test_it_is_loaded_in_a_new_process_without_the_data(result, tmp_path):
    result.save(tmp_path / "run")
    code = (
        f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parents[1])!r})\n"
        "import jax, numpy as np, jaxgen; result = jaxgen.load(sys.argv[1])\n"
        "np.save(sys.argv[2], result.sample(jax.random.key(3), 7)); print(result.config.data)\n"
        "try: jaxgen.train(result.config)\n"
        "except TypeError as error: print(error)\n"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "x.npy")]
    out = subprocess.run(run, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), result.sample(jax.random.key(3), 7))
    assert "AbsentArray(shape=(32, 3)" in out
    assert "table 0" in out
    size = sum(file.stat().st_size for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert not any(X.tobytes() in file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert size < 500_000


def test_saving_replaces_results_and_nothing_else(result, tmp_path):
    result.save(tmp_path / "run")
    result.save(tmp_path / "run")
    assert jaxgen.load(tmp_path / "run").steps == 4
    assert [file.name for file in tmp_path.iterdir()] == ["run"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    with pytest.raises(FileExistsError, match="is not a result of jaxgen; choose another path"):
        result.save(tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter").read_text() == "years of work"
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="cannot be written"):
        result.save(tmp_path / "file" / "run")


def test_a_field_that_cannot_be_imported_warns_and_load_needs_the_config(tmp_path):
    config = tiny.config(tiny.evl(optimizer=lambda rate: optax.sgd(rate)))
    result = jaxgen.train(config, progress=False)
    with pytest.warns(UserWarning, match=r"config.method.optimizer cannot be imported by name"):
        result.save(tmp_path / "run")
    with pytest.raises(ValueError, match="pass the config"):
        jaxgen.load(tmp_path / "run")
    loaded = jaxgen.load(tmp_path / "run", config=config)
    np.testing.assert_array_equal(loaded.history["loss"], result.history["loss"])
    other = tiny.config(tiny.evl(latent_dim=5))
    for changed in (other, dataclasses.replace(config, num_seeds=1), dataclasses.replace(config, steps=3)):
        with pytest.raises(ValueError, match="another run: its config differs"):
            jaxgen.load(tmp_path / "run", config=changed)


SCRIPT = """
import flax.linen as nn, numpy as np, warnings, jaxgen, tiny

class Net(nn.Module):
    width: int

    @nn.compact
    def __call__(self, z):
        return nn.Dense(self.width)(z)

config = tiny.config(tiny.evl(generator=Net(4)))
result = jaxgen.train(config, progress=False)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    result.save(path)
loaded = jaxgen.load(path, config=config)
"""


def test_a_network_defined_in_a_script_warns_and_load_needs_the_config(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    script = runpy.run_path(str(tmp_path / "script.py"), {"path": tmp_path / "run"}, "__main__")
    assert [str(warning.message) for warning in script["caught"]] == [
        "config.method.generator cannot be imported by name, so `load` needs the config as an argument; keep it."
    ]
    np.testing.assert_array_equal(script["loaded"].history["loss"], script["result"].history["loss"])
    other = dataclasses.replace(script["config"], method=tiny.evl(generator=script["Net"](5)))
    with pytest.raises(ValueError, match="pass the config"):
        jaxgen.load(tmp_path / "run")
    with pytest.raises(ValueError, match=r"must return shape|differs"):
        jaxgen.load(tmp_path / "run", config=other)


@pytest.mark.parametrize("devices", [64, None])
def test_the_number_of_devices_survives_saving_and_loading(result, devices, tmp_path):
    config = dataclasses.replace(result.config, layout=jaxgen.Layout(devices=devices))
    dataclasses.replace(result, config=config, num_devices=64).save(tmp_path / "run")
    jaxgen.load(tmp_path / "run").save(tmp_path / "again")
    written = [json.loads((tmp_path / name / "description.json").read_text()) for name in ("run", "again")]
    assert written[0]["devices"] == 64
    assert written[0] == written[1]
    assert result.num_devices == 1


def test_an_interrupted_replacement_is_restored(result, tmp_path):
    result.save(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / ".run.old")  # killed between the two renames
    assert jaxgen.load(tmp_path / "run").steps == 4
    (tmp_path / "run").rename(tmp_path / ".run.old")
    result.save(tmp_path / "run")
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_an_empty_directory_may_be_saved_to(result, tmp_path):
    (tmp_path / "empty").mkdir()
    result.save(tmp_path / "empty")
    assert jaxgen.load(tmp_path / "empty").steps == 4


class Pair(NamedTuple):
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class PairMean(tiny.Mean):
    """Fits the mean of one of two columns."""

    def init(self, key, pair):
        return super().init(key, pair.x)

    def step(self, key, state, pair):
        return super().step(key, state, pair.x)


def test_tables_may_be_named_tuples(tmp_path):
    config = jaxgen.Config(
        PairMean(), data.Arrays(Pair(X, X)), steps=2, steps_per_call=1, batch_size=4, layout=tiny.ONE
    )
    result = jaxgen.train(config, progress=False)
    result.save(tmp_path / "run")
    np.testing.assert_array_equal(jaxgen.load(tmp_path / "run", trusted=(__name__,)).state.params, result.state.params)


def test_the_error_for_a_missing_metric_lists_the_metrics(result):
    history = {"loss": np.zeros((1, 2), np.float32), "retries": np.zeros((1, 2), np.int32)}
    changed = dataclasses.replace(result, history=history)
    message = r"`history` has no metric 'val_loss'; its metrics are 'loss', 'retries'"
    for one in (changed, pickle.loads(pickle.dumps(changed)), copy.deepcopy(changed)):
        with pytest.raises(KeyError, match=message):
            one.history["val_loss"]
        assert one.history.get("val_loss") is None
        assert "val_loss" not in one.history
    with pytest.raises(KeyError, match="none, as no step has been done"):
        dataclasses.replace(result, history={}).history["loss"]


def test_the_history_is_used_as_a_dict(result):
    history = {"loss": np.ones((1, 2)), "accuracy": np.zeros((1, 2))}
    metrics = dataclasses.replace(result, history=history).history
    for found in (metrics, pickle.loads(pickle.dumps(metrics)), jax.tree.map(np.copy, metrics)):
        assert isinstance(found, dict)
        np.testing.assert_equal(dict(found), history)
    assert metrics == history  # the same arrays
    assert repr(metrics) == repr(history)
    np.testing.assert_equal(jax.tree.leaves(metrics), jax.tree.leaves(history))
    paths = [[jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(h)] for h in (metrics, history)]
    assert paths[0] == paths[1]


class Narrow(nn.Module):
    """A network with a default."""

    widths: tuple[int, ...] = (1,)
    scale: float = 2.0

    @nn.compact
    def __call__(self, x):
        return x


def test_a_config_prints_without_its_numbers_and_addresses():
    x = np.zeros((300, 3), np.float32)
    method = methods.EVL(Narrow((4,)), optimizer=optax.sgd, learning_rate=optim.Cosine(1e-3))
    config = jaxgen.Config(method, data.Zip((data.Arrays(x, {"a": x[:, 0]}),)), steps=500, validation=0.1)
    assert repr(config) == (
        "Config(method=EVL(generator=Narrow(widths=(4,)), optimizer=sgd, learning_rate=Cosine(peak=0.001)), "
        "data=Zip(datasets=(Arrays(float32[300, 3], {'a': float32[300]}),)), steps=500, batch_size=200, "
        "steps_per_call=500, num_seeds=1, seed=0, validation=0.1)"
    )
    assert " at 0x" not in repr(dataclasses.replace(config, data=data.Arrays(x), method=methods.EVL()).resolved())
    assert repr(data.Arrays([1.0])) == "Arrays([float])"
