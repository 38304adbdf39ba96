"""Image sets: by name through TensorFlow Datasets, read without TensorFlow and kept as bytes; and an embedded one."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
from jaxtyping import Float, Int, Int8, UInt8

__all__ = ["Digits", "Images", "Labelled", "ScaledToTanh", "cache_directory"]

NAMES = ("mnist", "fashion_mnist", "kmnist", "emnist/letters", "cifar10", "cifar100", "svhn_cropped")
VERSION = 1  # of the cache's layout; another one is decoded anew


@dataclasses.dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 handwritten digits of 8 by 8 pixels, which come with it and need no download."""

    def tables(self) -> tuple[Float[np.ndarray, "n 8 8 1"]]:
        """Return the images `[1797, 8, 8, 1]` between 0 and 1 as the one table."""
        from sklearn import datasets

        return (datasets.load_digits().images[..., None].astype(np.float32) / 16,)

    def labels(self) -> Int[np.ndarray, " n"]:
        """Return the digits `[1797]`."""
        from sklearn import datasets

        return datasets.load_digits().target


@dataclasses.dataclass(frozen=True)
class Images:
    """An image set of TensorFlow Datasets.

    The first use decodes it into a cache of NumPy arrays; later ones map that cache, which is enough by itself.
    Images come as TensorFlow Datasets has them: those of `emnist/letters` are transposed.

    Attributes:
        name: `mnist`, `fashion_mnist`, `kmnist`, `emnist/letters`, `cifar10`, `cifar100` or `svhn_cropped`.
        split: `train` or `test`.
    """

    name: str
    split: str = "train"

    def tables(self) -> tuple[UInt8[np.ndarray, "n height width channels"]]:
        """Return the images as the one table, in bytes; a training step sees them between 0 and 1.

        Raises:
            FileNotFoundError: if the set is neither cached nor prepared.
            ValueError: if the name or the split is unknown, or the cache is damaged.
        """
        return (self._load("image"),)

    def labels(self) -> Int[np.ndarray, " n"]:
        """Return the labels `[n]`; raises as `tables` does."""
        return self._load("label")

    def _load(self, column: str) -> np.ndarray:
        if self.name not in NAMES:
            raise ValueError(f"there is no image set {self.name!r}; choose one of {', '.join(NAMES)}.")
        if self.split not in ("train", "test"):
            raise ValueError(f"{self.name} has no split {self.split!r}; choose 'train' or 'test'.")
        folder = cache_directory() / self.name.replace("/", "-") / f"{self.split}-v{VERSION}"
        if not folder.exists():
            _write(folder, _decode(self.name, self.split))
        return _read(folder, column)


@dataclasses.dataclass(frozen=True)
class Labelled:
    """An image set whose rows come with their labels.

    Attributes:
        images: the set.
    """

    images: Digits | Images

    def tables(self) -> tuple[tuple[np.ndarray, Int[np.ndarray, " n"]]]:
        """Return images and labels as the one table, a pair; raises as the set's own `tables` does."""
        return ((self.images.tables()[0], self.images.labels()),)


@dataclasses.dataclass(frozen=True)
class ScaledToTanh:
    """An image set between -1 and 1, as generators that end in a hyperbolic tangent make images.

    Attributes:
        images: the set, kept in bytes.
    """

    images: Images | Digits

    def tables(self) -> tuple[Int8[np.ndarray, "n height width channels"]]:
        """Return the images as the one table, in bytes with a sign; raises as the set's own `tables` does."""
        (x,) = self.images.tables()
        if x.dtype != np.uint8:  # those of `Digits`
            x = np.round(x * 255).astype(np.uint8)
        return ((x ^ 128).view(np.int8),)


def cache_directory() -> pathlib.Path:
    """Return where decoded image sets are kept: `JAXGEN_CACHE`, or `~/.cache/jaxgen`."""
    return pathlib.Path(os.environ.get("JAXGEN_CACHE", "~/.cache/jaxgen")).expanduser()


def _decode(name: str, split: str) -> dict[str, np.ndarray]:
    """Read a prepared set through `tfds.data_source`, which needs no TensorFlow."""
    how = (
        f"{name} is not prepared: on a machine with network and `pip install 'jaxgen[prepare]'`, run "
        f"`python -m jaxgen.data.prepare {name}` once, or point TFDS_DATA_DIR to where it is prepared as array_record."
    )
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise FileNotFoundError(how) from error
    try:
        builder = tfds.builder(name, file_format="array_record")
        if not builder.is_prepared():
            raise FileNotFoundError(how)
        source = builder.as_data_source(split=split)
    except (ImportError, tfds.core.DatasetNotFoundError) as error:
        raise FileNotFoundError(how) from error
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
    """Write a cache whole or not at all: under another name first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=folder.name, dir=folder.parent))
    try:
        manifest = {}
        for name, column in columns.items():
            np.save(scratch / f"{name}.npy", column)
            size = (scratch / f"{name}.npy").stat().st_size
            manifest[name] = {"bytes": size, "probe": _probe(scratch / f"{name}.npy")}
        (scratch / "manifest.json").write_text(json.dumps(manifest))
        scratch.chmod(0o755)  # a cache may be shared
        try:
            scratch.rename(folder)
        except OSError:  # another process was first
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _read(folder: pathlib.Path, column: str) -> np.ndarray:
    """Map one array of a cache, after checking that it is what was written."""
    path = folder / f"{column}.npy"
    try:
        wrote = json.loads((folder / "manifest.json").read_text())[column]
        if wrote != {"bytes": path.stat().st_size, "probe": _probe(path)}:
            raise ValueError("its bytes are not those that were written")
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"the image cache {folder} is damaged ({error}); delete that folder and load again."
        ) from error


def _probe(path: pathlib.Path) -> str:
    """Return the SHA-256 of 64 blocks spread over a file: finds cut and half-written files within milliseconds."""
    block, size, digest = 4096, path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        for start in np.linspace(0, max(size - block, 0), 64).astype(int):
            file.seek(start)
            digest.update(file.read(block))
    return digest.hexdigest()
