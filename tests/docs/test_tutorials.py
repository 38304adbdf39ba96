"""The Python blocks of every tutorial run in order, and hold what they assert."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "pages" / "tutorials").glob("*.md"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def script(page: pathlib.Path) -> str:
    """Join the blocks of a page, each at the line where it is in the page, so that errors name the page's lines."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines) + "\n"


def test_every_tutorial_has_code():
    assert len(PAGES) == 5
    for page in PAGES:
        assert "assert " in script(page), page


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
