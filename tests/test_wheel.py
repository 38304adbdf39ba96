"""The wheel: it contains the library alone, and works from where it is installed."""

import os
import pathlib
import subprocess
import sys
import tomllib
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
IMPORT = """
import sys, jaxgen
print(jaxgen.__version__)
print(jaxgen.__file__)
assert "jax" not in sys.modules, "`import jaxgen` must not import JAX"
from jaxgen import data, methods
print(jaxgen.Config(methods.EVL(), data.SwissRoll()).method.latent_dim)
"""


def run(command, **named):
    done = subprocess.run(command, capture_output=True, text=True, **named)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    run([*PIP, "wheel", ".", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(directory)], cwd=ROOT)
    (file,) = directory.glob("*.whl")
    return file


@pytest.mark.slow
def test_the_wheel_contains_the_library_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    metadata = f"jaxgen-{VERSION}.dist-info"
    assert {name.split("/")[0] for name in names} == {"jaxgen", metadata}
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "jaxgen").rglob("*.py")}
    assert {name for name in names if name.startswith("jaxgen/")} == sources | {"jaxgen/py.typed"}
    assert wheel.stat().st_size < 1_000_000


@pytest.mark.slow
def test_an_installed_wheel_is_imported_with_its_version(wheel, tmp_path):
    run([*PIP, "install", "--no-deps", "--no-index", "--target", str(tmp_path / "site"), str(wheel)])
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    version, file, latent_dim = run([sys.executable, "-c", IMPORT], cwd=tmp_path, env=environment).split()
    assert version == VERSION
    assert pathlib.Path(file) == tmp_path / "site" / "jaxgen" / "__init__.py"
    assert int(latent_dim) > 0
