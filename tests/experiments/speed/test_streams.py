"""Speed and memory of streams, measured end to end on a small file."""

import math

import pytest

from experiments.speed import streams


@pytest.mark.slow
def test_each_feed_is_timed_and_the_memory_of_a_process_is_measured(tmp_path):
    pytest.importorskip("grain", reason="Grain is not installed")
    speeds, memory = streams.Experiment(quick=True, cache_dir=tmp_path).run()
    titles = [row.title for row in speeds.rows]
    assert titles[:2] == ["MLP, in memory", "MLP, stream"]
    for row in speeds.rows:
        (rate,), (ratio,), (first,) = row.values["rate"], row.values["ratio"], speeds.rows[0].values["rate"]
        assert 0 < rate < math.inf
        assert ratio == pytest.approx(rate / first)
    (row,) = memory.rows
    assert row.values["resident"][0] > row.values["anonymous"][0] > 0
    assert row.values["resident"][0] > row.values["before"][0]
