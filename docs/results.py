"""MkDocs hook: puts committed result tables and figures into pages, so that no number is typed twice.

A line `{{ table evl/swiss_roll }}` becomes the table of experiments/results/evl/swiss_roll.md, which an experiment
wrote together with its JSON file. `{{ table evl/swiss_roll rows=ours|floor columns=KL }}` keeps the rows and columns
whose titles match the regular expressions. `{{ figure evl/swiss_roll.png A caption. }}` becomes the figure.
"""

import pathlib
import re
from typing import Any

try:
    from mkdocs.structure.files import File
except ModuleNotFoundError:  # tests use `table`, `TABLE` and `FIGURE` without MkDocs
    File = None

RESULTS = pathlib.Path(__file__).parents[1] / "experiments" / "results"
TABLE = re.compile(r"^\{\{ table (\S+?)(?: rows=(.+?))?(?: columns=(.+?))? \}\}$", re.MULTILINE)
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
    markdown = TABLE.sub(lambda match: table(match[1], match[2], match[3]), markdown)
    return FIGURE.sub(
        lambda match: f"[![{match[2]}]({up}figures/{match[1]})]({up}figures/{match[1]})\n\n*{match[2]}*", markdown
    )


def table(name: str, rows: str | None = None, columns: str | None = None) -> str:
    """Return a committed table in Markdown.

    Args:
        name: path below experiments/results, without an ending.
        rows: regular expression; rows with a match in their title are kept. None keeps all.
        columns: regular expression; columns with a match in their title are kept. None keeps all.

    Returns:
        The table's title, its lines, its notes and the machine.

    Raises:
        ValueError: if no row or no column is left.
    """
    title, *lines = (RESULTS / f"{name}.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    head, body = cells[0], cells[2:]
    notes = [line for line in lines if line and not line.startswith("|")]
    kept = [line for line in body if _matches(line[0], rows)]
    places = [0, *(place for place, column in enumerate(head) if place and _matches(column, columns))]
    if not kept or len(places) == 1:
        raise ValueError(
            f"{name} must have rows that match {rows!r} and columns that match {columns!r}; it lacks one of them."
        )
    dropped = [line[0] for line in body if line not in kept]
    notes = [note for note in notes if not any(note.startswith(f"- {other}: ") for other in dropped)]
    bars = ["| " + " | ".join(line[place] for place in places) + " |" for line in (head, *kept)]
    bars.insert(1, "|" + "---|" * len(places))
    source = f"experiments/results/{name}.json"
    lists = [note for note in notes if note.startswith("- ")]
    texts = [note for note in notes if not note.startswith("- ")]
    below = ["\n".join(lists)] * bool(lists) + texts
    wrapped = ['<div class="results" markdown="1">', "", *bars, "", "</div>", ""]  # see stylesheets/extra.css
    return "\n".join([f"**{title}**", "", *wrapped, *(f"{note}\n" for note in below), f"*From `{source}`.*"])


def _matches(title: str, pattern: str | None) -> bool:
    return pattern is None or re.search(pattern, title) is not None
