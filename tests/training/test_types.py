"""Types: mypy knows the method of a config and of a result; generics change nothing at run time."""

import dataclasses
import os
import pathlib
import pickle
import subprocess
import sys

import jax
import pytest
import tiny

import jaxgen
from jaxgen import data, methods

ROOT = pathlib.Path(__file__).parents[2]
SNIPPET = """
import jax

import jaxgen
from jaxgen import data, methods

config = jaxgen.Config(methods.EVL(), data.SwissRoll())
result = jaxgen.train(config)
reveal_type(result.config.method)
reveal_type(jaxgen.untrained(config.resolved()).config.method)
reveal_type(jaxgen.load("run", config=config).config.method)
result.config.method.sample(jax.random.key(0), result.state_of(0), 5)
jaxgen.load("run").config.method.sample(jax.random.key(0), result.state_of(0), 5)
result.config.method.smaple
result.config.method.sample("key")
"""


@pytest.mark.slow
def test_mypy_knows_the_method(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET)
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, str(tmp_path / "snippet.py")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
    )
    lines = SNIPPET.splitlines()
    found = {}
    for line in run.stdout.splitlines():
        if line.startswith(str(tmp_path)) or line.startswith("snippet") or "snippet.py" in line.split(":")[0]:
            number, message = line.split(":", 2)[1:]
            found.setdefault(lines[int(number) - 1], []).append(message.strip())
    revealed = [message for line, messages in found.items() if "reveal" in line for message in messages]
    assert revealed == ['note: Revealed type is "jaxgen.methods.evl.EVL"'] * 3, run.stdout + run.stderr
    assert '"EVL" has no attribute "smaple"' in found["result.config.method.smaple"][0]
    assert "Missing positional arguments" in found['result.config.method.sample("key")'][0]
    assert len(found) == 5, found  # the two correct calls have no message


def test_generics_change_nothing_at_run_time():
    config = jaxgen.Config[methods.EVL](methods.EVL(), data.SwissRoll())
    plain = jaxgen.Config(methods.EVL(), data.SwissRoll())
    assert type(config) is jaxgen.Config
    assert config == plain
    assert hash(config) == hash(plain)
    assert jaxgen.to_json(config) == jaxgen.to_json(plain)
    assert jaxgen.to_json(config)["type"] == "jaxgen:Config"
    assert dataclasses.replace(config, steps=500, steps_per_call=500).steps == 500
    assert pickle.loads(pickle.dumps(plain)) == plain
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 1


def test_a_result_is_a_frozen_dataclass():
    result = jaxgen.untrained(tiny.config(tiny.Mean()))
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.num_devices = 2
    longer = dataclasses.replace(result, num_devices=2)
    assert type(longer) is jaxgen.Result
    assert longer.num_devices == 2
    other = pickle.loads(pickle.dumps(dataclasses.replace(result, state=jax.device_get(result.state))))
    assert other.config == result.config
