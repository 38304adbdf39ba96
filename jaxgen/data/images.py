"""Image sets: scikit-learn's digits, and TensorFlow Datasets read without TensorFlow."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
from jaxtyping import Float, Int, Int8, UInt8

__all__ = ["Digits", "Images", "Labeled", "ScaledToTanh", "cache_directory"]

NAMES = ("mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10", "cifar100", "svhn_cropped")
VERSION = 1  # version of the cache's layout; caches of other versions are ignored


@dataclasses.dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels; no download needed."""

    def tables(self) -> tuple[Float[np.ndarray, "n 8 8 1"]]:
        """Return one table: the images `[1797, 8, 8, 1]`, between 0 and 1."""
        from sklearn import datasets

        return (datasets.load_digits().images[..., None].astype(np.float32) / 16,)

    def labels(self) -> Int[np.ndarray, " n"]:
        """Return the labels `[1797]`, 0 to 9."""
        from sklearn import datasets

        return datasets.load_digits().target


@dataclasses.dataclass(frozen=True)
class Images:
    """Image set of TensorFlow Datasets.

    The first use decodes it into a cache of NumPy arrays. Later uses memory-map the cache and no longer need TensorFlow
    Datasets. Images are as TensorFlow Datasets has them: those of `emnist/letters` are transposed.

    Attributes:
        name: `mnist`, `fashion_mnist`, `kmnist`, `emnist/letters`, `cifar10`, `cifar100` or `svhn_cropped`.
        split: `train` or `test`.
    """

    name: str
    split: str = "train"

    def tables(self) -> tuple[UInt8[np.ndarray, "n height width channels"]]:
        """Return one table: the images as `uint8`, which a training step gets in [0, 1].

        Raises:
            FileNotFoundError: if the set is neither cached nor prepared.
            ValueError: if the name or the split is unknown, or the cache is damaged.
        """
        return (self._load("image"),)

    def labels(self) -> Int[np.ndarray, " n"]:
        """Return the labels `[n]`; raises the errors of `tables`."""
        return self._load("label")

    def _load(self, column: str) -> np.ndarray:
        if self.name not in NAMES:
            raise ValueError(f"`name` must be one of {', '.join(NAMES)} (got {self.name!r}).")
        if self.split not in ("train", "test"):
            raise ValueError(f"`split` must be 'train' or 'test' (got {self.split!r}).")
        folder = cache_directory() / self.name.replace("/", "-") / f"{self.split}-v{VERSION}"
        if not folder.exists():
            _write(folder, _decode(self.name, self.split))
        return _read(folder, column)


@dataclasses.dataclass(frozen=True)
class Labeled:
    """Image set with labels: pairs of an image and its label.

    Attributes:
        images: the image set.
    """

    images: Digits | Images

    def tables(self) -> tuple[tuple[np.ndarray, Int[np.ndarray, " n"]]]:
        """Return one table: a pair of images and labels; raises the errors of `images.tables`."""
        return ((self.images.tables()[0], self.images.labels()),)


@dataclasses.dataclass(frozen=True)
class ScaledToTanh:
    """Image set scaled to [-1, 1], the range of generators that end in a tanh.

    Attributes:
        images: the image set.
    """

    images: Images | Digits

    def tables(self) -> tuple[Int8[np.ndarray, "n height width channels"]]:
        """Return one table: the images as `int8`, which a training step gets in [-1, 1]."""
        (x,) = self.images.tables()
        if x.dtype != np.uint8:  # `Digits` are floats
            x = np.round(x * 255).astype(np.uint8)
        return ((x ^ 128).view(np.int8),)


def cache_directory() -> pathlib.Path:
    """Return the directory of decoded image sets: `$JAXGEN_CACHE`, or `~/.cache/jaxgen`."""
    return pathlib.Path(os.environ.get("JAXGEN_CACHE", "~/.cache/jaxgen")).expanduser()


def _decode(name: str, split: str) -> dict[str, np.ndarray]:
    """Read a prepared set through `tfds.data_source`, which needs no TensorFlow."""
    message = (
        f"{name} must be prepared once: run `python -m jaxgen.data.prepare {name}` with network access and after "
        "`pip install 'jaxgen[prepare]'`, or set TFDS_DATA_DIR to a folder where it is prepared as array_record."
    )
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise FileNotFoundError(message) from error
    try:
        builder = tfds.builder(name, file_format="array_record")
        if not builder.is_prepared():
            raise FileNotFoundError(message)
        source = builder.as_data_source(split=split)
    except (ImportError, tfds.core.DatasetNotFoundError) as error:
        raise FileNotFoundError(message) from error
    columns: dict[str, np.ndarray] = {}
    for position, row in enumerate(source):
        if not columns:
            columns = {
                "image": np.empty((len(source), *np.shape(row["image"])), np.uint8),
                "label": np.empty(len(source), np.int32),
            }
        columns["image"][position], columns["label"][position] = row["image"], row["label"]
    return columns


def _write(folder: pathlib.Path, columns: dict[str, np.ndarray]) -> None:
    """Write a cache atomically: into a temporary folder, which is then renamed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        manifest = {}
        for name, column in columns.items():
            np.save(scratch / f"{name}.npy", column)
            size = (scratch / f"{name}.npy").stat().st_size
            manifest[name] = {"bytes": size, "probe": _probe(scratch / f"{name}.npy")}
        (scratch / "manifest.json").write_text(json.dumps(manifest))
        scratch.chmod(0o755)  # other users may share the cache
        try:
            scratch.rename(folder)
        except OSError:  # another process wrote the cache first
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _read(folder: pathlib.Path, column: str) -> np.ndarray:
    """Memory-map one array of a cache, after comparing its size and digest with the manifest."""
    path = folder / f"{column}.npy"
    try:
        expected = json.loads((folder / "manifest.json").read_text())[column]
        if expected != {"bytes": path.stat().st_size, "probe": _probe(path)}:
            raise ValueError("its size or its digest differs from the manifest")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"the image cache {folder} is damaged ({error}); delete that folder and load again."
        ) from error


def _probe(path: pathlib.Path) -> str:
    """Return the SHA-256 of 64 evenly spaced blocks of a file, which takes milliseconds."""
    block, size, digest = 4096, path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        for start in np.linspace(0, max(size - block, 0), 64).astype(int):
            file.seek(start)
            digest.update(file.read(block))
    return digest.hexdigest()
