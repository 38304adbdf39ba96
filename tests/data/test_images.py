"""Image sets: scikit-learn's digits, the cache, and errors for sets that are not prepared."""

import json
import os
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data
from jaxgen.data import images

SIGNED = (data.Images("mnist"), data.ScaledToTanh(data.Images("mnist")))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def cached(cache):
    """A cache of 50 random images under the name of MNIST."""
    generator = np.random.default_rng(0)
    columns = {
        "image": generator.integers(0, 256, (50, 28, 28, 1)).astype(np.uint8),
        "label": np.arange(50, dtype=np.int32),
    }
    images._write(cache / "mnist" / f"train-v{images.VERSION}", columns)
    return columns


def test_scaled_to_tanh_gives_the_same_images_between_minus_1_and_1(cached):
    plain, signed = (data.take(jnp.asarray(kind.tables()[0]), jnp.arange(50)) for kind in SIGNED)
    np.testing.assert_allclose(signed, 2 * plain - 1, atol=1e-6)


def test_digits_are_embedded():
    (x,) = data.Digits().tables()
    assert (x.shape, x.min(), x.max()) == ((1797, 8, 8, 1), 0.0, 1.0)
    np.testing.assert_array_equal(np.unique(data.Digits().labels()), np.arange(10))


def test_a_cache_suffices_and_is_memory_mapped(cached):
    (x,), labels = data.Images("mnist").tables(), data.Images("mnist").labels()
    assert isinstance(x, np.memmap)
    np.testing.assert_array_equal(x, cached["image"])
    np.testing.assert_array_equal(labels, cached["label"])


def test_a_cache_needs_no_tensorflow_datasets(cached):
    code = (
        "import sys; sys.modules['tensorflow_datasets'] = None\n"
        "from jaxgen import data; print(data.Images('mnist').tables()[0].shape)\n"
        "try: data.Images('kmnist').tables()\n"
        "except FileNotFoundError as error: print('jaxgen[prepare]' in str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert result.stdout == "(50, 28, 28, 1)\nTrue\n"


@pytest.mark.parametrize("harm", ["cut", "changed", "manifest", "missing"])
def test_a_damaged_cache_raises(cached, cache, harm):
    folder = cache / "mnist" / f"train-v{images.VERSION}"
    file = folder / "image.npy"
    if harm == "cut":
        os.truncate(file, file.stat().st_size - 100)
    elif harm == "changed":
        content = bytearray(file.read_bytes())
        content[200] ^= 255
        file.write_bytes(content)
    elif harm == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        file.unlink()
    with pytest.raises(ValueError, match=r"is damaged .* delete that folder"):
        data.Images("mnist").tables()


def test_writing_is_atomic(cache, monkeypatch):
    monkeypatch.setattr(json, "dumps", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        images._write(cache / "mnist" / "train-v1", {"image": np.zeros((2, 2), np.uint8)})
    assert list((cache / "mnist").iterdir()) == []


def test_unknown_names_and_splits_raise(cache, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"`name` must be one of mnist, .* \(got 'imagenet'\)"):
        data.Images("imagenet").tables()
    with pytest.raises(ValueError, match=r"`split` must be 'train' or 'test' \(got 'validation'\)"):
        data.Images("mnist", "validation").tables()


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="TFDS_DATA_DIR names no prepared image sets")
def test_tensorflow_datasets_are_read_without_tensorflow(cache):
    from jaxgen.data.images import Images

    set_ = Images("mnist", "test")
    x, labels = set_.tables()[0], set_.labels()
    assert (x.shape, x.dtype, labels.shape) == ((10_000, 28, 28, 1), np.uint8, (10_000,))
    # From the original files' bytes: mean grey level and the number of each digit in MNIST's test set.
    np.testing.assert_allclose(x.mean(), 33.79, atol=0.01)
    np.testing.assert_array_equal(np.bincount(labels), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert "tensorflow" not in sys.modules
