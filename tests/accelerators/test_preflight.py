"""Preflight: what it reports agrees with XLA and with arithmetic, and its errors say what to do."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen import data, methods, nets
from jaxgen.accelerators import Report, preflight
from jaxgen.accelerators.compiler import Shapes, abstract_segment, compiled_report, devices_of, placed_on
from jaxgen.accelerators.targets import CHIPS, Target
from jaxgen.data.stream_table import StreamColumn
from jaxgen.parallel import Layout
from jaxgen.serialization.pickled import from_bytes

WIDTH, BATCH, STEPS = 32, 64, 4
METHOD = methods.EVL(nets.MLP((WIDTH, 4)), optimizer=methods.EVL().optimizer)


def config(**changes):
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    defaults = {
        "method": METHOD,
        "data": data.Arrays(x),
        "steps": 2 * STEPS,
        "batch_size": BATCH,
        "steps_per_call": STEPS,
    }
    return jaxgen.Config(**{**defaults, **changes})


def shapes(config):
    struct = lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    return dataclasses.replace(config, data=Shapes(jax.tree.map(struct, config.data.tables())))


@pytest.fixture(scope="module")
def report():
    return compiled_report(shapes(config()), Target("cpu"), devices_of(Target("cpu")))


def test_bytes_are_those_of_the_run(report):
    state = jaxgen.untrained(config()).state
    size = lambda tree: sum(
        np.asarray(jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf).nbytes
        for leaf in jax.tree.leaves(tree)
    )
    assert report.state_bytes == size(state)
    assert report.data_bytes == 100 * 3 * 4
    rows, keys = STEPS * BATCH * 4, STEPS * 2 * 4
    assert report.argument_bytes == report.state_bytes + report.data_bytes + rows + keys
    assert report.output_bytes >= report.state_bytes
    assert report.needed_bytes >= report.argument_bytes + report.output_bytes + report.temporary_bytes
    assert report.bytes_moved == 2 * report.state_bytes + BATCH * 3 * 4


def test_images_are_read_as_bytes(report):
    pixels = config(data=data.Arrays(np.zeros((100, 3), np.uint8)))
    found = compiled_report(shapes(pixels), Target("cpu"), devices_of(Target("cpu")))
    assert found.bytes_moved == 2 * report.state_bytes + BATCH * 3


def test_validation_needs_memory_for_the_best_state(report):
    rows = np.zeros((10, 3), np.float32)
    for validation, held in ((0.1, 0), (data.Arrays(rows), rows.nbytes)):
        of_rows = validation if held == 0 else Shapes(jax.tree.map(jax.typeof, validation.tables()))
        found = compiled_report(shapes(config(validation=of_rows)), Target("cpu"), devices_of(Target("cpu")))
        segment = report.needed_bytes + report.state_bytes
        evaluation = report.data_bytes + 5 * report.state_bytes  # last, best, next; new last and best
        assert abs(found.needed_bytes - max(segment, evaluation) - held) <= report.code_bytes


@pytest.mark.parametrize("target", ["cpu", "cpu:4"])
def test_a_stream_needs_the_minibatches_of_two_calls(report, target):
    (table,) = config().data.tables()
    whole = config(data=Shapes((StreamColumn((10**9, 3), table.dtype),)))
    found = compiled_report(whole, Target(target), devices_of(Target(target)))
    call = STEPS * BATCH * table[0].nbytes // Target(target).devices
    assert found.data_bytes == 2 * call
    assert found.argument_bytes == report.state_bytes + 2 * call + STEPS * 2 * 4 * Target(target).devices  # keys
    held = config(data=Shapes((StreamColumn((100, 3), table.dtype),)), validation=10)
    without = compiled_report(dataclasses.replace(held, validation=None), Target("cpu"), devices_of(Target("cpu")))
    validated = compiled_report(held, Target("cpu"), devices_of(Target("cpu")))
    best = max(without.needed_bytes + report.state_bytes, without.data_bytes + 5 * report.state_bytes)
    assert validated.needed_bytes == best + 10 * table[0].nbytes


def test_preflight_of_a_stream_gets_its_shapes_only():
    pytest.importorskip("grain", reason="Grain is not installed")
    found = preflight(config(data=data.Stream(config().data.tables()[0])), "cpu")
    assert found.data_bytes == 2 * STEPS * BATCH * 3 * 4


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"validation": 99}, ValueError, "`validation` must leave"),
        ({"validation": data.Arrays(np.zeros((5, 2), np.float32))}, ValueError, "validation tables must have"),
        ({"method": methods.Flow(levels=4)}, ValueError, r"\[0, 1\]"),
        ({"method": methods.EVL(learning_rate=lambda count: 1e-3)}, ValueError, "config.method.learning_rate"),
    ],
)
def test_what_training_refuses_is_refused_at_once(monkeypatch, changes, error, words):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("the child was started"))
    with pytest.raises(error, match=words):
        preflight(config(**changes), "cpu")


@pytest.mark.usefixtures("unchecked")
def test_arguments_of_another_kind_are_named():
    with pytest.raises(TypeError, match="must be a Config"):
        preflight(METHOD, "cpu")
    with pytest.raises(TypeError, match="must be a text"):
        preflight(config(), None)


def test_parts_of_a_script_are_named(monkeypatch):
    main = types.ModuleType("__main__")
    exec("import dataclasses\nfrom jaxgen import methods\n", main.__dict__)
    exec("@dataclasses.dataclass(frozen=True)\nclass Own(methods.EVL):\n    pass\n", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(ValueError, match=r"must be importable by name \(got config.method of"):
        preflight(config(method=main.Own(METHOD.generator)), "cpu")


def test_a_cpu_has_no_bounds(report):
    assert (report.fits, report.memory, report.step_seconds, report.run_seconds) == (None, None, None, None)
    assert report.collectives == {}
    assert "the device's memory is not known" in str(report)


def test_bounds_follow_from_the_peaks(monkeypatch, report):
    cpu = dataclasses.replace(CHIPS["cpu"], memory=2**30, flops=1e9, bandwidth=1e6, interconnect=1e6)
    monkeypatch.setitem(CHIPS, "cpu", cpu)
    bounded = compiled_report(shapes(config()), Target("cpu"), devices_of(Target("cpu")))
    assert bounded.fits is True
    assert bounded.remedies == ()
    assert bounded.flops == report.flops
    assert bounded.compute_seconds == report.flops / 1e9
    assert bounded.memory_seconds == report.bytes_moved / 1e6
    assert bounded.interconnect_seconds == 0
    assert bounded.step_seconds == max(bounded.compute_seconds, bounded.memory_seconds)
    assert bounded.run_seconds == 2 * STEPS * bounded.step_seconds


def test_what_does_not_fit_says_what_would(monkeypatch):
    monkeypatch.setitem(
        CHIPS, "cpu", dataclasses.replace(CHIPS["cpu"], memory=2**16, flops=1e9, bandwidth=1e6, interconnect=1.0)
    )
    small = compiled_report(shapes(config(num_seeds=3)), Target("cpu"), devices_of(Target("cpu")))
    assert small.fits is False
    assert any("num_seeds=1" in text for text in small.remedies)
    assert any("Layout(compute_dtype=jnp.bfloat16)" in text for text in small.remedies)
    assert "DOES NOT FIT" in str(small)
    assert all(f"to fit: {text}" in str(small) for text in small.remedies)


def test_networks_in_bfloat16(monkeypatch, report):
    monkeypatch.setitem(CHIPS, "cpu", dataclasses.replace(CHIPS["cpu"], memory=1))
    half = config(layout=Layout(compute_dtype=jnp.bfloat16))
    segment, arguments, split = abstract_segment(placed_on(shapes(half), devices_of(Target("cpu"))))
    assert "bf16" in str(segment.trace(*arguments, **split).jaxpr)
    found = compiled_report(shapes(half), Target("cpu"), devices_of(Target("cpu")))
    assert (found.compute_dtype, report.compute_dtype) == ("bfloat16", None)
    assert "networks in bfloat16" in str(found)
    assert found.state_bytes == report.state_bytes
    assert not any("compute_dtype" in text for text in found.remedies)
    sent = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: sent.append(from_bytes(request_of(command))))
    with pytest.raises(AttributeError):  # there is no child
        preflight(half, "cpu")
    assert sent[0][0].layout.compute_dtype is jnp.bfloat16


def request_of(command):
    return (pathlib.Path(command[-1]) / "request").read_bytes()


def test_json_round_trip(report):
    description = json.loads(json.dumps(report.to_json()))
    assert Report.from_json(description) == report


def test_operations_grow_with_batch_and_seeds(report):
    devices = devices_of(Target("cpu"))
    twice = compiled_report(shapes(config(num_seeds=2)), Target("cpu"), devices)
    assert twice.flops == pytest.approx(2 * report.flops, rel=0.01)
    assert twice.state_bytes == 2 * report.state_bytes


def test_wrong_targets_and_missing_compilers(monkeypatch):
    with pytest.raises(ValueError, match="must be one of"):
        preflight(config(), "v9:1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for target, extra in [("v5e:1", "preflight-tpu"), ("h100:1", "preflight-cuda")]:
        with pytest.raises(ImportError, match=rf"pip install -e '.\[{extra}\]'"):
            preflight(config(), target)


@pytest.mark.slow
def test_the_child_compiles_for_simulated_devices_and_reports_errors():
    report = preflight(config(), "cpu:4")
    assert report.devices == 4
    assert report.collectives["psum"] >= 1
    assert report.bytes_sent > 0
    with pytest.raises(ValueError, match="multiple of the number of devices"):
        preflight(config(batch_size=BATCH + 1), "cpu:4")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "module"), [("v5e:2x2", "libtpu"), ("v5e:1", "libtpu"), ("h100:4", "jax_plugins.xla_cuda13")]
)
def test_accelerators(target, module):
    if importlib.util.find_spec(module.partition(".")[0]) is None or importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}")
    environment = dict(os.environ)
    report = preflight(config(), target)
    assert os.environ == environment
    assert report.fits is True
    assert 0 < report.step_seconds < 1e-3
    assert report.argument_bytes >= report.state_bytes + report.data_bytes
    assert report.devices == Target(target).devices


@pytest.mark.slow
def test_it_is_reached_from_the_package():
    code = "import jaxgen, jaxgen.accelerators; assert callable(jaxgen.preflight)"
    subprocess.run([sys.executable, "-c", code], check=True)
