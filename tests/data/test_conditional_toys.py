"""Conditional data: shapes, seeds, the ring's modes, and the pendulum's energy and small oscillations."""

import numpy as np
import pytest

from jaxgen import data
from jaxgen.data import conditional_toys

KINDS = {"ring": (data.NoisyRing, 1), "pendulum": (data.DoublePendulum, 2)}


@pytest.mark.parametrize("name", KINDS)
def test_pairs_of_inputs_and_outcomes(name):
    make, d = KINDS[name]
    ((x, y),) = make(n=30, seed=3).tables()
    assert (x.shape, y.shape, x.dtype, y.dtype) == ((30, 1), (30, d), np.float32, np.float32)
    ((again, _),) = make(n=30, seed=3).tables()
    ((other, _),) = make(n=30, seed=4).tables()
    np.testing.assert_array_equal(x, again)
    assert not np.array_equal(x, other)
    many = make().outcomes(np.random.default_rng(0), x.astype(float), 5)
    assert many.shape == (30, 5, d)


def test_the_ring_has_two_branches():
    at = np.array([[0.0], [0.6]])
    y = data.NoisyRing().outcomes(np.random.default_rng(0), at, 20_000)[..., 0]
    for height, found in zip((1.0, 0.8), y, strict=True):
        assert abs((found > 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(20_000)
        np.testing.assert_allclose([found[found > 0].mean(), found[found > 0].std()], [height, 0.1], atol=0.005)


def energy(state):
    """Kinetic plus potential energy of two masses of 1 at the ends of rods of length 1."""
    angles, rates = state[:2], state[2:]
    place = np.cumsum([np.sin(angles), -np.cos(angles)], 1)  # [x or y, mass, ...]: the second hangs on the first
    velocity = np.cumsum([np.cos(angles) * rates, np.sin(angles) * rates], 1)
    return (velocity**2).sum((0, 1)) / 2 + 9.81 * place[1].sum(0)


def test_a_pendulum_keeps_its_energy():
    state = np.concatenate([np.full((2, 7), 3.0) + np.linspace(-0.1, 0.1, 7), np.zeros((2, 7))])
    before = energy(state)
    for _ in range(300):
        state = conditional_toys._runge_kutta(state, 0.01)
    assert np.abs(state[:2] - 3.0).max() > 1  # it has moved
    np.testing.assert_allclose(energy(state), before, atol=2e-2)  # the energy's range is 60


def test_small_oscillations_have_the_analytic_frequency():
    """Small angles: the slow mode, second angle sqrt(2) times the first, has the frequency sqrt(g (2 - sqrt 2))."""
    frequency = np.sqrt(conditional_toys.GRAVITY * (2 - np.sqrt(2)))
    state = np.array([1e-3, np.sqrt(2) * 1e-3, 0.0, 0.0])
    for _ in range(1000):
        state = conditional_toys._runge_kutta(state, 1e-3)
    np.testing.assert_allclose(state[:2], np.cos(frequency) * np.array([1, np.sqrt(2)]) * 1e-3, atol=1e-6)


def test_a_finer_time_step_gives_the_same_positions():
    at = np.array([[1.7], [2.4]])
    coarse, fine = (
        data.DoublePendulum(step=step).outcomes(np.random.default_rng(0), at, 50) for step in (0.01, 0.0025)
    )
    assert np.abs(coarse - fine).max() < 0.02
    assert (np.linalg.norm(fine, axis=-1) <= 2 + 1e-9).all()
