"""Both ways of a discrepancy are the same, and both are measured."""

import jax
import numpy as np
import pytest

from experiments.mmd import cost
from experiments.speed import mmd


def test_both_ways_are_the_same():
    ours, theirs = (jax.jit(way)(*mmd.points(21)) for way in cost.WAYS.values())
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(cost, "cell", lambda experiment, way, n: cost.measure(way, n))  # in this process
    monkeypatch.setattr(cost, "LARGEST", 30)
    table = cost.run(cost.Experiment((20, 40), quick=True, cache_dir=tmp_path))
    small, _, whole, compiled = (row.values for row in table.rows)
    assert small["seconds"][0] > 0
    assert set(compiled) == {"compile", "temporaries"} < set(whole)
    for name in ("mmd_cost.json", "mmd_cost.md", "mmd_cost.png"):
        assert (tmp_path / "quick" / name).stat().st_size > 100
