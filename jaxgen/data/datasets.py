"""Datasets from arrays and files, and the protocol that every dataset follows."""

import dataclasses
import pathlib
import zipfile
import zlib
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.data.csv_table import read_csv
from jaxgen.data.validation import check_dataset
from jaxgen.types import PyTree

__all__ = ["Arrays", "Dataset", "Table", "Zip"]


@runtime_checkable
class Dataset(Protocol):
    """Protocol of datasets. Make yours a frozen dataclass, so that a config can store it."""

    def tables(self) -> tuple[PyTree, ...]:
        """Return the tables: pytrees of arrays `[n, ...]`, one n per table; each is shuffled separately."""
        ...


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class Arrays:
    """In-memory arrays, one table each.

    Attributes:
        arrays: arrays `[n, ...]`, or pytrees of arrays with the same n. DataFrames and Series of pandas and polars are
            converted to arrays, without the index of pandas. Byte arrays are treated as pixels: `uint8` of
            two or more axes is scaled to [0, 1], `int8` of three or more axes to [-1, 1]. Columns `[n]`, such as
            labels, are left unchanged. Use another dtype for counts.
    """

    arrays: tuple[PyTree, ...]

    def __init__(self, *arrays: PyTree) -> None:
        object.__setattr__(
            self, "arrays", jax.tree.map(_from_frame, arrays, is_leaf=lambda node: hasattr(node, "__next__"))
        )

    def tables(self) -> tuple[PyTree, ...]:
        """Return the arrays unchanged."""
        return self.arrays


@dataclasses.dataclass(frozen=True)
class Zip:
    """Tables of several datasets in one, such as data and negatives, or source and target.

    Attributes:
        datasets: the datasets, in the order of their tables.
    """

    datasets: tuple[Dataset, ...]

    def __post_init__(self) -> None:
        for number, dataset in enumerate(self.datasets):
            check_dataset(f"dataset {number}", dataset)

    def tables(self) -> tuple[PyTree, ...]:
        """Return the tables of all datasets; raises the errors of their `tables`."""
        return tuple(table for dataset in self.datasets for table in dataset.tables())


@dataclasses.dataclass(frozen=True)
class Table:
    """Table of numbers from a file.

    Attributes:
        path: an `.npz` file, or a `.csv` file of numbers as NumPy, spreadsheets and pandas write them. Comments with
            `#` are skipped; first columns without a name are the index of pandas, and are dropped.
        name: name of the array in an `.npz` file; optional if the file holds one array.
        header: whether the first line of a `.csv` file holds names; None infers it, and raises if it may hold either.
    """

    path: str
    name: str | None = None
    header: bool | None = None

    def tables(self) -> tuple[np.ndarray]:
        """Read the file.

        Returns:
            One table, an array `[n, ...]`.

        Raises:
            FileNotFoundError: if the file does not exist.
            ValueError: if the file is damaged, has another type, or does not hold numbers, or its first line may hold
                either names or numbers.
        """
        path = pathlib.Path(self.path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no file at {path}; give the path of an .npz or .csv file.")
        if path.suffix == ".npz":
            return (self._read_npz(path),)
        if path.suffix == ".csv":
            return (read_csv(path, self.header),)
        raise ValueError(
            f"`path` must end in .npz or .csv (got {path}); convert the file, or read it and pass the arrays or the "
            "DataFrame as data.Arrays(x)."
        )

    def _read_npz(self, path: pathlib.Path) -> np.ndarray:
        try:
            with zipfile.ZipFile(path), np.load(path, allow_pickle=False) as arrays:
                names = arrays.files
                name = self.name or (names[0] if len(names) == 1 else None)
                if name in names:
                    return arrays[name]
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
            raise ValueError(
                f"{path} must be a complete .npz file of numbers (got: {error}); write it again."
            ) from error
        raise ValueError(f"`name` must be one of the arrays {names} in {path} (got {self.name!r}).")


def _from_frame(leaf: Any) -> Any:
    """Convert a DataFrame or Series of pandas or polars, neither of which is imported, to an array; keep others."""
    if not hasattr(leaf, "to_numpy"):
        return leaf
    array = leaf.to_numpy()
    if array.dtype == object and hasattr(leaf, "columns"):  # a column of text, or of numbers with missing ones
        try:
            return np.stack([np.asarray(leaf[name].to_numpy(), np.float64) for name in leaf.columns], 1)
        except (TypeError, ValueError) as error:
            kinds = {str(name): str(leaf[name].dtype) for name in leaf.columns}
            raise TypeError(
                f"all columns of a DataFrame must hold numbers without missing ones (got {kinds}); drop, encode or "
                "impute the others."
            ) from error
    return array
