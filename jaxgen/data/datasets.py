"""Datasets from arrays and files, and the protocol that every dataset follows."""

import dataclasses
import pathlib
import zipfile
import zlib
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxgen.data.csv_table import read_csv
from jaxgen.data.parquet_table import read_parquet
from jaxgen.data.validation import check_dataset, from_frame
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
        arrays: arrays `[n, ...]`, or pytrees of arrays with the same n. DataFrames of pandas and polars become arrays
            of floats, without the index of pandas, and a Series an array `[n]` of its dtype. Byte arrays are treated as
            pixels: `uint8` of two or more axes is scaled to [0, 1], `int8` of three or more axes to [-1, 1]. Columns
            `[n]`, such as labels, are left unchanged. Use another dtype for counts.
    """

    arrays: tuple[PyTree, ...]

    def __init__(self, *arrays: PyTree) -> None:
        object.__setattr__(
            self, "arrays", jax.tree.map(from_frame, arrays, is_leaf=lambda node: hasattr(node, "__next__"))
        )

    def __repr__(self) -> str:
        shapes = jax.tree.map(_Shape, self.arrays)
        return f"Arrays({', '.join(map(repr, shapes))})"

    def tables(self) -> tuple[PyTree, ...]:
        """Return the arrays unchanged."""
        return self.arrays


class _Shape:
    """Dtype and shape of an array, in place of its numbers."""

    def __init__(self, leaf: Any) -> None:
        if isinstance(leaf, np.ndarray | jax.Array):
            self._text = f"{leaf.dtype}{list(leaf.shape)}"
        else:  # such as the placeholder of an array in a loaded config
            self._text = repr(leaf) if hasattr(leaf, "shape") else type(leaf).__name__

    def __repr__(self) -> str:
        return self._text


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
        path: an `.npz` file, a `.csv` file of numbers as NumPy, spreadsheets and pandas write them, or a `.parquet`
            file, which needs the extra `parquet`. In a `.csv` file, comments with `#` are skipped, and first columns
            without a name are dropped, as they are the index of pandas.
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
            ModuleNotFoundError: if it is a Parquet file and pyarrow is not installed.
            ValueError: if the file is damaged, has another type, or does not hold numbers, its first line may hold
                either names or numbers, or `name` or `header` is given for a file of another type.
        """
        path = pathlib.Path(self.path).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"there is no file at {path}; give the path of an .npz, .csv or .parquet file.")
        for field, value, suffix in (("name", self.name, ".npz"), ("header", self.header, ".csv")):
            if value is not None and path.suffix.lower() != suffix:
                raise ValueError(f"`{field}` is for {suffix} files (got {value!r} and {path}); leave it out.")
        if path.suffix.lower() == ".npz":
            return (self._read_npz(path),)
        if path.suffix.lower() == ".csv":
            return (read_csv(path, self.header),)
        if path.suffix.lower() in (".parquet", ".pq"):
            return (read_parquet(path),)
        raise ValueError(
            f"`path` must end in .npz, .csv or .parquet (got {path}); convert the file, or read it and pass the arrays "
            "or the DataFrame as data.Arrays(x)."
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
