"""Programs of training: compiled once for all seeds and data, and apart for whatever else is not the same."""

import dataclasses
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data
from jaxgen.parallel import Layout
from jaxgen.programs import KEPT, finite, programs

TRACED = []


@dataclasses.dataclass(frozen=True)
class Watched(tiny.Faulty):
    """Notes when it is traced; its power changes nothing."""

    power: float = 2.0

    def step(self, key, state, x):
        TRACED.append(self.power)
        return super().step(key, state, x)


class Unhashable(Watched):
    __hash__ = None


def train(method, **changes):
    """Train, and count how often the step was traced for it."""
    TRACED.clear()
    result = jaxgen.train(dataclasses.replace(tiny.config(method), **changes), progress=False)
    return result, len(TRACED)


def test_a_second_run_traces_nothing():
    """Whatever its root seed, its number of steps, and the numbers in its data."""
    first, traced = train(Watched(power=3.0))
    assert traced > 0
    (x,) = tiny.config(Watched()).data.tables()
    other, traced = train(Watched(power=3.0), seed=5, steps=2 * first.steps, data=data.Arrays(2 * x))
    assert traced == 0
    assert other.history["draw"].shape == (2, 2 * first.steps)
    assert not np.isin(first.history["draw"], other.history["draw"]).any()
    again, traced = train(Watched(power=3.0))
    assert traced == 0
    np.testing.assert_array_equal(again.history["draw"], first.history["draw"])


OTHERS = {
    "another number": (Watched(power=5.0), {}),
    "an equal number of another kind": (Watched(power=4), {}),
    "another minibatch": (Watched(power=4.0), {"batch_size": 10}),
    "another segment": (Watched(power=4.0), {"every": 2}),
    "another order": (Watched(power=4.0), {"shuffle": False}),
    "other devices": (Watched(power=4.0), {"layout": Layout(devices=2)}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_differs_is_traced_apart(name):
    train(Watched(power=4.0))
    method, changes = OTHERS[name]
    assert train(method, **changes)[1] > 0


def test_a_method_without_a_hash_is_traced_every_time():
    config = tiny.config(Unhashable())
    assert programs(config) is not programs(config)
    results = [train(Unhashable()) for _ in range(2)]
    assert all(traced > 0 for _, traced in results)
    np.testing.assert_array_equal(*(result.history["draw"] for result, _ in results))


def test_so_many_are_kept():
    configs = [tiny.config(Watched(power=10.0 + number)) for number in range(KEPT + 1)]
    kept = [programs(config) for config in configs]
    assert programs(configs[-1]) is kept[-1]
    assert programs(configs[0]) is not kept[0]


def test_another_root_seed_compiles_nothing():
    """Seeds are given to the programs, not built into them: five runs of one model are compiled once."""
    rate = random.SystemRandom().uniform(1e-3, 2e-3)  # one that no earlier run has left in the cache
    config = tiny.config(tiny.evl(learning_rate=rate))
    first = jaxgen.train(dataclasses.replace(config, seed=1), progress=False)
    missed = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_misses":
            missed.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        second = jaxgen.train(dataclasses.replace(config, seed=2), progress=False)
        assert missed == []
        jaxgen.train(dataclasses.replace(config, steps=2 * config.steps, every=2 * config.every), progress=False)
        assert missed  # the listener hears what is compiled
    finally:
        jax.monitoring.unregister_event_listener(listen)
    assert np.all(first.history["loss"] != second.history["loss"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_one_number_that_is_not_finite_is_found_among_many(bad):
    leaves = {"a": jnp.ones((3, 50)), "b": jnp.ones((7,), jnp.bfloat16).at[5].set(bad), "c": jnp.zeros((0, 2))}
    large = jnp.ones((100, 100)).at[70, 3].set(bad)  # of which XLA's largest may not be the one that is no number
    for tree in ((leaves, jnp.arange(3)), large, jnp.full((64, 64), bad)):
        assert bool(jax.jit(finite)(tree)) == np.isfinite(bad)
