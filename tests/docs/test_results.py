"""Pages show results that are committed, and tables say what their JSON files say."""

import importlib.util
import json
import math
import pathlib
import re
import statistics

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages").rglob("*.md"))
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
SPREAD = re.compile(r"\S+ ± ([\d.,]+(?:e[+-]?\d+)?)$")  # alone: one behind which more follows is another measure

specification = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
results = importlib.util.module_from_spec(specification)
specification.loader.exec_module(results)

TABLES = [path for path in sorted(results.RESULTS.rglob("*.md")) if path.with_suffix(".json").exists()]


def rows(lines):
    """Cells of the lines of a Markdown table, without its head."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")][2:]


def half_unit(printed):
    """Half of the last printed digit's unit, and a little, since ties round either way."""
    mantissa, _, exponent = printed.partition("e")
    return 0.501 * 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))


def agrees(cell, values):
    """Whether a cell's number is the values' mean, median or geometric mean, and its ± their standard deviation."""
    printed = NUMBER.match(cell)[0]
    centers = [statistics.fmean(values), statistics.median(values)]
    if min(values) > 0:
        centers.append(statistics.geometric_mean(values))
    if all(abs(center - float(printed.replace(",", ""))) > half_unit(printed) for center in centers):
        return False
    if spread := SPREAD.match(cell):
        number = float(spread[1].replace(",", ""))
        return len(values) > 1 and abs(statistics.stdev(values) - number) <= half_unit(spread[1])
    return True


def checked(path):
    """Numeric cells of a table that agree with the JSON file, and all numeric cells."""
    content = json.loads(path.with_suffix(".json").read_text())
    written = {}
    for row in content["rows"]:
        lists = [[float(v) for v in values] for values in row["values"].values() if isinstance(values, list) and values]
        written.setdefault(row["title"], []).extend(values for values in lists if all(map(math.isfinite, values)))
    good, bad = 0, []
    for title, *cells in rows(path.read_text().splitlines()):
        for cell in cells[:-2]:  # the last two are the number of seeds and the paper's numbers
            if NUMBER.match(cell):
                if any(agrees(cell, values) for values in written.get(title, [])):
                    good += 1
                else:
                    bad.append((title, cell))
    return good, bad


def parts(pattern):
    """Alternatives of a regular expression."""
    return pattern.split("|") if pattern and "(" not in pattern else [pattern]


def test_pages_name_committed_results():
    named = 0
    for page in PAGES:
        text = page.read_text()
        braces = [line for line in text.splitlines() if line.startswith("{{")]
        tables, figures = list(results.TABLE.finditer(text)), list(results.FIGURE.finditer(text))
        assert len(braces) == len(tables) + len(figures), f"{page}: a line in braces has the wrong form."
        for match in tables:
            results.table(match[1], match[2], match[3])  # raises if there is no such table, or no row is left
            assert (results.RESULTS / f"{match[1]}.json").exists(), match[0]
            for rows, columns in [
                *((part, None) for part in parts(match[2])),
                *((None, part) for part in parts(match[3])),
            ]:
                results.table(match[1], rows, columns)  # each part of a pattern matches something
        for match in figures:
            assert (results.RESULTS / match[1]).exists(), match[0]
        named += len(braces)
    assert named > 50


def test_every_result_is_on_a_page():
    text = "\n".join(page.read_text() for page in PAGES)
    shown = {match[1] for match in results.TABLE.finditer(text)}
    shown |= {match[1] for match in results.FIGURE.finditer(text)}
    names = {path.relative_to(results.RESULTS).with_suffix("").as_posix() for path in TABLES}
    names |= {path.relative_to(results.RESULTS).as_posix() for path in results.RESULTS.rglob("*.png")}
    assert names <= shown, f"no page shows {sorted(names - shown)}."


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.relative_to(results.RESULTS).with_suffix("").as_posix())
def test_table_agrees_with_its_json(path):
    good, bad = checked(path)
    assert good, f"{path}: no number was compared."
    assert not bad, f"{path}: {len(bad)} of {good + len(bad)} numbers are not in the JSON file, such as {bad[:5]}."


def test_most_cells_are_compared():
    good, bad = zip(*(checked(path) for path in TABLES), strict=True)
    total = sum(good) + sum(map(len, bad))
    print(f"{sum(good)} of {total} numeric cells of {len(TABLES)} tables agree with their JSON files")
    assert total > 3_000
    assert sum(good) >= 0.9 * total


def test_an_edited_number_is_noticed(tmp_path):
    source = results.RESULTS / "evl" / "swiss_roll"
    text = source.with_suffix(".md").read_text()
    (tmp_path / "table.json").write_text(source.with_suffix(".json").read_text())
    (tmp_path / "table.md").write_text(text)
    assert not checked(tmp_path / "table.md")[1]
    for edited in ("0.019 ± 0.011", "0.020 ± 0.010"):
        (tmp_path / "table.md").write_text(text.replace("| 0.020 ± 0.011", f"| {edited}"))
        assert [cell for _, cell in checked(tmp_path / "table.md")[1]] == [edited]
