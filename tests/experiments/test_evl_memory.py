"""The memory of a step is measured where it is spent."""

import dataclasses
import json

from experiments import evl_memory, images
from jaxgen import data
from jaxgen.description import rebuild


def test_a_step_is_measured(monkeypatch):
    monkeypatch.setattr(images, "SETS", {"mnist": images.Pictures(data.Digits(), data.Digits())})
    monkeypatch.setitem(evl_memory.WIDTHS, "ours", (4, 4, 4))
    ours = images.ours
    monkeypatch.setattr(images, "ours", lambda *given, **n: dataclasses.replace(ours(*given, **n), batch_size=40))
    found = evl_memory.measure("ours", 256, 32, train=True)
    whole = evl_memory.measure("ours", 256, None, train=False)
    assert set(whole) == {"compile", "temporaries"}
    assert min(whole["temporaries"], found["temporaries"], found["seconds"]) > 0
    assert found["resident"] > 100  # with Python and JAX


def test_what_is_trained_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "SETS", {"mnist": images.Pictures(data.Digits(), data.Digits())})
    monkeypatch.setattr(evl_memory, "cell", lambda *given: {"temporaries": 1.0})
    evl_memory.run(evl_memory.Experiment(quick=True, runs=tmp_path))
    configs = json.loads((tmp_path / "quick" / "evl_memory.json").read_text())["configs"]
    assert [rebuild(configs[name]).method.generator.widths for name in ("ours", "paper")] == [
        images.WIDTHS,
        images.PAPER_WIDTHS,
    ]
