"""MALA against known distributions, a direct implementation of its equations, and BlackJAX.

Stationarity is tested at 4 standard errors, 32 comparisons in all: with an arbitrary key it fails by chance in less
than 1 of 490 cases. The acceptance rule of the released code is off by more than 8 standard errors.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxgen import samplers
from jaxgen.scan import iterate, keys

CHAINS = 2048
DIMENSIONS = [2, 16, pytest.param(128, marks=pytest.mark.slow)]


def normal(x):
    return -0.5 * jnp.sum(x**2)


def skewed(x):
    """Two unequal modes in one dimension, along a curve in more."""
    return -((x[0] ** 2 - 1) ** 2) + 0.4 * x[0] - 0.5 * jnp.sum((x[1:] - 0.5 * x[0] ** 2) ** 2)


def langevin(dimensions):
    return samplers.MALA(normal, 1.3 / dimensions ** (1 / 3))  # acceptance rate of 60 to 80 %


def published(mala, power):
    """Equations 9 to 11 as printed, with an exponent of the norm: 2 in the paper, 1 in the released code."""

    def step(key, state):
        key_noise, key_accept = jax.random.split(key)
        noise, a = jax.random.normal(key_noise, state.position.shape), mala.step_size
        there = mala.init(state.position + a * state.score + math.sqrt(2 * a) * noise)
        log_q = lambda to, at: -(jnp.linalg.norm(to.position - at.position - a * at.score) ** power) / (4 * a)
        log_r = there.log_density - state.log_density + log_q(state, there) - log_q(there, state)
        accepted = jax.random.uniform(key_accept) < jnp.exp(jnp.minimum(log_r, 0))
        return jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, state), accepted

    return step


@dataclasses.dataclass(frozen=True)
class Kernel:
    init: object
    step: object


def standard_errors(process, dimensions, variance=1.0):
    """Errors of mean and variance in standard errors, 50, 100, 150 and 200 steps after a stationary start."""
    chains = samplers.Chains(process)
    key = jax.random.key(dimensions)

    @jax.jit
    def run(position, start):
        return iterate(chains.step, key, chains.init(position), length=50, start=start)[0].position

    x = math.sqrt(variance) * jax.random.normal(key, (CHAINS, dimensions))
    errors, n = [], CHAINS * dimensions
    for start in range(0, 200, 50):
        x = run(x, start)
        exact = np.asarray(x, np.float64)
        errors += [exact.mean() * math.sqrt(n / variance), ((exact**2).mean() / variance - 1) * math.sqrt(n / 2)]
    return np.abs(errors)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_a_stationary_start_stays_stationary(dimensions):
    assert (standard_errors(langevin(dimensions), dimensions) < 4).all()


@pytest.mark.parametrize("dimensions", DIMENSIONS)
def test_the_released_rule_is_not_stationary(dimensions):
    mala = langevin(dimensions)
    assert standard_errors(Kernel(mala.init, published(mala, 1)), dimensions).max() > 8


def test_each_step_equals_the_published_one():
    mala = samplers.MALA(skewed, 0.1)

    def both(key, states):
        (ours, move), (plain, accepted) = mala.step(key, states[0]), published(mala, 2)(key, states[1])
        return (ours, plain), (ours.position, plain.position, move.accepted, accepted)

    @jax.jit
    def run(start):
        return iterate(both, jax.random.key(3), (mala.init(start), mala.init(start)), length=200)[1]

    ours, plain, accepted, expected = run(jnp.array([0.3, -0.2, 0.1]))
    np.testing.assert_array_equal(accepted, expected)
    np.testing.assert_allclose(ours, plain, rtol=1e-3, atol=1e-4)
    assert 20 < accepted.sum() < 190


def test_each_step_equals_blackjax():
    blackjax = pytest.importorskip("blackjax", reason="the reference sampler is not installed")
    with jax.enable_x64(True):
        ours, theirs = samplers.MALA(skewed, 0.1), blackjax.mala(skewed, 0.1)

        def both(key, states):
            (mine, move), (other, info) = ours.step(key, states[0]), theirs.step(key, states[1])
            pairs = (mine.position, other.position), (move.acceptance, info.acceptance_rate)
            return (mine, other), (*pairs, (move.accepted, info.is_accepted))

        @jax.jit
        def run(start):
            return iterate(both, jax.random.key(3), (ours.init(start), theirs.init(start)), length=200)[1]

        for mine, other in run(jnp.array([0.3, -0.2, 0.1])):
            np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("dimensions", "beta"), [(1, 1.0), (2, 0.3)])
def test_detailed_balance_on_a_grid(dimensions, beta):
    """p(x) k(x, y) = p(y) k(y, x) in double precision, for every pair of grid points."""
    with jax.enable_x64(True):
        mala = samplers.MALA(skewed, 0.2, beta)
        axis = np.linspace(-2, 2, 41 if dimensions == 1 else 7)
        grid = jnp.asarray(np.stack(np.meshgrid(*[axis] * dimensions), -1).reshape(-1, dimensions))

        def flow(x, y):
            """log(p(x) k(x, y)), up to the constant of p."""
            state = mala.init(x)
            noise = (y - x - 0.2 * beta * state.score) / math.sqrt(0.4)
            _, move = mala.move(noise, jnp.zeros(()), state)
            log_q = -0.5 * jnp.sum(noise**2) - 0.5 * dimensions * math.log(2 * math.pi * 0.4)
            return beta * skewed(x) + log_q + jnp.log(move.acceptance)

        flows = np.asarray(jax.jit(jax.vmap(jax.vmap(flow, (None, 0)), (0, None)))(grid, grid))
    finite = np.isfinite(flows) & np.isfinite(flows.T)  # an acceptance below the smallest double is zero
    assert finite.mean() > 0.9
    np.testing.assert_allclose(np.where(finite, flows, 0), np.where(finite, flows.T, 0), rtol=1e-10, atol=1e-10)


def test_beta_multiplies_the_energy():
    assert (standard_errors(samplers.MALA(normal, 2.0, beta=0.25), 2, variance=4.0) < 4).all()


def test_the_density_and_its_gradient_are_evaluated_once_a_step():
    matrices = [jax.random.normal(key, (4, 4)) for key in keys(jax.random.key(0), 3)]

    def density(x):
        for matrix in matrices:
            x = jnp.tanh(matrix @ x)
        return jnp.sum(x)

    mala = samplers.MALA(density, 0.1)
    state = mala.init(jnp.ones(4))
    products = lambda f, *arguments: str(jax.make_jaxpr(f)(*arguments)).count("dot_general")
    once = products(jax.value_and_grad(density), jnp.ones(4))
    assert once == 6
    assert products(mala.step, jax.random.key(0), state) == once


def test_proposals_that_are_not_finite_are_rejected_and_reported():
    """A normal distribution truncated at 1: beyond, the energy is NaN in one dimension, infinite in another, and has no
    finite gradient in the third.
    """

    def density(x):
        cut = jnp.where(x[0] > 1, jnp.nan, 0.0) + jnp.where(x[1] > 1, -jnp.inf, 0.0)
        return normal(x) + cut + 0 * jnp.sqrt(jnp.maximum(1 - x[2], 0))  # beyond 1 its gradient is 0 / 0

    chains = samplers.Chains(samplers.MALA(density, 0.5))
    run = jax.jit(lambda key, x: chains.draw(key, chains.init(x), 50))
    states, x, moves = jax.tree.map(np.asarray, run(jax.random.key(0), jnp.full((512, 3), 0.5)))
    assert np.isfinite(x).all()
    assert np.isfinite(states.log_density).all()
    np.testing.assert_array_less(x.max((0, 1)), 1.0001)
    np.testing.assert_array_less(0.99, x.max((0, 1)))
    assert 0.2 < moves.not_finite.mean() < 0.8
    assert (moves.acceptance[moves.not_finite] == 0).all()
    assert not moves.accepted[moves.not_finite].any()


def test_a_start_that_is_not_finite_is_left_at_the_first_finite_proposal():
    density = lambda x: jnp.sum(jnp.where(x > 1, jnp.nan, -0.5 * x**2))
    chains = samplers.Chains(samplers.MALA(density, 0.5))
    run = jax.jit(lambda key, x: chains.draw(key, chains.init(x), 300))
    states, x, moves = jax.tree.map(np.asarray, run(jax.random.key(0), jnp.array([[1.5], [1.2], [1e6]])))
    x, lost = x[..., 0], moves.not_finite
    for chain, start in ((0, 1.5), (1, 1.2)):
        first = np.argmax(~lost[chain])
        np.testing.assert_array_equal(x[chain, :first], np.float32(start))
        assert moves.acceptance[chain, first] == 1
        assert (x[chain, first:] <= 1).all()
    assert lost[2].all()
    assert (x[2] == 1e6).all()
    assert states.log_density[2] == -jnp.inf


def test_a_step_that_overflows_is_rejected():
    mala = samplers.MALA(lambda x: -jnp.sum(x**4), 1e30)
    new, move = jax.jit(lambda key, x: mala.step(key, mala.init(x)))(jax.random.key(0), jnp.full(2, 1e3))
    assert move.not_finite
    np.testing.assert_array_equal(new.position, np.full(2, 1e3, np.float32))


def test_positions_may_be_images_or_trees():
    def run(density, position):
        mala = samplers.MALA(density, 0.3)
        return ravel_pytree(iterate(mala.step, jax.random.key(1), mala.init(position), length=20)[0].position)[0]

    @jax.jit
    def runs(x):
        parts = {"a": x[:6], "b": x[6:].reshape(2, 5)}
        return run(normal, x), run(normal, x.reshape(4, 4, 1)), run(lambda x: normal(x["a"]) + normal(x["b"]), parts)

    flat, image, tree = runs(jax.random.normal(jax.random.key(0), (16,)))
    np.testing.assert_allclose(flat, image, rtol=1e-4)
    np.testing.assert_allclose(flat, tree, rtol=1e-4)


@pytest.mark.parametrize("name", ["step_size", "beta"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_step_size_and_beta_must_be_positive_and_finite(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be positive and finite \(got {value}\)"):
        samplers.MALA(**{"log_density": normal, "step_size": 0.1, name: value})
