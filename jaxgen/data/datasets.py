"""Tables: the data that training draws rows from, and the checks that they can be trained on."""

import dataclasses
import pathlib
import zipfile
import zlib
from typing import Protocol, runtime_checkable

import numpy as np

from jaxgen.data.validation import check_dataset
from jaxgen.types import PyTree

__all__ = ["Arrays", "Dataset", "Table", "Zip"]


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
            `data.ScaledToTanh`; only a column `[n]`, such as labels, stays whole: give counts in another dtype.
    """

    arrays: tuple[PyTree, ...]

    def __init__(self, *arrays: PyTree) -> None:
        object.__setattr__(self, "arrays", arrays)

    def tables(self) -> tuple[PyTree, ...]:
        """Return the arrays as they were given."""
        return self.arrays


@dataclasses.dataclass(frozen=True)
class Zip:
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
