"""Tables and figures of experiments: measured numbers next to the paper's, and the machine they were measured on."""

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

PANELS = 4  # most panels in a row of a figure of images


def mean_and_std(values: np.ndarray, digits: int) -> str:
    """Format the mean and, of two values or more, the sample standard deviation."""
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def median_and_range(values: np.ndarray, digits: int) -> str:
    """Format the median and, of two values or more, the range."""
    spread = f" ({values.min():.{digits}f} to {values.max():.{digits}f})" if len(values) > 1 else ""
    return f"{np.median(values):.{digits}f}{spread}"


@dataclasses.dataclass(frozen=True)
class Column:
    """One measure of a table."""

    name: str  # key of the measure in each cell's results
    title: str  # heading of the column, with the unit
    digits: int = 3  # decimal places
    format: Callable[[np.ndarray, int], str] = mean_and_std  # of the values and `digits`


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table."""

    title: str  # what was measured
    values: Mapping[str, Sequence[float]]  # by measure, one number per seed or repeat
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)  # the paper's numbers, by measure
    note: str = ""  # a remark on this row, such as a reduced size; printed below the table

    @classmethod
    def of(
        cls, title: str, cells: Sequence[Mapping[str, Any]], columns: Sequence[Column], paper: Mapping[str, float] = {}
    ) -> "Row":
        """Collect the columns' measures from the cells of all seeds; a cell may lack some of them."""
        return cls(title, {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in columns}, paper)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose cells hold repeated measurements, printed and written as JSON and Markdown."""

    name: str  # file name without its ending; begins with the name of the experiment's module
    title: str  # one line
    columns: Sequence[Column]  # measures
    rows: Sequence[Row]  # rows
    remarks: Sequence[str] = ()  # sentences below the table
    count_title: str = "seeds"  # heading of the column with the number of values in a cell
    paper_title: str = "paper"  # heading of the column with the numbers to compare with
    # further entries of the JSON file, such as configs
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        """Return the table in Markdown, its columns padded to equal widths."""
        head = ["", *(column.title for column in self.columns), self.count_title, self.paper_title]
        lines = [head, *(self._line(row) for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
        bars = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        bars.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        notes = [f"- {row.title}: {row.note}" for row in self.rows if row.note]
        return "\n".join([self.title, "", *bars, *([""] if notes or self.remarks else []), *notes, *self.remarks])

    def write(self, folder: pathlib.Path, *, printed: "Table | None" = None) -> None:
        """Print the table, or another in its place; write `NAME.json` with the numbers of every seed, and `NAME.md`."""
        print(f"\n{printed or self}\n")
        folder.mkdir(parents=True, exist_ok=True)
        machine, rows = cache.machine(), [dataclasses.asdict(row) for row in self.rows]
        content = {"title": self.title, "machine": machine, "rows": rows, **self.details}
        (folder / f"{self.name}.json").write_text(json.dumps(content, indent=1, default=float) + "\n")
        measured_on = ", ".join(f"{name} {value}" for name, value in machine.items())
        (folder / f"{self.name}.md").write_text(f"{self}\n\nMeasured on: {measured_on}.\n")
        print(f"written: {folder / self.name}.{{json,md}}")

    def _line(self, row: Row) -> list[str]:
        cells = [row.title]
        for column in self.columns:
            values = np.asarray(row.values.get(column.name, []), float)
            cells.append(column.format(values, column.digits) if len(values) else "")
        count = max((len(values) for values in row.values.values()), default=0)
        return [*cells, str(count or ""), " / ".join(f"{number:g}" for number in row.paper.values())]


def tiled(images: np.ndarray, across: int) -> np.ndarray:
    """Join images `[n, h, w, c]` into one, `across` in each row: `[H, W, 3]`, or `[H, W]` of one channel."""
    down, (height, width, channels) = len(images) // across, images.shape[1:]
    grid = images[: down * across].reshape(down, across, height, width, channels).swapaxes(1, 2)
    joined = grid.reshape(down * height, across * width, channels)
    return joined if channels == 3 else joined[..., 0]


def image_panels(path: pathlib.Path, shown: Mapping[str, Any], across: int = 8) -> None:
    """Draw one panel of tiled images for each title, and write the figure.

    Args:
        path: a PNG file.
        shown: uint8 images `[n, h, w, c]` by title.
        across: images in each row of a panel.
    """
    lines = -(-len(shown) // PANELS)
    with figure(path, lines, -(-len(shown) // lines), size=4) as axes:
        for axis, (title, images) in zip(axes.flat, shown.items(), strict=False):
            axis.imshow(tiled(np.array(images, np.uint8), across), cmap="gray")
            axis.set(title=title, xticks=[], yticks=[])


@contextlib.contextmanager
def figure(path: pathlib.Path, rows: int, columns: int, *, size: float = 3.0) -> Iterator[np.ndarray]:
    """Open a figure, and write it without its empty axes unless drawing raises.

    Args:
        path: a PNG file.
        rows: rows of axes.
        columns: columns of axes.
        size: width and height of each axes, in inches.

    Yields:
        The axes `[rows, columns]`.
    """
    drawn, axes = plt.subplots(
        rows, columns, figsize=(size * columns, size * rows), squeeze=False, layout="constrained"
    )
    try:
        yield axes
        for axis in axes.flat:
            if not axis.has_data():
                axis.axis("off")
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn.savefig(path, dpi=120)
        print(f"written: {path}")
    finally:
        plt.close(drawn)
