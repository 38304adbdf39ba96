"""What is on disk: every cut file is found, and never read as if it were whole."""

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


def test_what_a_run_leaves(saved):
    _, path, _ = saved
    assert (path / "description.json").is_file()
    assert sorted(f.name for f in (path / "history").iterdir()) == ["000000000003.npz", "000000000006.npz"]
    assert Checkpoints(path).latest() == 6


# TensorStore's reads that failed report to an event loop that Orbax has closed by then.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_cut_checkpoint_is_refused_or_unharmed(saved, tmp_path, share):
    """Each file in turn is cut: either one clear sentence, or the very same state."""
    _, path, result = saved
    refused = 0
    for name in files(path):
        copy = tmp_path / "copy"
        shutil.copytree(path, copy)
        os.truncate(copy / name, int((copy / name).stat().st_size * share))
        loaded, complaint = None, ""
        try:
            loaded = jaxgen.load(copy)
        except (ValueError, FileNotFoundError) as error:
            complaint = str(error)
        if loaded is None:
            assert "\n" not in complaint, name
            assert "delete" in complaint or "restore" in complaint, (name, complaint)
            refused += 1
        else:
            if loaded.steps == 6:
                for a, b in zip(jax.tree.leaves(loaded.state), jax.tree.leaves(result.state), strict=True):
                    np.testing.assert_array_equal(a, b, err_msg=str(name))
        shutil.rmtree(copy)
    assert refused >= 3


def test_without_the_last_checkpoint_it_goes_on_from_the_one_before(saved, tmp_path):
    config, path, result = saved
    shutil.copytree(path, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "6")
    again = jaxgen.train(config, checkpoint_dir=tmp_path / "copy", progress=False)
    for a, b in zip(
        jax.tree.leaves((again.state, again.history)), jax.tree.leaves((result.state, result.history)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_directory_with_a_description_alone_has_nothing_to_load(saved, tmp_path):
    _, path, _ = saved
    (tmp_path / "description.json").write_text((path / "description.json").read_text())
    with pytest.raises(FileNotFoundError, match="nothing saved yet"):
        jaxgen.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no result of jaxgen"):
        jaxgen.load(tmp_path / "elsewhere")
