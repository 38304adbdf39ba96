"""MkDocs hook: puts committed result tables and figures into pages, so that no number is typed twice.

A line `{{ table evl/swiss_roll }}` becomes the table of experiments/results/evl/swiss_roll.md, which an experiment
wrote together with its JSON file. `{{ table evl/swiss_roll rows=ours,floor }}` keeps the rows whose titles contain one
of the words. `{{ figure evl/swiss_roll.png A caption. }}` becomes the figure.
"""

import pathlib
import re
from typing import Any

from mkdocs.structure.files import File

RESULTS = pathlib.Path(__file__).parents[1] / "experiments" / "results"
TABLE = re.compile(r"^\{\{ table (\S+?)(?: rows=(.+?))? \}\}$", re.MULTILINE)
FIGURE = re.compile(r"^\{\{ figure (\S+\.png) (.+?) \}\}$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Add every committed figure to the site."""
    for figure in sorted(RESULTS.rglob("*.png")):
        name = f"figures/{figure.relative_to(RESULTS).as_posix()}"
        files.append(File.generated(config, name, abs_src_path=str(figure)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace the lines that name tables and figures."""
    up = "../" * page.file.src_uri.count("/")
    markdown = TABLE.sub(lambda match: table(match[1], match[2]), markdown)
    return FIGURE.sub(lambda match: f"![{match[2]}]({up}figures/{match[1]})\n\n*{match[2]}*", markdown)


def table(name: str, words: str | None = None) -> str:
    """Return a committed table in Markdown.

    Args:
        name: path below experiments/results, without an ending.
        words: titles of the rows to keep contain one of these words, separated by commas; None keeps all.

    Returns:
        The table's title, its lines, its notes and the machine.

    Raises:
        ValueError: if no row is left.
    """
    title, *lines = (RESULTS / f"{name}.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("|")]
    notes = [line for line in lines if line and not line.startswith("|")]
    if words is not None:
        kept = [row for row in rows[2:] if any(word in row.split("|")[1] for word in words.split(","))]
        if not kept:
            raise ValueError(f"{name} must have a row with one of {words} in its title; got {len(rows) - 2} others.")
        rows = rows[:2] + kept
    source = f"experiments/results/{name}.json"
    return "\n".join([f"**{title}**", "", *rows, "", *(f"{note}\n" for note in notes), f"*From `{source}`.*"])
