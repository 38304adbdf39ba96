"""Checkpoint directories: every truncated file is detected, and never read as if it were complete."""

import os
import shutil

import jax
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen.training.checkpoint import Checkpoints


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoints"
    config = tiny.config(tiny.evl())
    return config, path, jaxgen.train(config, checkpoint_dir=path, progress=False)


def files(path):
    return sorted(f.relative_to(path) for f in path.rglob("*") if f.is_file() and f.stat().st_size)


def test_files_of_a_run(saved):
    _, path, _ = saved
    assert (path / "description.json").is_file()
    assert sorted(f.name for f in (path / "history").iterdir()) == ["000000000003.npz", "000000000006.npz"]
    assert Checkpoints(path).latest() == 6


# Failed reads of TensorStore report to an event loop that Orbax has already closed.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("share", "every"), [(0.0, 3), *(pytest.param(share, 1, marks=pytest.mark.slow) for share in (0.0, 0.5, 0.95))]
)
def test_a_truncated_checkpoint_raises_or_loads_unchanged(saved, tmp_path, share, every):
    """Each file, or every third, is truncated in turn: loading raises one clear sentence, or returns the same state."""
    _, path, result = saved
    refused = 0
    for name in files(path)[::every]:
        copy = tmp_path / "copy"
        shutil.copytree(path, copy)
        os.truncate(copy / name, int((copy / name).stat().st_size * share))
        loaded, message = None, ""
        try:
            loaded = jaxgen.load(copy)
        except (ValueError, FileNotFoundError) as error:
            message = str(error)
        if loaded is None:
            assert "\n" not in message, name
            assert "delete" in message or "restore" in message, (name, message)
            refused += 1
        else:
            if loaded.steps == 6:
                for a, b in zip(jax.tree.leaves(loaded.state), jax.tree.leaves(result.state), strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=str(name))
        shutil.rmtree(copy)
    assert refused >= (3 if every == 1 else 1)


def test_without_the_last_checkpoint_it_resumes_from_the_previous_one(saved, tmp_path):
    config, path, result = saved
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "6")
    again = jaxgen.train(config, checkpoint_dir=tmp_path / "copy", progress=False)
    for a, b in zip(
        jax.tree.leaves((again.state, again.history)), jax.tree.leaves((result.state, result.history)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_directory_without_a_checkpoint_raises(saved, tmp_path):
    _, path, _ = saved
    (tmp_path / "description.json").write_text((path / "description.json").read_text())
    with pytest.raises(FileNotFoundError, match="holds a run without a checkpoint"):
        jaxgen.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no result of jaxgen"):
        jaxgen.load(tmp_path / "elsewhere")
