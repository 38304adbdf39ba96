"""The Python blocks of every tutorial run in order, hold what they assert, and print what the page shows."""

import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages" / "tutorials").glob("*.md"))
# A block of code and, directly below it, the output that the page shows. A comment between them says what may vary:
# `<!-- numbers vary in: PATTERN -->` the numbers in lines that match, `<!-- text varies -->` everything.
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n"
    r"(?:\n*(?:<!-- (?:numbers vary in: (?P<lines>[^\n]+)|(?P<free>text varies)) -->\n+)?"
    r"```text\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[-+]?\d+)?")
END = "\x1e"  # printed after every block


def script(page: pathlib.Path) -> str:
    """Join the blocks of a page, each at the line where it is in the page, so that errors name the page's lines."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text[: block.start("code")].count("\n")
        code = [*block["code"].splitlines(), f"print({END!r}, flush=True)"]
        lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


def words(text: str) -> str:
    return "".join(NUMBER.sub("#", text).split())


def difference(shown: str, printed: str, *, lines: str | None = None, free: str | None = None) -> str | None:
    """Say how the output of a block differs from the page's, in words or in numbers; None if it does not.

    Words must be the same. Numbers may differ by 5 %, and those with a decimal point also by 0.04: another jax or
    another processor trains a slightly different model. On AVX2 instead of AVX-512, and on jax 0.12 instead of 0.10,
    numbers without a mark differed by at most 0.02 or 4 %.

    Args:
        shown: the output that the page shows.
        printed: the output of the code.
        lines: pattern of the lines whose numbers are not compared.
        free: if set, only whether there is any output is compared.
    """
    if bool(shown.strip()) != bool(printed.strip()) or (free is None and words(shown) != words(printed)):
        return f"the page shows {shown!r}, the code prints {printed!r}"
    if free is not None:
        return None
    if lines is not None:
        shown, printed = ("\n".join(x for x in y.splitlines() if not re.search(lines, x)) for y in (shown, printed))
    for page, code in zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=True):
        absolute = 0.04 if "." in page else 0.0
        if not math.isclose(float(page), float(code), rel_tol=0.05, abs_tol=absolute):
            return f"the page shows {page}, the code prints {code}, in {printed!r}"
    return None


def test_every_tutorial_has_code():
    assert len(PAGES) == 5
    for page in PAGES:
        assert "assert " in script(page), page


def test_every_output_belongs_to_code():
    for page in PAGES:
        text = page.read_text()
        shown = [block for block in BLOCK.finditer(text) if block["output"] is not None]
        assert len(shown) == text.count("```text\n"), page
        assert sum(bool(block["lines"] or block["free"]) for block in shown) == text.count("<!--"), page


def test_differences_are_noticed():
    shown = "Detection(auroc=0.919, fpr_at_95_tpr=0.219)\n183 rows [3 70]\n"
    for same in (shown, shown.replace("0.919", "0.9459").replace("183", "190").replace("[3", "[ 3.0"), shown + "\n"):
        assert difference(shown, same) is None, same
    for stale in (
        "",
        shown + "1\n",
        shown.replace("auroc", "auc"),
        shown.replace("fpr_at_95_tpr", "fpr"),
        shown.replace("95", "90"),
        shown.replace("0.219", "0.17"),
        shown.replace("0.219", "-0.219"),
        shown.replace("183", "194"),
        shown.replace("70", "nan"),
    ):
        assert difference(shown, stale) is not None, stale
    assert difference(shown, shown.replace("[3 70]", "[5 99]"), lines="rows") is None
    assert difference(shown, shown.replace("0.219", "0.17"), lines="rows") is not None
    assert difference(shown, "other", free="text varies") is None
    assert difference(shown, "", free="text varies") is not None


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_tutorial(page, tmp_path):
    # A process of its own, without the settings of tests: a reader has one device and XLA's usual optimizations.
    (tmp_path / f"{page.stem}_tutorial.py").write_text(script(page))
    settings = ("JAX_", "XLA_", "NPROC")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, f"{page.stem}_tutorial.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1_800)
    assert ran.returncode == 0, ran.stderr[-3_000:]

    blocks = list(BLOCK.finditer(page.read_text()))
    *outputs, rest = ran.stdout.split(END + "\n")
    assert len(outputs) == len(blocks)
    assert rest == ""
    stale = [
        difference(block["output"] or "", printed, lines=block["lines"], free=block["free"])
        for block, printed in zip(blocks, outputs, strict=True)
    ]
    assert not any(stale), "\n".join(message for message in stale if message)
