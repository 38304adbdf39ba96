"""Configs come back from JSON as they were, and say what does not."""

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
def test_there_and_back(value):
    written = to_json(value)
    assert unnamed_fields(written) == []
    back = from_json(json.loads(json.dumps(written)))
    assert back == value
    assert to_json(back) == written


def test_names_are_public_ones():
    assert to_json(optax.adam) == {"import": "optax:adam"}
    assert to_json(methods.EVL) == {"import": "jaxgen.methods:EVL"}


def test_arrays_leave_their_digest_only():
    x = np.arange(6.0).reshape(2, 3)
    written = to_json(data.Arrays(x, {"y": x + 1}))
    assert "5.0" not in json.dumps(written)
    back = from_json(json.loads(json.dumps(written)))
    assert isinstance(back.arrays[0], AbsentArray)
    assert back.arrays[0].shape == (2, 3)
    assert to_json(back) == written
    assert to_json(data.Arrays(x + 1)) != to_json(data.Arrays(x))


def test_what_has_no_name_is_told():
    written = to_json(
        dataclasses.replace(tiny.config(tiny.evl()), method=tiny.evl(optimizer=lambda rate: optax.sgd(rate)))
    )
    assert unnamed_fields(written) == ["config.method.optimiser"]
    with pytest.raises(ValueError, match=r"config.method.optimiser .* was not found by its name; pass the config"):
        from_json(written)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"import": "jaxgen.methods:Gone"}, "cannot be imported"),
        ({"import": "gone:f"}, "cannot be imported"),
        ({"type": "jaxgen.methods:Own", "fields": {"guesses": 3, "colour": 1}}, "has no field"),
        ({"strange": 1}, "no kind"),
        ({}, "no kind"),
    ],
)
def test_descriptions_of_another_version_are_told(written, told):
    with pytest.raises(ValueError, match=told):
        from_json(written)


SCRIPT = """
import flax.linen as nn
from jaxgen.description import to_json, rebuild

class Net(nn.Module):
    width: int = 3

written = to_json(Net(5))
back = rebuild(written) if "type" in written else None
same = type(back) is Net
"""


def test_what_a_script_defines_has_no_name_elsewhere_but_what_a_module_defines_has(tmp_path, monkeypatch):
    (tmp_path / "own_net.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(tmp_path)
    script = runpy.run_path(str(tmp_path / "own_net.py"), run_name="__main__")
    assert script["written"] == {"unnamed_fields": "config", "as": "Net", "fields": {"width": 5}}
    with pytest.raises(ValueError, match="pass the config"):
        from_json(script["written"])
    module = runpy.run_module("own_net", run_name="__main__", alter_sys=True)
    assert module["written"] == {"type": "own_net:Net", "fields": {"width": 5}}
    assert module["same"]  # it did not run a second time
    assert from_json(module["written"]).width == 5  # as another process finds it


def test_partial_functions_are_described_by_their_numbers():
    one, other = (functools.partial(optax.adam, b1=b1) for b1 in (0.5, 0.9))
    assert to_json(one) != to_json(other)
    back = from_json(json.loads(json.dumps(to_json(one))))
    assert (back.func, back.keywords) == (optax.adam, {"b1": 0.5})


def test_arrays_of_any_dtype_are_described():
    assert to_json(jnp.ones(3, jnp.bfloat16))["array"][1] == "bfloat16"
