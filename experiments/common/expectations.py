"""Expected measures of a setting: an interval from committed runs of several seeds, and whether a new run is inside."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.common import report

__all__ = ["Expectation"]

COVERAGE = 0.95  # probability that one further run falls inside


@dataclasses.dataclass(frozen=True)
class Expectation:
    """Measures of runs that differ in their seed, each with a 95% prediction interval for one further run.

    The interval is Student's for one more draw from a normal distribution; on logarithms where all values are
    positive, so that it stays positive.

    Attributes:
        columns: the measures.
        values: one number per seed, by the measure's name.
        first: the first seed; the others follow it.
        steps: training steps of each run.
        machine: where the runs were measured.
    """

    columns: Sequence[report.Column]
    values: Mapping[str, Sequence[float]]
    first_seed: int
    steps: int
    machine: str

    @classmethod
    def read(cls, file: pathlib.Path, title: str, columns: Sequence[report.Column]) -> "Expectation":
        """Read what a committed table measured in one of its rows.

        Args:
            file: JSON that `report.Table.write` wrote, with `steps` and `first` among its details.
            title: of the row.
            columns: the measures to expect.

        Returns:
            The expectation.

        Raises:
            ValueError: if the row is missing, or has fewer than three seeds.
        """
        table = json.loads(file.read_text())
        rows = {row["title"]: row["values"] for row in table["rows"]}
        if title not in rows:
            raise ValueError(f"{file} must hold a row `{title}`; got {', '.join(rows)}.")
        values = {column.name: tuple(rows[title][column.name]) for column in columns}
        if (count := min(map(len, values.values()))) < 3:
            raise ValueError(f"an interval needs three seeds or more (got {count} in {file}); run more seeds.")
        return cls(tuple(columns), values, table["first"], table["steps"], table["machine"]["device"])

    def interval(self, measure: str) -> tuple[float, float]:
        """Return the lower and the upper end for one measure, by its name."""
        from scipy import stats  # takes half a second to import

        values = np.asarray(self.values[measure], float)
        positive = bool((values > 0).all())
        drawn = np.log(values) if positive else values
        quantile = stats.t.ppf((1 + COVERAGE) / 2, len(drawn) - 1)
        half = quantile * drawn.std(ddof=1) * np.sqrt(1 + 1 / len(drawn))
        low, high = drawn.mean() - half, drawn.mean() + half
        return (float(np.exp(low)), float(np.exp(high))) if positive else (float(low), float(high))

    def __str__(self) -> str:
        """Return one line: every interval, its seeds, steps and machine."""
        told = " and ".join(f"{column.title} {self._written(column)}" for column in self.columns)
        count = min(map(len, self.values.values()))
        return (
            f"expected after {self.steps:,} steps: {told} ({COVERAGE:.0%} prediction intervals from seeds "
            f"{self.first_seed} to {self.first_seed + count - 1} on {self.machine})"
        )

    def verdict(self, found: Mapping[str, float]) -> list[str]:
        """Return one line for each measure, which says whether it is inside its interval.

        Args:
            found: the measures of one run, by name; others are ignored.
        """
        lines = []
        for column in self.columns:
            low, high = self.interval(column.name)
            value = found[column.name]
            place = "inside" if low <= value <= high else "OUTSIDE"
            lines.append(f"{column.title} {value:.{column.digits}f}: {place} the expected {self._written(column)}")
        return lines

    def _written(self, column: report.Column) -> str:
        low, high = self.interval(column.name)
        return f"{low:.{column.digits}f} to {high:.{column.digits}f}"
