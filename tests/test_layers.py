"""Import layers: each module imports from lower layers only."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LAYERS = [
    ["types"],
    ["sharding"],
    ["scan", "parallel", "forking", "validation", "neighbors", "explanation", "columns"],
    ["numerics"],
    ["losses", "samplers", "metrics"],
    ["optim", "nets", "data", "serialization"],
    ["methods"],
    ["training"],
    ["accelerators"],
    ["detector"],
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FILES = [file for file in sorted((ROOT / "jaxgen").rglob("*.py")) if file != ROOT / "jaxgen" / "__init__.py"]


def module(file):
    return file.relative_to(ROOT / "jaxgen").parts[0].removesuffix(".py")


def imported(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down(file):
    modules = {name.split(".")[1] for name in imported(file) if name.startswith("jaxgen.")}
    assert all(LAYER[other] < LAYER[module(file)] for other in modules - {module(file)} if other in LAYER)
    assert not any(name.startswith("experiments") for name in imported(file))
    if module(file) in ("validation", "losses", "samplers", "metrics"):
        assert not any(name.startswith(("flax", "optax", "orbax")) for name in imported(file))


EXPERIMENTS = sorted((ROOT / "experiments").glob("*/*.py"))


@pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_benchmark_imports_other_experiments(file):
    folders = {name.split(".")[1] for name in imported(file) if name.startswith("experiments.")}
    assert folders <= {file.parent.name, "common"} or file.parent.name == "speed"


def test_only_parallel_maps_over_devices():
    for file in FILES:
        if module(file) != "parallel":
            assert not any(word in file.read_text() for word in ("jax.pmap(", "jax.shard_map(")), file


def test_losses_load_neither_flax_nor_optax():
    code = (
        "import sys, jaxgen.losses, jaxgen.samplers, jaxgen.metrics as _; print({'flax', 'optax'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_training_loads_no_library_that_it_does_not_need():
    """Each of these takes a second or so to import, before the first step of every run."""
    heavy = ("orbax", "sklearn", "pandas", "scipy.stats", "tensorflow_datasets", "matplotlib", "PIL")
    code = f"import sys, jaxgen; jaxgen.train; print(set({heavy}) & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
