"""Training loop: resumed and interrupted runs, non-finite numbers, and bad input."""

import contextlib
import dataclasses
import functools
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods, nets, optim
from jaxgen.parallel import Layout

HERE = pathlib.Path(__file__).parents[1]

# A run in its own process: trains, and prints the digest of all bytes of the result.
PROGRAM = """
import sys, hashlib, jax, numpy as np
sys.path.insert(0, {here!r})
if {processes} > 1:
    jax.distributed.initialize(coordinator_address="127.0.0.1:{port}", num_processes={processes}, process_id={process})
import jaxgen, tiny
from jaxgen.parallel import Layout
config = tiny.config(tiny.evl(), steps={steps}, steps_per_call=5, batch_size=8, layout=Layout(devices={devices}),
                     **{changes})
print("begun", flush=True)
result = jaxgen.train(config, checkpoint_dir=sys.argv[1], progress=False,
                      callback=lambda step, result: print("at", step, flush=True))
leaves = jax.tree.leaves((result.state, result.history))
print("digest", hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest(), flush=True)
if len(sys.argv) > 2:
    result.save(sys.argv[2])
"""


VALIDATED = {"validation": 0.5, "patience": 5, "num_seeds": 3}  # two seeds stop early, after 185 and 365 steps


def launch(directory, *more, steps=400, devices=1, processes=1, process=0, port=0, changes=None):
    code = PROGRAM.format(
        here=str(HERE),
        steps=steps,
        devices=devices,
        processes=processes,
        process=process,
        port=port,
        changes=changes or {},
    )
    environment = os.environ | ({"JAX_NUM_CPU_DEVICES": "2"} if processes > 1 else {})
    return subprocess.Popen(
        [sys.executable, "-c", code, str(directory), *map(str, more)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def outcome(process, timeout=240):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out.splitlines(), err


def digest(lines):
    return next(line.split()[1] for line in lines if line.startswith("digest"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    code, lines, err = outcome(launch(tmp_path_factory.mktemp("whole")))
    assert code == 0, err
    return digest(lines)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, VALIDATED], ids=["plain", "validated"])
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tmp_path, changes, request):
    """Repeated SIGKILL after random delays, also during saves; the run must always resume."""
    if changes:
        code, lines, err = outcome(launch(tmp_path / "whole", changes=changes))
        assert code == 0, err
        uninterrupted = digest(lines)
        whole = jaxgen.load(tmp_path / "whole", trusted=("tiny",))
        assert whole.stopped_early.sum() == 2
        assert (whole.best_step < whole.steps).any()
    else:
        uninterrupted = request.getfixturevalue("uninterrupted")
    run = functools.partial(launch, tmp_path / "run", changes=changes)
    moments = random.Random(0)
    resumed_from, killed = [], 0
    for _ in range(40):
        process = run()
        assert process.stdout.readline() == "begun\n"
        first = process.stdout.readline()  # compiled, and the first save has started
        with contextlib.suppress(IndexError):
            resumed_from.append(int(first.split()[1]))
        time.sleep(moments.uniform(0, 0.25))
        process.send_signal(signal.SIGKILL)
        code, lines, err = outcome(process)
        if code == -signal.SIGKILL and not any(line.startswith("digest") for line in lines):
            killed += 1
            if killed < 3:
                continue
        code, lines, err = (code, lines, err) if code == 0 else outcome(run())
        assert code == 0, err
        assert digest(lines) == uninterrupted
        break
    assert killed >= 3
    assert resumed_from == sorted(resumed_from)  # no checkpoint was lost


@pytest.mark.slow
def test_sigterm_saves_and_exits(tmp_path, uninterrupted):
    process = launch(tmp_path)
    assert process.stdout.readline() == "begun\n"
    assert process.stdout.readline().startswith("at")
    process.send_signal(signal.SIGTERM)
    code, lines, err = outcome(process)
    assert code == 128 + signal.SIGTERM, err
    last = int(lines[-1].split()[1]) if lines else 5
    assert last < 400
    assert "Traceback" not in err
    loaded = jaxgen.load(tmp_path, trusted=("tiny",))
    assert loaded.steps == last
    assert digest(outcome(launch(tmp_path))[1]) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"validation": 0.3}], ids=["plain", "validated"])
def test_two_processes_train_one_model_save_and_resume(tmp_path, changes):
    """Two processes with two devices each equal one process with four, also after an interruption."""

    def together(directory, *more, steps, first="at 5"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        run = functools.partial(launch, steps=steps, devices=2, processes=2, port=port, changes=changes)
        both = [run(directory, *more, process=i) for i in range(2)]
        outcomes = [outcome(process) for process in both]
        assert [code for code, _, _ in outcomes] == [0, 0], outcomes
        assert digest(outcomes[0][1]) == digest(outcomes[1][1])
        assert next(line for line in outcomes[0][1] if line.startswith("at")) == first
        return digest(outcomes[0][1])

    whole = together(tmp_path / "whole", tmp_path / "saved", steps=20)
    shutil.rmtree(tmp_path / "whole" / "20")  # interrupted before the last save, it resumes from the previous one
    assert jaxgen.load(tmp_path / "whole").steps == 15
    assert together(tmp_path / "whole", steps=20, first="at 20") == whole
    loaded = jaxgen.load(tmp_path / "saved")
    alone = jaxgen.train(
        tiny.config(tiny.evl(), steps=20, steps_per_call=5, layout=Layout(devices=4), **changes),
        progress=False,
    )
    assert loaded.history.keys() == alone.history.keys()
    for name, metric in alone.history.items():
        np.testing.assert_allclose(loaded.history[name], metric, rtol=1e-5, err_msg=name)


def test_a_finished_run_is_returned_unchanged(tmp_path):
    config = tiny.config(tiny.evl())
    first = jaxgen.train(config, checkpoint_dir=tmp_path, progress=False)
    calls = []
    again = jaxgen.train(config, checkpoint_dir=tmp_path, progress=False, callback=lambda *call: calls.append(call))
    assert calls == []
    for a, b in zip(
        jax.tree.leaves((first.state, first.history)), jax.tree.leaves((again.state, again.history)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_the_callback_gets_every_segment_and_may_keep_its_results():
    calls = []
    result = jaxgen.train(
        tiny.config(tiny.evl()), progress=False, callback=lambda step, result: calls.append((step, result))
    )
    assert [step for step, _ in calls] == [3, 6]
    assert calls[0][1].steps == 3
    np.testing.assert_array_equal(calls[0][1].history["loss"], result.history["loss"][:, :3])
    assert calls[0][1].sample(jax.random.key(0), 4).shape == (2, 4, 3)
    for a, b in zip(jax.tree.leaves(calls[1][1].state), jax.tree.leaves(result.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_progress_shows_steps_speed_and_loss(capsys):
    jaxgen.train(tiny.config(tiny.evl()))
    shown = capsys.readouterr().err
    assert "6/6" in shown
    assert "steps/s" in shown
    assert "loss" in shown
    jaxgen.train(tiny.config(tiny.evl()), progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("state", [False, True], ids=["metric", "state"])
def test_a_segment_with_a_non_finite_number_is_rolled_back_and_retried(tmp_path, state):
    config = tiny.config(tiny.Faulty(), num_seeds=3)
    clean = jaxgen.train(config, progress=False)
    broken = dataclasses.replace(config, method=tiny.Faulty(draw=float(clean.history["draw"][1, 4]), state=state))
    result = jaxgen.train(broken, progress=False, checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(result.history["retries"], [[0] * 6, [0, 0, 0, 1, 1, 1], [0] * 6])
    same = np.ones((3, 6), bool)
    same[1, 3:] = False  # only the repeated segment has other noise
    np.testing.assert_array_equal(result.history["draw"] == clean.history["draw"], same)
    assert np.isfinite(result.history["draw"]).all()
    np.testing.assert_array_equal(result.state.steps, [6, 6, 6])
    np.testing.assert_array_equal(result.state.place, clean.state.place)
    np.testing.assert_array_equal(
        jaxgen.load(tmp_path, trusted=("tiny",)).history["retries"], result.history["retries"]
    )


@pytest.mark.parametrize(
    ("state", "message"),
    [(False, "draw of seed 2 is nan at step 0"), (True, "state of seed 2 is not finite at step 2")],
)
def test_a_permanently_non_finite_number_raises_with_step_seed_and_metric(state, message):
    config = tiny.config(tiny.Faulty(), num_seeds=3)
    place = float(jaxgen.train(config, progress=False).state.place[2])
    with pytest.raises(FloatingPointError, match=rf"\({message}, also after 3 retries\); lower"):
        jaxgen.train(dataclasses.replace(config, method=tiny.Faulty(place=place, state=state)), progress=False)


def test_a_diverging_network_raises():
    with pytest.raises(FloatingPointError, match="lower the learning rate"):
        jaxgen.train(tiny.config(tiny.evl(optimizer=optax.sgd, learning_rate=1e30), num_seeds=1), progress=False)


X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
BAD = {
    "batch larger than the data": (
        lambda: tiny.config(tiny.evl(), batch_size=200),
        r"`batch_size` must be at most .* \(got 200\)",
    ),
    "nan": (lambda: jaxgen.Config(tiny.evl(), data.Arrays(np.full((9, 3), np.nan)), batch_size=4), "NaN or infinite"),
    "rank": (lambda: jaxgen.Config(methods.EVL(), data.Arrays(np.zeros((9, 4, 4, 1))), batch_size=4), "flatten them"),
    "two tables": (
        lambda: jaxgen.Config(methods.EVL(), data.Arrays(X, X), batch_size=4),
        "one table of floating-point rows",
    ),
    "dtype": (
        lambda: jaxgen.Config(methods.EVL(), data.Arrays(np.ones((9, 3), int)), batch_size=4),
        "floating-point rows",
    ),
    "generator": (
        lambda: jaxgen.Config(methods.EVL(nets.MLP((8, 3))), data.Arrays(X), batch_size=4),
        "one number more, the logit",
    ),
    "devices": (
        lambda: tiny.config(tiny.evl(), batch_size=10, layout=Layout(devices=4)),
        r"multiple of the number of devices \(got 10 and 4\); try batch_size=8",
    ),
    "steps": (
        lambda: tiny.config(tiny.evl(), steps=100, steps_per_call=30),
        r"multiple of `steps_per_call` \(got 100 and 30\); try steps=90",
    ),
    "few steps": (
        lambda: tiny.config(tiny.evl(), steps=2, steps_per_call=500),
        r"multiple of `steps_per_call` \(got 2 and 500\); try steps_per_call=2",
    ),
    "no set": (lambda: jaxgen.Config(tiny.evl(), data.SwissRoll), r"data is the class SwissRoll; call it|Type-check"),
    "bare arrays": (lambda: data.Zip((X, X)), r"dataset 0 is ndarray, .* as data.Arrays\(x\)|Type-check"),
    "no steps": (lambda: tiny.config(tiny.evl(), steps=0), r"`steps` must be a whole number of at least 1 \(got 0\)"),
    "raw arrays": (lambda: jaxgen.Config(tiny.evl(), X), r"wrap arrays as data.Arrays\(x\)|Type-check"),
    "no method": (lambda: jaxgen.Config("evl", data.Arrays(X)), r"`method` must be a training .*got 'evl'|Type-check"),
    "no such set": (
        lambda: jaxgen.Config(tiny.evl(), data.Images("mnst"), batch_size=4),
        "`name` must be one of mnist",
    ),
    "no such file": (lambda: jaxgen.Config(tiny.evl(), data.Table("none.npz"), batch_size=4), "there is no file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_raises_one_clear_sentence(name):
    make, message = BAD[name]
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message) as caught:
        jaxgen.train(
            dataclasses.replace(make(), steps=6, steps_per_call=3) if name != "steps" else make(), progress=False
        )
    if "Type-check" not in str(caught.value):
        assert "\n" not in str(caught.value)


def test_a_missing_dataset_raises_with_the_command_to_prepare_it(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    code = (
        "import jaxgen; from jaxgen import data, methods\n"
        "try: jaxgen.train(jaxgen.Config(methods.EVL(), data.Images('kmnist')))\n"
        "except FileNotFoundError as error: print(error)\n"
    )
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert "pip install 'jaxgen[prepare]'" in run.stdout
    assert "python -m jaxgen.data.prepare kmnist" in run.stdout


def test_a_checkpoint_of_another_config_or_of_other_data_raises(tmp_path):
    config = jaxgen.Config(tiny.evl(), data.Arrays(X), steps=6, steps_per_call=3, batch_size=4, layout=tiny.ONE)
    jaxgen.train(config, checkpoint_dir=tmp_path, progress=False)
    other = dataclasses.replace(config, method=tiny.evl(learning_rate=0.5))
    with pytest.raises(
        ValueError, match=r"another run: its config differs in method.learning_rate \(0.003 there, 0.5 here\)"
    ):
        jaxgen.train(other, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"another run: its config differs in data.arrays.*; choose another directory"):
        jaxgen.train(dataclasses.replace(config, data=data.Arrays(X + 1)), checkpoint_dir=tmp_path, progress=False)
    np.savez(tmp_path / "x.npz", x=X)
    table = dataclasses.replace(config, data=data.Table(str(tmp_path / "x.npz")))
    jaxgen.train(table, checkpoint_dir=tmp_path / "table", progress=False)
    np.savez(tmp_path / "x.npz", x=X + 1)  # same config, other file
    with pytest.raises(ValueError, match="another run: its tables differs"):
        jaxgen.train(table, checkpoint_dir=tmp_path / "table", progress=False)


def test_a_finished_run_continues_with_more_steps(tmp_path):
    run = lambda steps, place: jaxgen.train(tiny.config(tiny.evl(), steps=steps), checkpoint_dir=place, progress=False)
    run(6, tmp_path / "run")
    longer, straight = run(12, tmp_path / "run"), run(12, tmp_path / "straight")
    for a, b in zip(jax.tree.leaves(longer.state), jax.tree.leaves(straight.state), strict=True):
        np.testing.assert_array_equal(a, b)
    for name, metric in straight.history.items():
        np.testing.assert_array_equal(longer.history[name], metric)
    assert jaxgen.load(tmp_path / "run").config.steps == 12  # the description has the new number of steps
    with pytest.raises(ValueError, match=r"`steps` must be at least .* \(got 9 and 12\); increase steps"):
        run(9, tmp_path / "run")


def test_a_schedule_without_a_length_ends_with_the_run(tmp_path):
    config = lambda rate, steps=6: tiny.config(tiny.evl(learning_rate=rate), steps=steps)
    filled = jaxgen.train(config(optim.Cosine(3e-3)), checkpoint_dir=tmp_path, progress=False)
    written = jaxgen.train(config(optim.Cosine(3e-3, 6)), progress=False)
    assert filled.config == written.config == config(optim.Cosine(3e-3)).resolved()
    assert jaxgen.load(tmp_path).config.method.learning_rate == optim.Cosine(3e-3, 6)
    for a, b in zip(jax.tree.leaves(filled.state), jax.tree.leaves(written.state), strict=True):
        np.testing.assert_array_equal(a, b)
    given = jaxgen.load(tmp_path, config=config(optim.Cosine(3e-3)))
    assert given.config.method.learning_rate.steps == 6
    # A longer run falls more slowly from its first step, so it is another run.
    with pytest.raises(ValueError, match=r"learning_rate.steps \(6 there, 12 here\); .* ends with its run, .* steps=6"):
        jaxgen.train(config(optim.Cosine(3e-3), 12), checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(ValueError, match=r"config differs in method.learning_rate.peak .*; choose another directory"):
        jaxgen.train(config(optim.Cosine(4e-3), 12), checkpoint_dir=tmp_path, progress=False)
    longer = jaxgen.train(config(optim.Cosine(3e-3, 6), 12), checkpoint_dir=tmp_path, progress=False)
    assert longer.steps == 12


@pytest.mark.filterwarnings("ignore:config.method.learning_rate cannot be imported:UserWarning")
def test_a_run_with_an_unnamed_schedule_does_not_continue_with_more_steps(tmp_path):
    rate = lambda steps: optax.cosine_decay_schedule(0.01, steps)  # its description does not depend on the steps
    run = lambda steps: jaxgen.train(
        tiny.config(tiny.evl(learning_rate=rate(steps)), steps=steps), checkpoint_dir=tmp_path, progress=False
    )
    run(6)
    with pytest.raises(ValueError, match=r"another run: its config differs in steps \(6 there, 12 here\)"):
        run(12)


def test_a_directory_that_cannot_be_written_raises(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", pathlib.Path("/proc/jaxgen")):
        with pytest.raises(PermissionError, match=r"cannot be written .*; choose another directory"):
            jaxgen.train(tiny.config(tiny.evl()), checkpoint_dir=place, progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_directory_raises(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be written"):
        jaxgen.train(tiny.config(tiny.evl()), checkpoint_dir=tmp_path / "run", progress=False)


def test_resuming_on_another_number_of_devices_warns(tmp_path):
    config = tiny.config(tiny.evl(), layout=Layout(devices=2))
    jaxgen.train(config, checkpoint_dir=tmp_path, progress=False)
    shutil.rmtree(tmp_path / "6")
    with pytest.warns(UserWarning, match="was started on 2 devices and continues on 4, so its noise differs"):
        result = jaxgen.train(
            dataclasses.replace(config, layout=Layout(devices=4)), checkpoint_dir=tmp_path, progress=False
        )
    assert result.steps == 6


def test_a_running_run_can_be_loaded(tmp_path):
    def peek(step, result):
        if step > 3:
            assert jaxgen.load(tmp_path, trusted=("tiny",)).steps in (step - 1, step)

    config = tiny.config(tiny.evl(), steps=12, steps_per_call=1)
    jaxgen.train(config, checkpoint_dir=tmp_path, progress=False, callback=peek)
    assert jaxgen.load(tmp_path, trusted=("tiny",)).steps == 12


def test_a_field_that_cannot_be_imported_warns_with_a_checkpoint_dir(tmp_path):
    config = tiny.config(tiny.evl(optimizer=lambda rate: optax.sgd(rate)))
    with pytest.warns(UserWarning, match="method.optimizer cannot be imported by name, so a checkpoint cannot detect"):
        jaxgen.train(config, checkpoint_dir=tmp_path, progress=False)
