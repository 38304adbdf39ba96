"""Tables of numbers from CSV files, as spreadsheets, NumPy and pandas write them."""

import csv
import itertools
import pathlib
import re
from collections.abc import Iterator

import numpy as np

__all__ = ["read_csv"]

_MISSING = {"", "na", "n/a", "nan", "null", "none", "?", "-"}  # cells of missing numbers, which are no names
_BOOLEANS = {"True": 1.0, "False": 0.0}  # as pandas writes them
_PREVIEW = 20  # lines that are compared with the first one
_Line = tuple[int, list[str]]


def read_csv(path: pathlib.Path, header: bool | None = None) -> np.ndarray:
    """Read a CSV file of numbers.

    Empty lines and lines that begin with `#` are skipped. First columns without a name, or named `Unnamed: 0`, are the
    index that pandas writes, and are dropped. `True` and `False` are read as 1 and 0.

    Args:
        path: the file.
        header: whether the first line holds names; None infers it.

    Returns:
        Numbers `[n, d]`.

    Raises:
        ValueError: if a cell is not a number, the lines have unequal lengths, the first line may hold either names or
            numbers and `header` is None, or the file is not in UTF-8 with commas between cells.
    """
    try:
        return _read(path, header)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be a text file in UTF-8 (got: {error}); write it again, or read it with "
            "pandas.read_csv(path, encoding=...) and pass data.Arrays(frame)."
        ) from error


def _read(path: pathlib.Path, header: bool | None) -> np.ndarray:
    preview = [row for _, row in itertools.islice(_lines(path), _PREVIEW)]
    if not preview:
        raise ValueError(f"{path} must hold numbers (got no lines); write it again.")
    for separator in (";", "\t"):
        if any(separator in cell for row in preview for cell in row):
            raise ValueError(
                f"cells of {path} must be separated by commas (got {separator!r} in the first lines); write it again, "
                f"or read it with pandas.read_csv(path, sep={separator!r}) and pass data.Arrays(frame)."
            )
    names = preview[0] if (_has_names(path, preview) if header is None else header) else []
    index = sum(1 for _ in itertools.takewhile(lambda name: not name or name.startswith("Unnamed: "), names))
    width = len(preview[0]) - index
    lines = itertools.islice(_lines(path), bool(names), None)
    try:
        cells = itertools.chain.from_iterable(_numbers(line, index, width) for line in lines)
        return np.fromiter(cells, np.float64).reshape(-1, width)
    except _NotNumbers as error:
        raise ValueError(_message(path, error, names, preview[bool(names) :])) from error


def _lines(path: pathlib.Path) -> Iterator[_Line]:
    """Yield the number and the cells of each line that holds a row."""
    count = 0

    def physical() -> Iterator[str]:
        nonlocal count
        with path.open(encoding="utf-8-sig", newline="") as file:  # Excel writes a byte order mark
            for line in file:
                count += 1
                if line.strip() and not line.startswith("#"):
                    yield line

    for row in csv.reader(physical()):
        yield count, [cell.strip() for cell in row]


class _NotNumbers(ValueError):
    """A line that does not hold numbers: its number, what it holds, and the column of a cell that is not a number."""

    def __init__(self, line: int, got: str, column: int | None = None) -> None:
        super().__init__(got)
        self.line, self.got, self.column = line, got, column


def _numbers(line: _Line, index: int, width: int) -> list[float]:
    number, row = line
    cells = []
    for column, cell in enumerate(row[index:], index):
        try:
            cells.append(_BOOLEANS[cell] if cell in _BOOLEANS else float(cell))
        except ValueError:
            raise _NotNumbers(number, f"{cell[:60]!r}", column) from None
    if len(cells) != width:
        raise _NotNumbers(number, f"{len(cells)} instead of {width} numbers")
    return cells


def _message(path: pathlib.Path, error: _NotNumbers, names: list[str], rows: list[list[str]]) -> str:
    """Return the message for a line that does not hold numbers; a column of text is not the fault of one line."""
    if error.column is None:
        return f"{path} must hold only numbers and commas (got in line {error.line}: {error}); fix or remove that line."
    named = error.column < len(names)
    column = repr(names[error.column]) if named else str(error.column)
    cells = [row[error.column] for row in rows if error.column < len(row)]
    text = len(cells) > 1 and not any(_is_number(cell) or cell in _BOOLEANS for cell in cells)
    remedy = "drop that column or encode it as numbers" if text else "fix or remove that line"
    return f"{path} must hold only numbers and commas (got {error} in line {error.line}, column {column}); {remedy}."


def _has_names(path: pathlib.Path, preview: list[list[str]]) -> bool:
    """Return whether the first line holds names; raise ValueError if it may hold either."""
    first, others = preview[0], preview[1:]
    indexed = first[0] == "" and len(first) > 1
    rest = first[1:] if indexed else first
    words = [cell for cell in rest if not _is_number(cell) and cell.lower() not in _MISSING and cell not in _BOOLEANS]
    integers = [int(cell) for cell in rest if re.fullmatch(r"\d+", cell)]
    numbers = sum(map(_is_number, rest))
    only_integers = numbers == len(integers)
    counted = integers in (list(range(len(integers))), list(range(1, len(integers) + 1)))
    if words and (not numbers or (only_integers and counted)):
        return True
    if indexed and not words and only_integers and len(set(integers)) == len(rest):
        return all(row[0] != "" for row in others)
    years = len(integers) > 1 and integers == sorted(set(integers)) and 1800 <= integers[0] <= integers[-1] < 2200
    above_decimals = bool(others) and all(re.search(r"[.eE]", cell) for row in others for cell in row)
    ambiguous = bool(words) or (len(integers) == len(rest) == len(set(integers)))
    if ambiguous and only_integers and (words or counted or years or above_decimals):
        raise ValueError(
            f"the first line of {path} may hold names or numbers (got {', '.join(first)[:60]!r}); set header=True or "
            "header=False, as in data.Table(path, header=True)."
        )
    return False


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.lower() not in _MISSING
