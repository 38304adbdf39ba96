"""What penalties leave of a map and its weights, end to end with few points."""

import numpy as np
import pytest

from experiments.mmd import map_tasks, regularization


@pytest.mark.slow
def test_every_penalty_is_evaluated_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(map_tasks, "POINTS", 200)
    experiment = regularization.Experiment(penalties=("none", "L2, 0.1"), epochs=20, quick=True, cache_dir=tmp_path)
    (table,) = experiment.run()
    plain, shrunken = (row.values for row in table.rows)
    # L2 alone would leave exp(-2 x 0.1 x 0.01 x 160) = 0.726 of each layer.
    for layer in regularization.LAYERS:
        assert 0.6 < shrunken[layer][0] < 0.8 < plain[layer][0]
    assert shrunken["narrow"][0] < plain["narrow"][0]
    assert np.isfinite([number for row in (plain, shrunken) for numbers in row.values() for number in numbers]).all()
    for name in ("regularization.json", "regularization.md", "regularization.png"):
        assert (tmp_path / "quick" / name).stat().st_size > 500


def test_unknown_penalties_are_an_error():
    with pytest.raises(SystemExit, match="L3"):
        regularization.Experiment(penalties=("L3",))
