"""Import names: a stored file imports and calls nothing outside the trusted modules, whatever it names."""

import builtins
import copy
import json
import os
import random
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import jaxgen
from jaxgen import methods, nets, optim
from jaxgen.serialization import sklearn_json
from jaxgen.serialization.config_json import from_json, to_json

MARKER = """
import builtins
from os import system as command

builtins.marked = True

def function(*arguments, **named):
    builtins.called = True

class Net:
    def __init__(self, *arguments, **named):
        builtins.called = True
"""


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """A module that records when it is imported, and when its function or class is called."""
    (tmp_path / "marker_module.py").write_text(MARKER)
    monkeypatch.syspath_prepend(tmp_path)
    yield "marker_module"
    sys.modules.pop("marker_module", None)
    for name in ("marked", "called"):
        if hasattr(builtins, name):
            delattr(builtins, name)


def untouched():
    return not hasattr(builtins, "marked") and "marker_module" not in sys.modules and not hasattr(builtins, "called")


@pytest.mark.parametrize(
    "path",
    [
        "os:system",
        "builtins:eval",
        "subprocess:run",
        "marker_module:function",
        "marker_module:Net",
        "jaxgenuine:f",
        "jaxgen.data.images:os.system",
        "jaxgen.serialization.import_names:importlib.import_module",
        "jaxgen.training.checkpoint:pathlib.Path",
        "jaxgen.training.loop:train",
        "jaxgen.training.result:load",
        "jaxgen.training.result:Result.save",
        "jaxgen.data.prepare:main",
        "jax.numpy:load",
        "jax.numpy:save",
        "jax.numpy:fromfile",
        "jax:jit",
        "jax.nn:jnp",
        "flax.serialization:msgpack_restore",
        "flax.linen:nonexistent",
        "numpy:load",
        "numpy:save",
        "numpy:f2py",
        "sklearn.datasets:fetch_openml",
        "sklearn.utils:Bunch.__init__",
        "optax:jnp.load",
        "optax",
        "optax:",
        ":eval",
        "optax:adam.__globals__",
        "optax:adam.__class__",
        "..os:system",
        "jaxgen.methods:EVL.__init__.__globals__",
        3,
        None,
        ["os:system"],
    ],
)
@pytest.mark.parametrize("form", ["import", "partial", "type"])
def test_names_outside_the_list_raise(path, form, marker):
    forms = {"partial": {"args": {"tuple": []}, "keywords": {"dict": {}}}, "type": {"fields": {}}, "import": {}}
    with pytest.raises(ValueError, match=r"."):
        from_json({form: path, **forms[form]})
    assert untouched()


def test_functions_are_not_constructed():
    for path in ("optax:adam", "jax.nn:relu", "sklearn.preprocessing:StandardScaler", "flax.linen:relu"):
        with pytest.raises(ValueError, match=r"must be a dataclass or named tuple|is not a class or function"):
            from_json({"type": path, "fields": {}})


def test_trusted_modules_and_their_submodules_are_imported(marker):
    written = {"import": f"{marker}:function"}
    with pytest.raises(ValueError, match=r"outside the modules that are trusted; .* trusted=\('marker_module',\)"):
        from_json(written, trusted=("marker", "marker_module.submodule"))
    assert untouched()
    assert from_json(written, trusted=(marker,)).__name__ == "function"
    assert from_json(written, trusted=marker).__name__ == "function"
    with pytest.raises(ValueError, match="may hold"):
        from_json({"import": f"{marker}:command"}, trusted=(marker,))  # from another module
    assert not hasattr(builtins, "called")


def test_functions_and_classes_of_the_list_are_found():
    for value in (jnp.tanh, jax.nn.relu, jnp.float32, np.float32, np.sin, nets.LeakyReLU, methods.EVL, os.PathLike):
        written = to_json(value)
        if value is os.PathLike:
            with pytest.raises(ValueError, match="outside the modules"):
                from_json(written)
        else:
            assert from_json(written) is value


def places(node):
    """Every dict or list of a description, with each of its keys."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


PAYLOADS = [
    {"import": "marker_module:function"},
    {"import": "jaxgen.marker_module:function"},
    {"type": "marker_module:Net", "fields": {}},
    {"partial": {"import": "marker_module:function"}, "args": {"tuple": []}, "keywords": {"dict": {}}},
    {"partial": {"import": "jax.numpy:load"}, "args": {"tuple": ["marker_module.py"]}, "keywords": {"dict": {}}},
    {"estimator": {"import": "marker_module:Net"}, "state": {"dict": {}}},
    {"import": "jaxgen:load"},
    "marker_module:function",
    "marker_module:Net",
    None,
    [],
    {},
    1e400,
    -1,
    "type",
]


def test_mutated_configs_import_and_call_nothing_else(marker, monkeypatch):
    imported = []
    find = __import__("importlib").import_module
    monkeypatch.setattr("importlib.import_module", lambda name, *rest: imported.append(name) or find(name, *rest))
    written = json.loads(
        json.dumps(to_json(jaxgen.Config(tiny.meg(optimizer=optim.adversarial_adam), tiny.config(tiny.evl()).data)))
    )
    generator = random.Random(0)
    refused = 0
    for _ in range(600):
        mutated = copy.deepcopy(written)
        for _ in range(generator.randint(1, 3)):
            node, key = generator.choice(list(places(mutated)))
            node[key] = copy.deepcopy(generator.choice(PAYLOADS))
        try:
            from_json(mutated)
        except ValueError:
            refused += 1
        assert untouched()
    assert refused > 300
    roots = {name.partition(".")[0] for name in imported}
    assert roots <= {"jaxgen", "jax", "flax", "optax"}


@pytest.mark.filterwarnings("ignore:Trying to unpickle estimator")
def test_mutated_estimators_import_and_call_nothing_else(marker, tmp_path):
    fitted = StandardScaler().fit(np.random.default_rng(0).normal(size=(9, 2)))
    sklearn_json.write(tmp_path, "x", {"scaler": fitted, "log": FunctionTransformer(np.log1p), "kind": np.float32})
    assert sklearn_json.read(tmp_path, "x")["kind"] is np.float32
    written = json.loads((tmp_path / "x.json").read_text())["value"]
    content = (tmp_path / "x.npz").read_bytes()
    generator = random.Random(1)
    for _ in range(300):
        mutated = copy.deepcopy(written)
        node, key = generator.choice(list(places(mutated)))
        node[key] = copy.deepcopy(generator.choice(PAYLOADS))
        stored = {"value": mutated, "sha256": sklearn_json._digest(mutated, content)}
        (tmp_path / "x.json").write_text(json.dumps(stored))
        try:
            sklearn_json.read(tmp_path, "x")
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017
        assert untouched()
