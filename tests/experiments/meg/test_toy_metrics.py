"""Metrics of an energy in the plane."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.meg import toy_metrics
from jaxgen import metrics

MEAN = np.array([0.7, -0.4])


class Known:
    """An energy that is a parabola about a point, and a generator that doubles its noise."""

    energy = staticmethod(lambda state, x: 0.5 * jnp.sum((x - jnp.broadcast_to(MEAN, x.shape)) ** 2, -1))
    decode = staticmethod(lambda state, z: 2 * z)

    def latent_log_density(self, state, *, density):
        return density(lambda x: self.energy(state, x), lambda z: self.decode(state, z))

    def data_log_density(self, state):
        return lambda x: -self.energy(state, x)


def test_the_best_inverse_temperature_is_found():
    centres = (np.arange(toy_metrics.FINE.bins) + 0.5) * 4 / toy_metrics.FINE.bins - 2
    log_density = -0.5 * (centres[:, None] ** 2 + centres[None] ** 2).ravel() / 0.09
    counts = np.exp(3 * log_density)
    assert abs(toy_metrics._best_inverse_temperature(log_density, counts / counts.sum()) - 3) < 0.01


def test_energies_are_in_the_order_of_the_grid(monkeypatch):
    monkeypatch.setattr(toy_metrics, "FINE", metrics.Grid(4, -2.0, 2.0))
    x = np.array([[-1.5, 0.5]])  # the first cell of four, and the third
    energies = toy_metrics._energies(Known(), 0)
    assert energies[toy_metrics.FINE(x).argmax()] == pytest.approx(Known.energy(0, x)[0])
    assert energies.reshape(4, 4)[0, 2] == pytest.approx(Known.energy(0, x)[0])
    assert toy_metrics.FINE(toy_metrics._sample_cells(np.random.default_rng(0), np.eye(16)[2]))[2] == 1


def test_chains_run_at_the_inverse_temperature(monkeypatch):
    """A parabola of 4 has the variance 1/4; tilted by the prior of doubled noise, of variance 4, 4/17."""
    for name, value in {"NUM_CHAINS": 400, "ADAPTATION_STEPS": 200, "CHAIN_STEPS": 50}.items():
        monkeypatch.setattr(toy_metrics, name, value)
    monkeypatch.setattr(toy_metrics, "measure_samples", lambda distribution, x: {"x": x})
    found = toy_metrics.measure_chains(Known(), 0, types.SimpleNamespace(), seed=0, inverse=4.0)
    for row, mean, variance in (("latent", MEAN, 1 / 4), ("data", MEAN, 1 / 4), ("tilted", MEAN * 16 / 17, 4 / 17)):
        np.testing.assert_allclose(found[row]["x"].mean(0), mean, atol=0.02)
        np.testing.assert_allclose(found[row]["x"].var(0), variance, rtol=0.05)
        assert 0.5 < found[row]["acceptance"] < 0.65
