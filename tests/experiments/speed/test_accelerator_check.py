"""The check of a machine: it runs on simulated devices, and compares with the committed losses."""

import numpy as np
import pytest

from experiments.speed import accelerator_check, bfloat16


def test_every_method_has_committed_losses_of_a_cpu():
    losses = accelerator_check.cpu_losses()
    assert set(losses) == set(bfloat16.CASES)
    assert all(len(values) == 5 and np.isfinite(values).all() for values in losses.values())


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 4])
def test_it_runs_on_simulated_devices(devices, tmp_path):
    experiment = accelerator_check.Experiment(quick=True, cache_dir=tmp_path, devices=devices)
    (table,) = experiment.run()
    assert len(table.rows) == 2
    for row in table.rows:
        assert len(row.values["loss"]) == 2
        assert np.isfinite(row.values["loss"]).all()
        assert row.values["step_seconds"][0] > 0
        assert 0 < row.values["predicted"][0] < 1_000
    assert (tmp_path / "quick" / "accelerator_check.json").is_file()
