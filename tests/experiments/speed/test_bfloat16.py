"""Short trainings in both dtypes: the experiment runs, and its verdict follows from the numbers."""

import numpy as np
import pytest

from experiments.speed import bfloat16, preflight_bfloat16


def test_differences_are_in_standard_deviations_of_single_precision():
    assert bfloat16.deviations([1.0, 3.0], [4.0, 4.0]) == pytest.approx(2 / np.sqrt(2))
    assert bfloat16.deviations([1.0, 1.0], [1.0, 1.0]) == 0  # a method without networks


@pytest.mark.slow
def test_both_dtypes_are_trained_and_compared(tmp_path):
    (table,) = bfloat16.Experiment(quick=True, cache_dir=tmp_path).run()
    for row in table.rows:
        assert len(row.values["float32"]) == len(row.values["bfloat16"]) == 2
        assert row.values["float32"] != row.values["bfloat16"]
        assert np.isfinite(row.values["deviations"]).all()


def test_only_the_dtype_differs():
    for method in bfloat16.CASES:
        single, half = (bfloat16.Experiment().config(method, dtype) for dtype in bfloat16.DTYPES)
        assert (single.method, single.data, single.steps) == (half.method, half.data, half.steps)
        assert (single.layout.compute_dtype, half.layout.compute_dtype) == tuple(bfloat16.DTYPES.values())


def test_preflight_compares_the_same_runs(monkeypatch, tmp_path, capsys):
    reports = {None: 100, "bfloat16": 60}

    class Report:
        def __init__(self, dtype):
            self.dtype = dtype

        def to_json(self):
            found = {"temporary_bytes": reports[self.dtype], "state_bytes": 10, "needed_bytes": 200}
            return {**found, "step_seconds": None, "versions": "jax"}

    name = lambda config: None if config.layout.compute_dtype is None else "bfloat16"
    monkeypatch.setattr(preflight_bfloat16.jaxgen, "preflight", lambda config, target: Report(name(config)))
    (table,) = preflight_bfloat16.Experiment(quick=True, cache_dir=tmp_path).run()
    assert table.rows[0].values["ratio"] == [0.6]
