"""Benchmark of convolutions inside loops: it runs, and its verdict follows from the slowdowns."""

import math
import types

import pytest

from experiments.speed import cpu_conv


def test_every_case_is_timed_and_printed(monkeypatch, capsys):
    names = ["energy, fewer pixels than the kernel", "generator, transposed, stride 2"]
    monkeypatch.setattr(cpu_conv, "CASES", {name: cpu_conv.CASES[name] for name in names})
    slowdowns = cpu_conv.run(cpu_conv.Experiment(quick=True, repeats=1))
    assert list(slowdowns) == [f"{name}: {kind}" for name in names for kind in ("forward", "gradients")]
    assert all(0 < slowdown < math.inf for slowdown in slowdowns.values())
    printed = capsys.readouterr().out
    assert all(name in printed for name in slowdowns)
    assert "no verdict" in printed


@pytest.mark.parametrize(
    ("slowdowns", "sentence"),
    [
        ([0.5, 1.09], "can be deleted: plain is at least as fast in every case."),
        ([0.5, 1.14], "Keep jaxgen/nets/cpu_conv: plain is slower in 1 of 2 cases, 1.1 times for 'case 1'."),
        ([30.0, 2.0], "Keep jaxgen/nets/cpu_conv: plain is slower in 2 of 2 cases, 30.0 times for 'case 0'."),
    ],
)
def test_verdict_follows_from_the_slowdowns(slowdowns, sentence):
    assert cpu_conv.verdict({f"case {i}": slowdown for i, slowdown in enumerate(slowdowns)}).endswith(sentence)


def test_other_backends_are_rejected(monkeypatch):
    monkeypatch.setattr(cpu_conv.jax, "devices", lambda: [types.SimpleNamespace(platform="gpu")])
    with pytest.raises(SystemExit, match="must be a CPU"):
        cpu_conv.run(cpu_conv.Experiment())
