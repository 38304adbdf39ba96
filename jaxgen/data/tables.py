"""Tables: the data that training draws rows from, and the checks that they can be trained on."""

import dataclasses
import hashlib
import pathlib
import zipfile
import zlib
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.data.batches import fractions
from jaxgen.types import PyTree

__all__ = ["Arrays", "Dataset", "Table", "Together", "check_dataset", "checked", "fingerprint", "row_specs"]

_KINDS = "fiub"  # floating point, integers, unsigned integers, booleans


@runtime_checkable
class Dataset(Protocol):
    """Anything with tables; a frozen dataclass, so that a config can name it."""

    def tables(self) -> tuple[PyTree, ...]:
        """Return the tables: pytrees of arrays that share their leading axis; each is shuffled on its own."""
        ...


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Arrays:
    """The user's own arrays, one table each.

    Attributes:
        arrays: tables; an array `[n, ...]`, or a pytree of arrays that share their leading axis. `uint8` is taken for
            pixels, 0 to 255, which a step sees as fractions of 255, and `int8` with three axes or more for those of
            `data.Signed`; only a column `[n]`, such as labels, stays whole: give counts in another dtype.
    """

    arrays: tuple[PyTree, ...]

    def __init__(self, *arrays: PyTree) -> None:
        object.__setattr__(self, "arrays", arrays)

    def tables(self) -> tuple[PyTree, ...]:
        """Return the arrays as they were given."""
        return self.arrays


@dataclasses.dataclass(frozen=True)
class Together:
    """The tables of several datasets, such as data and negatives, or source and target.

    Attributes:
        datasets: in their order.
    """

    datasets: tuple[Dataset, ...]

    def __post_init__(self) -> None:
        for number, dataset in enumerate(self.datasets):
            check_dataset(f"dataset {number}", dataset)

    def tables(self) -> tuple[PyTree, ...]:
        """Return all of their tables; raises as theirs do."""
        return tuple(table for dataset in self.datasets for table in dataset.tables())


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of numbers in a file.

    Attributes:
        path: an `.npz` file, or a `.csv` file of numbers with at most one line of names above them.
        name: which array of the `.npz` file; may be left out where it holds one.
    """

    path: str
    name: str | None = None

    def tables(self) -> tuple[np.ndarray]:
        """Read the file.

        Returns:
            One table `[n, ...]`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is damaged, or cannot be read as numbers.
        """
        path = pathlib.Path(self.path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}; give the path of an .npz or .csv file.")
        if path.suffix == ".npz":
            return (self._read_npz(path),)
        if path.suffix == ".csv":
            return (_read_csv(path),)
        raise ValueError(
            f"{path} ends in {path.suffix!r}; give an .npz or .csv file, or your arrays as data.Arrays(x)."
        )

    def _read_npz(self, path: pathlib.Path) -> np.ndarray:
        try:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
                names = arrays.files
                name = self.name or (names[0] if len(names) == 1 else None)
                if name in names:
                    return arrays[name]
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise ValueError(f"{path} is no whole .npz file of numbers ({error}); write it anew.") from error
        raise ValueError(f"{path} holds {names}, not {self.name}; give `name` as one of them.")


def check_dataset(where: str, dataset: Any) -> None:
    """Check that this is something with tables.

    Args:
        where: what it is called.
        dataset: what was given.

    Raises:
        TypeError: if it has none, or is a class.
    """
    if isinstance(dataset, type):
        raise TypeError(f"{where} is the class {dataset.__name__}; call it, as {dataset.__name__}().")
    if not hasattr(dataset, "tables"):
        raise TypeError(f"{where} is {type(dataset).__name__}, which has no tables; wrap arrays as data.Arrays(x).")


def checked(tables: Any, batch_size: int) -> tuple[PyTree, ...]:
    """Return tables ready for the device, or say in one sentence why they cannot be trained on.

    Args:
        tables: what `Dataset.tables` returned.
        batch_size: rows of a minibatch.

    Returns:
        The tables, floating-point leaves in JAX's default precision.

    Raises:
        TypeError: if an array holds something other than numbers.
        ValueError: if a table is empty, ragged, not finite, or smaller than a minibatch.
    """
    if not isinstance(tables, tuple) or not tables:
        raise TypeError(f"the data's tables came as {type(tables).__name__}; return a tuple of one table or more.")
    return tuple(_checked_table(f"table {number}", table, batch_size) for number, table in enumerate(tables))


def row_specs(tables: tuple[PyTree, ...]) -> tuple[PyTree, ...]:
    """Return shape and dtype of one row of each table, as a step sees it."""

    def spec(leaf: np.ndarray) -> jax.ShapeDtypeStruct:
        rows = jax.eval_shape(fractions, jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype))
        return jax.ShapeDtypeStruct(leaf.shape[1:], rows.dtype)

    return tuple(jax.tree.map(spec, table) for table in tables)


def fingerprint(tables: tuple[PyTree, ...]) -> str:
    """Return the SHA-256 of every byte of the tables, with their shapes and dtypes."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tables):
        digest.update(f"{leaf.shape} {leaf.dtype}".encode())
        digest.update(np.ascontiguousarray(leaf).data if leaf.size else b"")
    return digest.hexdigest()


def _checked_table(where: str, table: PyTree, batch_size: int) -> PyTree:
    leaves = [_numbers(where, leaf) for leaf in jax.tree.leaves(table)]
    if not leaves or any(leaf.ndim == 0 for leaf in leaves):
        raise ValueError(f"{where} has no rows; give arrays [n, ...] with the rows along the first axis.")
    lengths = sorted({leaf.shape[0] for leaf in leaves})
    if len(lengths) > 1:
        raise ValueError(f"the columns of {where} have {lengths} rows; give all of them the same number.")
    if 0 in lengths or any(leaf.size == 0 for leaf in leaves):
        raise ValueError(f"{where} is empty; give at least one row.")
    if batch_size > lengths[0]:
        raise ValueError(f"a batch of {batch_size} is larger than {where} of {lengths[0]} rows; choose a smaller one.")
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            bad = np.unique(np.nonzero(~np.isfinite(leaf))[0])
            raise ValueError(
                f"{where} holds NaN or infinite numbers in {len(bad)} of {len(leaf)} rows, the first of them row "
                f"{bad[0]}; remove or fill those rows."
            )
    return jax.tree.unflatten(jax.tree.structure(table), leaves)


def _numbers(where: str, leaf: Any) -> np.ndarray:
    try:
        array = np.asarray(leaf)
    except ValueError:  # rows of unequal lengths
        array = np.empty(0, object)
    if array.dtype.kind not in _KINDS:
        raise TypeError(
            f"{where} holds {array.dtype} where numbers are needed; convert it to floats, integers or bytes."
        )
    return array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)


def _read_csv(path: pathlib.Path) -> np.ndarray:
    with path.open(encoding="utf-8-sig") as lines:  # Excel begins its files with a mark
        first = next(lines, "").split(",")
        names = not any(_is_number(cell) for cell in first)
    try:
        return np.loadtxt(path, delimiter=",", skiprows=int(names), ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise ValueError(f"{path} is no table of numbers ({error}); leave numbers and commas alone in it.") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
