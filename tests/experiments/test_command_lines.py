"""Every experiment explains itself, and the commands that its first lines show are understood."""

import importlib
import pathlib
import re
import shlex

import pytest
import tyro

import experiments

MODULES = [
    importlib.import_module(f"experiments.{path.parent.name}.{path.stem}")
    for path in sorted(pathlib.Path(experiments.__file__).parent.glob("*/*.py"))
    if "(Experiment)\n" in path.read_text() and path.stem != "experiment"
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_commands_it_shows_are_understood(module):
    told = module.__doc__.replace("\\\n", " ")
    commands = re.findall(rf"python -m {module.__name__}([^#\n]*)", told)
    assert commands
    for command in commands:
        assert isinstance(tyro.cli(module.Experiment, args=shlex.split(command)), module.Experiment)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_it_explains_itself(module, capsys):
    with pytest.raises(SystemExit) as ended:
        tyro.cli(module.Experiment, args=["--help"])
    assert ended.value.code == 0
    assert "--quick" in capsys.readouterr().out
