"""Rows of a committed table, printed with a new one and marked."""

import dataclasses
import json
import pathlib

from experiments.common import report

MARK = "[committed]"


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
