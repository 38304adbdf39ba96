"""Both implementations of MMD^2 agree, and both are measured."""

import jax
import numpy as np
import pytest

from experiments.mmd import cost


def test_both_implementations_agree():
    ours, theirs = (jax.jit(way)(*cost.points(21)) for way in cost.IMPLEMENTATIONS.values())
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_every_cell_is_measured_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(
        cost.resources, "in_fresh_process", lambda function, *given: function(*given)
    )  # in this process
    monkeypatch.setattr(cost, "LARGEST", 30)
    (table,) = cost.Experiment(points=(20, 40), quick=True, cache_dir=tmp_path).run()
    small, _, whole, compiled = (row.values for row in table.rows)
    assert small["seconds"][0] > 0
    assert set(compiled) == {"compile", "temporaries"} < set(whole)
    for name in ("cost.json", "cost.md", "cost.png"):
        assert (tmp_path / "quick" / name).stat().st_size > 100
