"""Runs on streams: the bytes of a run on arrays, cut anywhere, with each example read once an epoch."""

import collections
import dataclasses
import functools
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data, parallel
from jaxgen.data.stream_table import sampled
from jaxgen.parallel import Layout
from jaxgen.training import preparation, progress
from jaxgen.training.compilation import root_keys, start_arguments
from jaxgen.training.feed import Feed

pytest.importorskip("grain", reason="Grain is not installed")

HERE = pathlib.Path(__file__).parents[1]
(X,) = data.SwissRoll(n=100, test_n=1).tables()


class Counted:
    """Counts how often each example is read."""

    def __init__(self, x):
        self.x, self.reads, self.lock = x, collections.Counter(), threading.Lock()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, number):
        with self.lock:
            self.reads[number] += 1
        return self.x[number]


def make(method, rows=None, **changes):
    config = tiny.config(method, **changes)
    return config if rows is None else dataclasses.replace(config, data=rows)


def train(config, **named):
    return jaxgen.train(config, progress=False, **named)


def assert_equal(one, other):
    one, other = ((result.state, result.history) for result in (one, other))
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def both(config, *tables, **changes):
    """Train on arrays and on a stream of them."""
    config = dataclasses.replace(config, **changes)
    streams = [data.Zip(tuple(data.Stream(table) for table in tables)) if tables[1:] else data.Stream(*tables)]
    return [train(dataclasses.replace(config, data=rows)) for rows in (data.Arrays(*tables), *streams)]


LAYOUTS = {
    "one device": Layout(devices=1),
    "four devices": Layout(),
    "shard_map": Layout(transform=parallel.sharded),
    "seeds together": Layout(devices=2, seeds=parallel.batched),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_stream_of_an_array_gives_the_bytes_of_the_array(name):
    """Over two epochs, of which each drops the last rows."""
    config = make(tiny.Mean(), steps=27, steps_per_call=9, layout=LAYOUTS[name], num_seeds=3)
    assert_equal(*both(config, X))


@pytest.mark.parametrize("method", ["evl own", "flow"])
def test_methods_have_the_same_bytes_too(method):
    assert_equal(*both(make(tiny.METHODS[method]), X))


@pytest.mark.optimized
def test_compiled_with_optimizations_the_bytes_are_the_same():
    assert_equal(*both(make(tiny.METHODS["evl own"]), X))


@pytest.mark.slow
@pytest.mark.parametrize("method", tiny.METHODS)
def test_every_method_has_the_same_bytes(method):
    config = make(tiny.METHODS[method], layout=Layout(devices=2))
    assert_equal(*both(config, *config.data.tables()))


@dataclasses.dataclass(frozen=True)
class Sum(tiny.Mean):
    """Sums its rows, also bytes."""

    def init(self, key, x, *others):
        return sum(jnp.sum(jnp.asarray(leaf, jnp.float32)) for leaf in jax.tree.leaves((x, others)))

    def step(self, key, state, *parts):
        total = sum(jnp.sum(jnp.asarray(leaf, jnp.float32)) for leaf in jax.tree.leaves(parts))
        return state + parallel.mean(total, self.axis_name), {"total": parallel.mean(total, self.axis_name)}


@pytest.mark.parametrize("shuffle", [True, False])
def test_images_and_labels_have_the_bytes_of_arrays(shuffle):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (30, 4, 4, 1), np.uint8), random.integers(0, 10, 30)
    config = make(Sum(), shuffle=shuffle)
    arrays, stream = data.Arrays((images, labels)), data.Stream((images, labels))
    assert_equal(*(train(dataclasses.replace(config, data=rows)) for rows in (arrays, stream)))
    signed = (images ^ 128).view(np.int8)
    assert_equal(*both(config, signed))


def test_zip_of_a_stream_and_a_table_has_the_bytes_of_two_tables():
    config = make(Sum(), layout=Layout())
    y = np.arange(60, dtype=np.float32).reshape(30, 2)
    parts = [(data.Arrays(X), data.Arrays(y)), (data.Stream(X), data.Arrays(y)), (data.Arrays(X), data.Stream(y))]
    first, *others = [train(dataclasses.replace(config, data=data.Zip(part))) for part in parts]
    for other in others:
        assert_equal(first, other)


def test_each_seed_has_an_order_of_its_own_that_other_seeds_do_not_change():
    config = make(Sum(), data.Stream(X), num_seeds=3)
    many, one = train(config), train(dataclasses.replace(config, num_seeds=1))
    assert len({totals.tobytes() for totals in many.history["total"]}) == 3
    np.testing.assert_array_equal(many.history["total"][:1], one.history["total"])


@pytest.mark.parametrize("cut", [3, 6])
def test_a_run_cut_anywhere_resumes_to_the_same_bytes(tmp_path, cut):
    config = make(tiny.Mean(), rows=data.Stream(X), steps=9)
    whole = train(config)

    def stop(step, result):
        if step == cut:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, checkpoint_dir=tmp_path, callback=stop)
    assert jaxgen.load(tmp_path, trusted=("tiny",)).steps == cut
    assert_equal(train(config, checkpoint_dir=tmp_path), whole)


def test_a_retried_seed_repeats_its_own_batches():
    config = make(tiny.Faulty(), num_seeds=3, layout=Layout(devices=2))
    clean = train(config)
    method = tiny.Faulty(draw=float(clean.history["draw"][1, 4]))
    arrays, stream = both(config, X, method=method)
    np.testing.assert_array_equal(arrays.history["retries"][:, -1], [0, 1, 0])
    assert_equal(arrays, stream)


def prepare(config):
    """Read what a run reads before its first step."""
    run = preparation.prepared(config)
    sampled(run.tables)
    start_arguments(run.config, root_keys(run.config), run.tables)


@pytest.mark.parametrize("layout", [Layout(devices=1), Layout()], ids=["one device", "four devices"])
def test_each_example_is_read_once_an_epoch(layout):
    """Apart from the examples that identify the source, and those of the first minibatch."""
    source = Counted(np.arange(96, dtype=np.float32)[:, None])
    config = make(Sum(), rows=data.Stream(source), steps=12, num_seeds=1, layout=layout)
    prepare(config)
    before = source.reads.copy()
    result = train(config)
    source.reads.subtract(before + before)
    assert set(source.reads.values()) == {1}
    assert source.reads.total() == 96
    assert float(result.history["total"].sum()) * layout.total() == np.arange(96).sum()


def test_the_next_call_is_read_while_the_present_one_runs_and_none_after_it():
    source = Counted(np.arange(96, dtype=np.float32)[:, None])
    config = make(Sum(), rows=data.Stream(source), steps=9, num_seeds=1)
    run = preparation.prepared(config)
    source.reads.clear()
    with Feed(run.config, root_keys(run.config), run.tables, 0) as feed:
        for done, calls in ((0, 2), (3, 3), (6, 3)):
            (batches,) = feed(done)
            assert batches.shape == (1, 1, 3, 8, 1)
            begun = time.monotonic()
            while source.reads.total() < calls * 24 and time.monotonic() < begun + 20:
                time.sleep(0.01)
            time.sleep(0.05)
            assert source.reads.total() == calls * 24


def test_each_process_reads_only_its_own_share(monkeypatch):
    """The shares of two processes of two devices each, next to one process of four."""
    source = Counted(np.arange(96, dtype=np.float32)[:, None])
    run = preparation.prepared(make(Sum(), rows=data.Stream(source), steps_per_call=12, steps=12))
    monkeypatch.setattr(Layout, "total", lambda layout: 4)
    monkeypatch.setattr(Layout, "place_split", lambda layout, tree: tree)

    def share(*positions):
        source.reads.clear()
        monkeypatch.setattr(Layout, "positions", lambda layout: np.array(positions))
        with Feed(run.config, root_keys(run.config), run.tables, 0) as feed:
            return feed(0)[0], source.reads.copy()

    (whole, _), (first, reads), (second, others) = share(0, 1, 2, 3), share(0, 1), share(2, 3)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    assert first.shape == (2, 2, 12, 2, 1)
    assert reads.total() == others.total() == 96  # half of an epoch, for each of two seeds
    assert set((reads + others).values()) == {2}  # both read each example once for each seed


REPORT = """
import sys
sys.path.insert(0, {here!r})
import jax
if {processes} > 1:
    jax.distributed.initialize(coordinator_address="127.0.0.1:{port}", num_processes={processes}, process_id={process})
import hashlib, dataclasses
import numpy as np
import jaxgen, tiny, test_streams
from jaxgen import data
config = tiny.config(tiny.evl(), steps=20, steps_per_call=5, batch_size=8, layout=jaxgen.parallel.Layout())
(x,) = config.data.tables()
source = test_streams.Counted(x)
for rows in (data.Stream(source), data.Arrays(x)):
    result = jaxgen.train(dataclasses.replace(config, data=rows), progress=False)
    leaves = jax.tree.leaves((result.state, result.history))
    print("found", hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest())
print("found", source.reads.total())
"""


@pytest.mark.slow
def test_two_processes_have_the_bytes_of_arrays_and_read_their_shares():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = functools.partial(REPORT.format, here=str(HERE), port=port, processes=2)
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": "2",
        "PYTHONPATH": os.pathsep.join([*sys.path, str(HERE / "training")]),
    }
    run = lambda process: subprocess.Popen(
        [sys.executable, "-c", code(process=process)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    outcomes = [(*process.communicate(timeout=300), process.returncode) for process in list(map(run, range(2)))]
    assert [code for *_, code in outcomes] == [0, 0], outcomes
    first, second = ([line.split()[1] for line in out.splitlines() if "found" in line] for out, *_ in outcomes)
    assert first == second
    stream, arrays, reads = first
    assert stream == arrays
    # 20 minibatches and the first one once more, for two seeds, half of each; and those that identify the source.
    assert int(reads) == 21 * 8 * 2 // 2 + 1 + 64


def test_a_source_that_changed_is_not_resumed(tmp_path):
    config = make(tiny.Mean(), rows=data.Stream(X))
    longer = dataclasses.replace(config, steps=9)
    train(config, checkpoint_dir=tmp_path)
    for changed, message in ((X[:99], "its config differs in data.source.length"), (X + 1, "its tables differs")):
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(longer, data=data.Stream(changed)), checkpoint_dir=tmp_path)
    assert train(dataclasses.replace(longer, data=data.Stream(Counted(X))), checkpoint_dir=tmp_path).steps == 9


def test_a_bad_example_ends_a_run_in_the_call_that_needs_it():
    x = np.where(np.arange(960)[:, None] == 33, np.nan, np.ones(2)).astype(np.float32)  # 33 is not sampled
    config = make(tiny.Mean(), rows=data.Stream(x), steps=12, shuffle=False)
    calls = []
    with pytest.raises(ValueError, match="NaN or infinity in example 33"):
        train(config, callback=lambda step, result: calls.append(step))
    assert calls == [3]  # the second call takes rows 24 to 47
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("jaxgen stream")]


@pytest.mark.parametrize("validation", [0.25, "table", "stream"])
def test_validation_and_patience_have_the_bytes_of_arrays(validation):
    other = {"table": data.Arrays(X[:20]), "stream": data.Stream(X[:20])}.get(validation, validation)
    method = tiny.METHODS["mixture density"]
    config = make(method, validation=other, patience=2, steps=12)
    assert_equal(*both(config, X))


def test_a_result_is_saved_loaded_and_scored_without_its_source(tmp_path):
    result = train(make(tiny.METHODS["flow"], rows=data.Stream(X)))
    result.save(tmp_path / "run")
    loaded = jaxgen.load(tmp_path / "run")
    assert_equal(loaded, result)
    jax.tree.map(np.testing.assert_array_equal, loaded.scores(X[:5]), result.scores(X[:5]))
    assert repr(loaded.config.data) == "Stream(100 examples)"


def test_untrained_models_have_the_parameters_of_arrays():
    config = make(tiny.METHODS["flow"])
    assert_equal(
        *(jaxgen.untrained(dataclasses.replace(config, data=rows)) for rows in (data.Arrays(X), data.Stream(X)))
    )


def test_the_bar_shows_the_share_of_time_spent_waiting(capsys):
    with progress.Progress(6, shown=True) as bar:
        bar.advance({"loss": np.ones((1, 3))}, 0.25)
    assert "waiting for data 25%" in capsys.readouterr().err
    config = make(Sum(), rows=data.Arrays(X))
    with Feed(config, root_keys(config), config.data.tables(), 0) as feed:
        assert feed.stalled() is None
        assert feed(0) == ()


def test_tables_larger_than_a_device_name_the_stream(monkeypatch):
    monkeypatch.setattr(Layout, "memory_limit", lambda layout: X.nbytes - 1)
    with pytest.raises(ValueError, match=r"in the memory of every device.*data.Stream\(x\) in place of"):
        train(make(tiny.Mean(), rows=data.Arrays(X)))
    train(make(tiny.Mean(), rows=data.Stream(X)))
    monkeypatch.undo()
    assert Layout(devices=1).memory_limit() is None  # a CPU reports none
