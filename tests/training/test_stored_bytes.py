"""Stored bytes: a damaged, foreign or locked directory raises one sentence, and nothing else is loaded from it."""

import contextlib
import dataclasses
import errno
import io
import json
import pathlib
import shutil
import signal
import subprocess
import sys
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import nets
from jaxgen.training import checkpoint
from jaxgen.training.checkpoint import Checkpoints

# Failed reads of TensorStore report to an event loop that Orbax has already closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

FIVE = ("evl pool", "meg", "vae", "mmd map", "flow")


def files(path):
    return sorted(file for file in path.rglob("*") if file.is_file())


def drill(path, reference, count, load, seed=0):
    """Damage one random file at a time, and return the numbers of ValueErrors and of unchanged results."""
    generator = np.random.default_rng(seed)
    # Of the checkpoint before the last only its history is read.
    last = max(int(file.name) for file in path.iterdir() if file.name.isdecimal())
    read = lambda file: not file.parts[0].isdecimal() or int(file.parts[0]) == last
    chosen = [file for file in files(path) if file.stat().st_size and read(file.relative_to(path))]
    refused = unchanged = 0
    for trial in range(count):
        file = chosen[trial % len(chosen)]
        whole = file.read_bytes()
        at = int(generator.integers(len(whole)))
        flipped = whole[:at] + bytes([whole[at] ^ (1 << int(generator.integers(8)))]) + whole[at + 1 :]
        file.write_bytes(whole[:at] if generator.random() < 0.2 else flipped)
        try:
            loaded = load(path)
        except ValueError as error:
            assert str(path) in str(error), (file.name, at, str(error))  # noqa: PT017
            refused += 1
        else:
            chex.assert_trees_all_equal((loaded.state, loaded.history), (reference.state, reference.history))
            assert loaded.config == reference.config, (file.name, at)
            unchanged += 1
        file.write_bytes(whole)
    return refused, unchanged


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoints"
    config = tiny.config(tiny.evl())
    jaxgen.train(config, checkpoint_dir=path, progress=False)
    return config, path, jaxgen.load(path)


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved[1], tmp_path / "copy")


@pytest.mark.slow
def test_flips_and_truncations_raise_or_have_no_effect(saved, copy, capfd):
    refused, _ = drill(copy, saved[2], 60, jaxgen.load)
    assert refused > 20
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", FIVE)
def test_five_hundred_flips_of_large_and_small_arrays(name, tmp_path):
    """A hundred for each of five methods, with arrays of 10 bytes to some megabytes."""
    wide = nets.MLP((1_000, 1_000, 3))
    changes = {"evl pool": {"generator": nets.MLP((1_000, 1_000, 4))}, "meg": {"generator": wide}, "mmd map": {}}
    changes |= {"vae": {"decoder": wide}, "flow": {"network": nets.dense_flow(3, depth=2, widths=(700, 700))}}
    config = tiny.config(dataclasses.replace(tiny.METHODS[name], **changes[name]), steps=2, steps_per_call=1)
    jaxgen.train(config, checkpoint_dir=tmp_path / "run", progress=False)
    load = lambda path: jaxgen.load(path, trusted=("tiny",))
    refused, unchanged = drill(tmp_path / "run", load(tmp_path / "run"), 100, load)
    assert refused + unchanged == 100
    assert refused > 30


def test_a_flipped_bit_in_a_large_array_raises(tmp_path):
    """Orbax has no checksum of large arrays, and would return the changed numbers."""
    noise = np.random.default_rng(0).normal(size=(1, 400_000)).astype(np.float32)
    with Checkpoints(tmp_path) as checkpoints:
        (tmp_path / "history").mkdir()
        (tmp_path / "digests").mkdir()
        checkpoints.save(1, noise, {"loss": np.zeros((1, 1))})
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        np.testing.assert_array_equal(checkpoints.restore(1, jax.ShapeDtypeStruct(noise.shape, noise.dtype))[0], noise)
    largest = max(files(tmp_path / "1"), key=lambda file: file.stat().st_size)
    whole = largest.read_bytes()
    for at in range(len(whole) // 10, len(whole), len(whole) // 5):
        largest.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with Checkpoints(tmp_path, read_only=True) as checkpoints, pytest.raises(ValueError, match=str(tmp_path)):
            checkpoints.restore(1, jax.ShapeDtypeStruct(noise.shape, noise.dtype))


def rewritten(path, change):
    """Change the description, and give it the digest of its new content."""
    stored = json.loads((path / "description.json").read_text())
    stored.pop("sha256")
    change(stored)
    (path / "description.json").write_bytes(checkpoint._with_digest(stored))


def fields(stored):
    return stored["config"]["fields"]


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: fields(stored).update(num_seeds=3),
        lambda stored: fields(stored).update(num_seeds=10**15),
        lambda stored: fields(stored)["method"]["fields"]["generator"]["fields"].update(widths={"tuple": [8, 9, 4]}),
        lambda stored: fields(stored)["method"]["fields"].update(latent_dim=4),
        lambda stored: fields(stored)["method"]["fields"].update(latent_dim="three"),
        lambda stored: fields(stored).update(method=None),
        lambda stored: stored.update(config={"import": "jaxgen.methods:EVL"}),
        lambda stored: stored.update(config=[]),
        lambda stored: stored.pop("rows"),
        lambda stored: stored.update(rows=[{"row": []}]),
    ],
)
def test_a_description_of_another_state_raises(copy, change):
    rewritten(copy, change)
    with pytest.raises(ValueError, match=str(copy)):
        jaxgen.load(copy)


def test_a_description_edited_by_hand_raises(copy):
    text = (copy / "description.json").read_text()
    (copy / "description.json").write_text(text.replace('"num_seeds": 2', '"num_seeds": 3'))
    with pytest.raises(ValueError, match="has changed since it was written"):
        jaxgen.load(copy)


@pytest.mark.parametrize("content", ["", "[]", "3", "{}", '{"sha256": []}', "[" * 100_000, '{"config": 1, "rows": 2}'])
def test_a_foreign_directory_raises(tmp_path, content):
    (tmp_path / "description.json").write_text(content)
    with pytest.raises(ValueError, match=str(tmp_path)):
        jaxgen.load(tmp_path)


def test_a_history_of_fewer_seeds_raises(copy):
    for step in (3, 6):
        segment = io.BytesIO()
        np.savez(segment, loss=np.zeros((1, 3)))
        Checkpoints(copy)._segment(step).write_bytes(segment.getvalue())
        file = Checkpoints(copy)._digests(step)
        digests = json.loads(file.read_text()) | {"history": checkpoint._sha256(segment.getvalue())}
        file.write_text(json.dumps(digests))
    with pytest.raises(ValueError, match=r"the history in .* has 1 seeds, and the state 2"):
        jaxgen.load(copy)


HOLD = """
import sys, time
from jaxgen.training.checkpoint import Checkpoints

checkpoints = Checkpoints(sys.argv[1], exclusive=True)
checkpoints._acquire_lock()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_second_process_gets_one_error_and_a_dead_one_does_not_block(saved, copy):
    config, _, result = saved
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(copy)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(BlockingIOError, match=r"^another process is training in .*; wait until it ends, or choose"):
        jaxgen.train(config, checkpoint_dir=copy, progress=False)
    assert jaxgen.load(copy).steps == 6  # reading needs no lock
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    again = jaxgen.train(config, checkpoint_dir=copy, progress=False)
    chex.assert_trees_all_equal(again.state, result.state)
    jaxgen.train(config, checkpoint_dir=copy, progress=False)  # released by the previous call


@contextlib.contextmanager
def full_disk(monkeypatch, suffix):
    """Fail each write to files of one suffix as a full disk does."""

    def refuse(self, *arguments: Any, **named: Any) -> Any:
        if suffix in self.name and "w" in str((arguments, named)):
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return whole(self, *arguments, **named)

    whole = pathlib.Path.open
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "open", refuse)
        yield


@pytest.mark.parametrize("suffix", ["description", ".npz", "digests", ".json"])
def test_a_full_disk_is_one_sentence(saved, tmp_path, monkeypatch, suffix):
    config, _, result = saved
    match = r"run.* cannot be written because the disk is full; free some space and run this again.$"
    with full_disk(monkeypatch, suffix if suffix != "digests" else "0003.json"):
        if suffix != "digests":
            with pytest.raises(OSError, match=match) as caught:
                result.save(tmp_path / "run")
            assert caught.value.errno == errno.ENOSPC
            assert not list(tmp_path.iterdir())  # nothing half-written takes up space
        with pytest.raises(OSError, match=match):
            jaxgen.train(config, checkpoint_dir=tmp_path / "run", progress=False)
    again = jaxgen.train(config, checkpoint_dir=tmp_path / "run", progress=False)
    chex.assert_trees_all_equal(again.state, result.state)


def test_a_full_disk_of_orbax_is_one_sentence(saved, tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    def refuse(self, *_: Any, **__: Any) -> None:
        raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device [OS error 28]")

    monkeypatch.setattr(ocp.CheckpointManager, "wait_until_finished", refuse)
    with pytest.raises(OSError, match="because the disk is full") as caught:
        saved[2].save(tmp_path / "run")
    assert caught.value.errno == errno.ENOSPC


class Odd(NamedTuple):
    mean: Any
    key: Any
    nothing: Any


@dataclasses.dataclass(frozen=True)
class KeyInState(tiny.Mean):
    """A method whose state holds a typed key and an array without elements."""

    def init(self, key, x):
        return Odd(super().init(key, x), key, jnp.zeros((0, 3)))

    def step(self, key, state, x):
        mean, metrics = super().step(state.key, state.mean, x)
        return Odd(mean, jax.random.split(state.key)[0], state.nothing), metrics


def test_keys_and_empty_arrays_are_saved_and_resumed(tmp_path):
    config = tiny.config(KeyInState())
    seen = []
    whole = jaxgen.train(config, progress=False, callback=lambda step, result: seen.append(result.state))
    jaxgen.train(dataclasses.replace(config, steps=3), checkpoint_dir=tmp_path / "run", progress=False)
    resumed = jaxgen.train(config, checkpoint_dir=tmp_path / "run", progress=False)
    whole.save(tmp_path / "saved")
    loaded = [jaxgen.load(tmp_path / name, trusted=(__name__,)) for name in ("run", "saved")]
    data = lambda state: state._replace(key=jax.random.key_data(state.key))
    for state in (resumed.state, seen[-1], *(result.state for result in loaded)):
        assert state.key.dtype == whole.state.key.dtype
        assert state.nothing.shape == (2, 0, 3)
        chex.assert_trees_all_equal(data(state), data(whole.state))


@pytest.mark.parametrize("seed", [2**32, -1, 1.0, True, "0", None])
def test_seeds_that_jax_would_cut_to_32_bits_raise(seed, unchecked):
    """`jax.random.key(2**32)` is the key of 0."""
    with pytest.raises(ValueError, match=r"`seed` must be a whole number from 0 to 2\*\*32 - 1"):
        tiny.config(tiny.evl(), seed=seed)
    assert tiny.config(tiny.evl(), seed=np.uint32(2**32 - 1)).seed == 2**32 - 1


def test_states_of_other_optimizers_raise(saved):
    config, path, _ = saved
    other = dataclasses.replace(config, method=tiny.evl(optimizer=optax.sgd))
    with pytest.raises(ValueError, match="another run"):
        jaxgen.load(path, config=other)
    template = jaxgen.training.result.state_template(other.resolved(), jaxgen.load(path).row_specs)
    with Checkpoints(path, read_only=True) as checkpoints, pytest.raises(ValueError, match=r"its config gives"):
        checkpoints.restore(6, template)
