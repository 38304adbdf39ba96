"""The experiment end to end on scikit-learn's small digits, with dense networks; chains on a known density."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from experiments.common import cache
from experiments.meg import chains, image_models
from jaxgen import data


@pytest.mark.slow
def test_every_walk_is_measured_written_and_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(image_models, "networks", tiny.adversaries)
    monkeypatch.setitem(chains.IMAGE_SETS, "mnist", ("digits", data.ScaledToTanh(data.Digits())))
    for name, value in {"CHAIN_STEPS": 20, "ADAPTATION_STEPS": 5, "NUM_CHAINS": 8}.items():
        monkeypatch.setattr(chains, name, value)
    experiment = chains.Experiment(steps=4, quick=True, cache_dir=tmp_path)
    (table,) = experiment.run()
    assert [row.title for row in table.rows[:2]] == [
        "latent space, step size published",
        "among the images, step size published",
    ]
    assert len(table.rows) == 2 * 4
    for row in table.rows:
        assert np.isfinite([row.values[name][0] for name in ("acceptance", "start", "end")]).all()
    starts = [row.values["start"][0] for row in table.rows[:4]]
    np.testing.assert_allclose(starts, starts[0], rtol=1e-4)  # from the same noise
    assert table.rows[0].values["step_size"] == [pytest.approx(0.01)]
    assert (tmp_path / "quick" / "chains_mnist.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "quick" / "chains_mnist.json").read_text())["config"]["fields"]["steps"] == 4
    monkeypatch.setattr(cache, "write_whole", None)  # nothing is computed a second time
    assert experiment.run()[0].rows == table.rows


def test_energies_are_relative_to_the_data():
    assert chains.above_data({"start": 5.0, "end": 2.0, "data": 3.0, "ess": 1.0}) == {
        "start": 2.0,
        "end": -1.0,
        "data": 3.0,
        "ess": 1.0,
    }


def test_a_walk_on_a_normal_density_adapts_and_goes_downhill(monkeypatch):
    monkeypatch.setattr(chains, "BETA", 1.0)
    energy = lambda x: 0.5 * jnp.sum(x**2)
    observe = lambda _, x: (jnp.clip(x, 0, 1).reshape(-1, 2, 2, 1), 0.5 * jnp.sum(x**2, -1))
    start = jnp.full((64, 4), 5.0)
    found = chains.run_chains(jax.random.key(0), lambda _: lambda x: -energy(x), observe, {}, start, adapt=True)
    assert found["start"] == 50
    assert abs(found["end"] - 2) < 0.8  # the mean of half a chi-square of four degrees; its error is 0.18
    assert abs(found["acceptance"] - 0.574) < 0.06
    assert np.shape(found["images"]) == (11, 6, 2, 2, 1)


def test_unknown_sets_are_an_error():
    with pytest.raises(SystemExit, match="sets must be among mnist"):
        chains.Experiment(sets=("letters",))
