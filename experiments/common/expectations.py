"""Committed tables next to a new run: their rows, and whether its measures are inside the prediction intervals."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.common import report

RESULTS = pathlib.Path(__file__).parents[1] / "results"  # of the committed tables
COVERAGE = 0.95  # probability that one further run falls inside
FEWEST_SEEDS = 3  # for an interval
MARK = "[committed]"  # of rows that this run did not measure


@dataclasses.dataclass(frozen=True)
class Expectation:
    """Measures of runs that differ in their seed, each with a 95% prediction interval for one further run.

    The interval is Student's for one more sample from a normal distribution. It is taken on logarithms where all values
    are positive, so that it stays positive.
    """

    columns: Sequence[report.Column]
    values: Mapping[str, Sequence[float]]  # one number per seed, by the measure's name
    first_seed: int
    steps: int  # training steps of each run
    machine: str  # where the runs were measured

    @classmethod
    def read(cls, file: pathlib.Path, title: str, columns: Sequence[report.Column]) -> "Expectation":
        """Read one row of a committed table, JSON with `steps` and `first` among its details."""
        table = json.loads(file.read_text())
        rows = {row["title"]: row["values"] for row in table["rows"]}
        if title not in rows:
            raise ValueError(f"{file} must hold a row `{title}` (got {', '.join(rows)}); measure that row too.")
        values = {column.name: tuple(rows[title][column.name]) for column in columns}
        if (count := min(map(len, values.values()))) < FEWEST_SEEDS:
            raise ValueError(f"an interval needs three seeds or more (got {count} in {file}); run more seeds.")
        return cls(tuple(columns), values, table["first"], table["steps"], table["machine"]["device"])

    def interval(self, measure: str) -> tuple[float, float]:
        """Return the lower and the upper end for one measure, by its name."""
        from scipy import stats  # takes half a second to import

        values = np.asarray(self.values[measure], float)
        positive = bool((values > 0).all())
        samples = np.log(values) if positive else values
        quantile = stats.t.ppf((1 + COVERAGE) / 2, len(samples) - 1)
        half = quantile * samples.std(ddof=1) * np.sqrt(1 + 1 / len(samples))
        low, high = samples.mean() - half, samples.mean() + half
        return (float(np.exp(low)), float(np.exp(high))) if positive else (float(low), float(high))

    def __str__(self) -> str:
        """Return one line: every interval, its seeds, steps and machine."""
        intervals = " and ".join(f"{column.title} {self._formatted(column)}" for column in self.columns)
        count = min(map(len, self.values.values()))
        return (
            f"expected after {self.steps:,} steps: {intervals} ({COVERAGE:.0%} prediction intervals from seeds "
            f"{self.first_seed} to {self.first_seed + count - 1} on {self.machine})"
        )

    def verdict(self, measures: Mapping[str, float]) -> list[str]:
        """Return one line for each measure, which says whether it is inside its interval."""
        lines = []
        for column in self.columns:
            low, high = self.interval(column.name)
            value = measures[column.name]
            place = "inside" if low <= value <= high else "OUTSIDE"
            lines.append(f"{column.title} {value:.{column.digits}f}: {place} the expected {self._formatted(column)}")
        return lines

    def _formatted(self, column: report.Column) -> str:
        low, high = self.interval(column.name)
        return f"{low:.{column.digits}f} to {high:.{column.digits}f}"


def read_rows(file: pathlib.Path, columns: Sequence[report.Column]) -> dict[str, Expectation]:
    """Read all rows of a committed table that have enough seeds for some of the columns, apart from times."""
    expected = {}
    for row in json.loads(file.read_text())["rows"]:
        measured = [c for c in columns if c.name != "seconds" and len(row["values"].get(c.name, ())) >= FEWEST_SEEDS]
        if measured:
            expected[row["title"]] = Expectation.read(file, row["title"], measured)
    return expected


def verdicts(table: report.Table, expected: Mapping[str, Expectation]) -> list[str]:
    """Return lines that compare each seed of a table with the expectations, or say why they do not apply.

    The table has `steps` and `first` among its details; rows without an expectation are skipped.
    """
    lines = []
    for row in table.rows:
        if row.title not in expected:
            continue
        expectation, steps = expected[row.title], table.details["steps"]
        lines.append(f"{row.title}, {expectation}")
        if steps != expectation.steps:
            lines.append(f"This run had {steps:,} steps, so the intervals do not apply to it.")
            continue
        by_seed = zip(*(row.values[column.name] for column in expectation.columns), strict=True)
        for seed, values in enumerate(by_seed, table.details["first"]):
            measures = {column.name: value for column, value in zip(expectation.columns, values, strict=True)}
            lines += [f"seed {seed}, {line}" for line in expectation.verdict(measures)]
    return lines


def with_committed_rows(table: report.Table, file: pathlib.Path) -> report.Table:
    """Return a table followed by the rows of a committed one, each marked as not measured by this run."""
    content = json.loads(file.read_text())
    rows = [report.Row(f"{MARK} {row['title']}", row["values"], row["paper"], row["note"]) for row in content["rows"]]
    count = max(len(values) for row in rows for values in row.values.values())
    first, machine = content["first"], ", ".join(f"{name} {value}" for name, value in content["machine"].items())
    remark = (
        f"{MARK}: not measured by this run, but read from {file.parent.name}/{file.name}. There rows of {count} "
        f"seeds have seeds {first} to {first + count - 1}, and rows of one have seed {first}. Machine: {machine}."
    )
    return dataclasses.replace(table, rows=[*table.rows, *rows], remarks=[*table.remarks, remark])
