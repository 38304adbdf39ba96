"""Contributions of columns to outlier scores: which column makes a row an outlier."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.types import Float

__all__ = ["Explanation", "contributions"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Contribution of each column to the score of each row.

    Attributes:
        columns: names of the columns, `d` of them.
        values: contributions `[n, d]`, in units of the score: how much lower the score is after replacing the value of
            this column alone by the best of a few typical ones. 0 or below: no typical value would be better.
    """

    columns: tuple[str, ...]
    values: Float[np.ndarray, "n d"]

    def top(self) -> list[str]:
        """Return the name of the column that contributes most to each row, a list of n names."""
        return [self.columns[column] for column in np.argmax(self.values, 1)]

    def plot(self, row: int, axes: Any = None) -> Any:
        """Draw a bar for each column of one row, largest contribution first.

        Args:
            row: number of the row, from 0.
            axes: Matplotlib axes; None draws in a new figure.

        Returns:
            The axes.
        """
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(5, 0.6 + 0.25 * len(self.columns)), layout="constrained").add_subplot()
        order = np.argsort(-self.values[row], kind="stable")[::-1]  # the first bar is drawn at the bottom
        axes.barh([self.columns[column] for column in order], self.values[row, order])
        axes.set_xlabel("contribution to the score")
        return axes

    def __repr__(self) -> str:
        """Return a table: for each of the first 20 rows, the three columns that contribute most."""
        lines = []
        for number, row in enumerate(self.values[:20]):
            best = np.argsort(-row, kind="stable")[:3]
            lines.append(f"row {number}: " + ", ".join(f"{self.columns[column]} {row[column]:+.3g}" for column in best))
        if len(self.values) > 20:
            lines.append(f"... {len(self.values) - 20} more rows")
        return "\n".join(lines)


def contributions(
    score: Callable[[np.ndarray], np.ndarray], x: Float[np.ndarray, "n d"], typical: Float[np.ndarray, "q d"]
) -> Float[np.ndarray, "n d"]:
    """Compute how much lower the score of a row is with a typical value in one column.

    Args:
        score: maps rows `[n, d]` to scores `[n]`, higher for outliers; it is called `1 + q d` times.
        x: rows `[n, d]`.
        typical: typical values of each column, `[q, d]`.

    Returns:
        Differences `[n, d]`: the score minus the lowest score over the typical values.
    """
    before = score(x)
    values = np.empty(x.shape)
    for column in range(x.shape[1]):
        replaced = x.copy()
        lowest = np.full(len(x), np.inf)
        for value in typical[:, column]:
            replaced[:, column] = value
            lowest = np.minimum(lowest, score(replaced))
        values[:, column] = before - lowest
    return values
