"""The memory of a step is measured where it is spent."""

import dataclasses
import json

import pytest

from experiments.evl import images_models, memory
from jaxgen import data
from jaxgen.serialization.config_json import from_json


@pytest.mark.slow
def test_a_step_is_measured(monkeypatch):
    monkeypatch.setattr(images_models, "IMAGE_SETS", {"mnist": images_models.Pictures(data.Digits(), data.Digits())})
    monkeypatch.setitem(memory.WIDTHS, "ours", (4, 4, 4))
    ours = images_models.ours
    monkeypatch.setattr(
        images_models, "ours", lambda *given, **n: dataclasses.replace(ours(*given, **n), batch_size=40)
    )
    found = memory.measure("ours", 256, 32, train=True)
    whole = memory.measure("ours", 256, None, train=False)
    assert set(whole) == {"compile", "temporaries"}
    assert min(whole["temporaries"], found["temporaries"], found["seconds"]) > 0
    assert found["resident"] > 100  # with Python and JAX


def test_what_is_trained_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(images_models, "IMAGE_SETS", {"mnist": images_models.Pictures(data.Digits(), data.Digits())})
    monkeypatch.setattr(memory, "measured_alone", lambda *arguments: {"temporaries": 1.0})
    memory.Experiment(quick=True, cache_dir=tmp_path).run()
    configs = json.loads((tmp_path / "quick" / "memory.json").read_text())["configs"]
    assert [from_json(configs[name]).method.generator.widths for name in ("ours", "paper")] == [
        images_models.WIDTHS,
        images_models.PAPER_WIDTHS,
    ]
