"""Configs survive JSON, and fields that cannot be imported are listed."""

import dataclasses
import functools
import json
import math
import re
import runpy

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

from jaxgen import data, methods, nets, optim, parallel
from jaxgen.serialization.config_json import AbsentArray, from_json, to_json, unnamed_fields

VALUES = [
    None,
    3,
    0.1,
    math.inf,
    "text",
    True,
    (1, (2.0, "x")),
    [1, 2],
    {"a": (1,), "type": 3},
    optax.adam,
    jax.nn.relu,
    nn.relu,
    np.sin,
    parallel.batched,
    methods.EVL,
    nets.MLP((8, 4), activation=nn.tanh),
    methods.EVL(learning_rate=optim.Cosine(1e-3, 100), candidates=methods.PerTarget(7)),
    data.GaussianMixture(components=4, dimensions=2, seed=3),
    tiny.config(tiny.evl()),
    jax.ShapeDtypeStruct((3, 2), np.float32),
    optax.ScaleState() if hasattr(optax, "ScaleState") else optax.EmptyState(),
    optax.EmaState(1, (2.0,)),
    nn.Sequential([nn.Dense(3), nn.relu]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: re.sub(r" at 0x\w+", "", str(value))[:30])
def test_a_round_trip_is_the_identity(value):
    written = to_json(value)
    assert unnamed_fields(written) == []
    back = from_json(json.loads(json.dumps(written)))
    assert back == value
    assert to_json(back) == written


def test_import_paths_are_public():
    assert to_json(optax.adam) == {"import": "optax:adam"}
    assert to_json(methods.EVL) == {"import": "jaxgen.methods:EVL"}


def test_arrays_are_stored_as_digests():
    x = np.arange(6.0).reshape(2, 3)
    written = to_json(data.Arrays(x, {"y": x + 1}))
    assert "5.0" not in json.dumps(written)
    back = from_json(json.loads(json.dumps(written)))
    assert isinstance(back.arrays[0], AbsentArray)
    assert back.arrays[0].shape == (2, 3)
    assert to_json(back) == written
    assert to_json(data.Arrays(x + 1)) != to_json(data.Arrays(x))


def test_fields_that_cannot_be_imported_are_listed():
    written = to_json(
        dataclasses.replace(tiny.config(tiny.evl()), method=tiny.evl(optimizer=lambda rate: optax.sgd(rate)))
    )
    assert unnamed_fields(written) == ["config.method.optimizer"]
    with pytest.raises(ValueError, match=r"config.method.optimizer .* cannot be imported by name; pass the config"):
        from_json(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"import": "jaxgen.methods:Gone"}, "cannot be imported"),
        ({"import": "optax.gone:f"}, "cannot be imported"),
        ({"type": "jaxgen.methods:PerTarget", "fields": {"guesses": 3, "color": 1}}, "has no field"),
        ({"strange": 1}, "unknown kind"),
        ({}, "unknown kind"),
    ],
)
def test_descriptions_of_another_version_raise(written, message):
    with pytest.raises(ValueError, match=message):
        from_json(written)


SCRIPT = """
import flax.linen as nn
from jaxgen.serialization.config_json import from_json, to_json

class Net(nn.Module):
    width: int = 3

written = to_json(Net(5))
back = from_json(written, trusted=("own_net",)) if "type" in written else None
same = type(back) is Net
"""


def test_classes_of_a_script_cannot_be_imported_and_those_of_a_module_can(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    script = runpy.run_path(str(tmp_path / "own_net.py"), run_name="__main__")
    assert script["written"] == {"unnamed_fields": "config", "as": "Net", "fields": {"width": 5}}
    with pytest.raises(ValueError, match="pass the config"):
        from_json(script["written"])
    module = runpy.run_module("own_net", run_name="__main__", alter_sys=True)
    assert module["written"] == {"type": "own_net:Net", "fields": {"width": 5}}
    assert module["same"]  # the module was not executed a second time
    assert from_json(module["written"], trusted=("own_net",)).width == 5  # as in another process


def test_partial_functions_keep_their_arguments():
    one, other = (functools.partial(optax.adam, b1=b1) for b1 in (0.5, 0.9))
    assert to_json(one) != to_json(other)
    back = from_json(json.loads(json.dumps(to_json(one))))
    assert (back.func, back.keywords) == (optax.adam, {"b1": 0.5})


def test_arrays_of_any_dtype_have_a_description():
    assert to_json(jnp.ones(3, jnp.bfloat16))["array"][1] == "bfloat16"
