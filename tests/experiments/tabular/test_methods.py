"""Other methods on tables: the experiment end to end with a small method."""

import numpy as np

from experiments.tabular import methods as table_methods
from jaxgen import methods, nets


def test_the_experiment_from_end_to_end(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(size=(200, 2)), generator.normal(6, 1, size=(20, 2))])
    np.savez(tmp_path / "4_breastw.npz", X=x, y=np.repeat([0, 1], [200, 20]))
    small = methods.Flow(nets.dense_flow(2, depth=1, widths=(4,)))
    monkeypatch.setattr(table_methods, "METHODS", {"vae": small})
    experiment = table_methods.Experiment(
        folder=tmp_path, sets=("4_breastw",), methods=("vae",), num_seeds=1, cache_dir=tmp_path / "cells"
    )
    (table,) = experiment.run()
    one, mean = table.rows
    assert one.values == mean.values
    assert all(0.9 < one.values[name][0] <= 1 for name in ("auroc", "untrained_auroc"))
