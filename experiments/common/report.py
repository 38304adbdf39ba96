"""Tables and figures of experiments: what was measured, next to what the paper printed, with where and how long."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

from experiments.common import cache

mpl.use("Agg")
import matplotlib.pyplot as plt

__all__ = [
    "Column",
    "Row",
    "Table",
    "figure",
    "mean_and_deviation",
    "median_and_range",
    "pictures",
    "tiled",
]

PANELS = 4  # in a line of a figure of images, at the most


def mean_and_deviation(values: np.ndarray, digits: int) -> str:
    """Write the mean +- standard deviation of seeds."""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def median_and_range(values: np.ndarray, digits: int) -> str:
    """Write the median of repeats, and between what they lie."""
    spread = f" ({values.min():.{digits}f} to {values.max():.{digits}f})" if len(values) > 1 else ""
    return f"{np.median(values):.{digits}f}{spread}"


@dataclasses.dataclass(frozen=True)
class Column:
    """One measure of a table.

    Attributes:
        name: key of the measure in each cell's results.
        title: what stands above the column, with the unit.
        digits: digits after the point.
        written: makes the cell of the values and the digits.
    """

    name: str
    title: str
    digits: int = 3
    written: Callable[[np.ndarray, int], str] = mean_and_deviation


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        title: what was measured.
        values: of each measure, one number per seed or repeat.
        paper: the paper's numbers, by measure.
        note: what a reader must know, such as a reduced size.
    """

    title: str
    values: Mapping[str, Sequence[float]]
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    note: str = ""

    @classmethod
    def of(
        cls, title: str, cells: Sequence[Mapping[str, Any]], columns: Sequence[Column], paper: Mapping[str, float] = {}
    ) -> "Row":
        """Return a line of cells, one to a seed, each of which holds some of the columns' measures."""
        return cls(title, {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in columns}, paper)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with what was measured several times in each cell, printed and written as JSON and Markdown.

    Attributes:
        name: of the files, which begins with that of the experiment's module.
        title: one line.
        columns: the measures.
        rows: the lines.
        remarks: sentences below the table.
        counted: what the values of a cell are; stands above their number.
        compared: stands above the numbers to compare with.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()
    counted: str = "seeds"
    compared: str = "paper"

    def __str__(self) -> str:
        """Return the table in Markdown, in columns of equal width."""
        head = ["", *(column.title for column in self.columns), self.counted, self.compared]
        lines = [head, *(self._line(row) for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        bars = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        bars.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        notes = [f"- {row.title}: {row.note}" for row in self.rows if row.note]
        return "\n".join([self.title, "", *bars, *([""] if notes or self.remarks else []), *notes, *self.remarks])

    def write(self, folder: pathlib.Path, details: Mapping[str, Any], *, printed: "Table | None" = None) -> None:
        """Print the table, and write `NAME.json`, with every seed's numbers, and `NAME.md`.

        Args:
            folder: where to; made if it is not there.
            details: what else belongs to the JSON, such as configs.
            printed: the table to print instead, such as one with rows that this machine did not measure.
        """
        print(f"\n{printed or self}\n")
        folder.mkdir(parents=True, exist_ok=True)
        where = cache.machine()
        rows = [dataclasses.asdict(row) for row in self.rows]
        content = {"title": self.title, "machine": where, "rows": rows, **details}
        (folder / f"{self.name}.json").write_text(json.dumps(content, indent=1, default=float) + "\n")
        told = ", ".join(f"{name} {value}" for name, value in where.items())
        (folder / f"{self.name}.md").write_text(f"{self}\n\nMeasured on: {told}.\n")
        print(f"written: {folder / self.name}.{{json,md}}")

    def _line(self, row: Row) -> list[str]:
        cells = [row.title]
        for column in self.columns:
            values = np.asarray(row.values.get(column.name, []), float)
            cells.append(column.written(values, column.digits) if len(values) else "")
        count = max((len(values) for values in row.values.values()), default=0)
        return [*cells, str(count or ""), " / ".join(f"{number:g}" for number in row.paper.values())]


def tiled(images: np.ndarray, across: int) -> np.ndarray:
    """Join images `[n, h, w, c]` to one, so many in a line; one colour comes without its axis."""
    down, (height, width, channels) = len(images) // across, images.shape[1:]
    grid = images[: down * across].reshape(down, across, height, width, channels).swapaxes(1, 2)
    joined = grid.reshape(down * height, across * width, channels)
    return joined if channels == 3 else joined[..., 0]


def pictures(path: pathlib.Path, shown: Mapping[str, Any], across: int = 8) -> None:
    """Draw images under titles, and write the figure.

    Args:
        path: a PNG file.
        shown: bytes `[n, h, w, c]` by title.
        across: images in a line.
    """
    lines = -(-len(shown) // PANELS)
    with figure(path, lines, -(-len(shown) // lines), size=4) as axes:
        for axis in axes.flat:
            axis.axis("off")
        for axis, (title, images) in zip(axes.flat, shown.items(), strict=False):
            axis.imshow(tiled(np.array(images, np.uint8), across), cmap="gray")
            axis.set(title=title)


@contextlib.contextmanager
def figure(path: pathlib.Path, rows: int, columns: int, *, size: float = 3.0) -> Iterator[np.ndarray]:
    """Draw a figure and write it.

    Args:
        path: a PNG file.
        rows: of axes.
        columns: of axes.
        size: of one axes in inches.

    Yields:
        The axes `[rows, columns]`.
    """
    drawn, axes = plt.subplots(
        rows, columns, figsize=(size * columns, size * rows), squeeze=False, layout="constrained"
    )
    try:
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=120)
        print(f"written: {path}")
    finally:
        plt.close(drawn)
