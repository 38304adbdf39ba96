"""Programs of training: compiled once for all seeds and data, and apart for whatever else is not the same."""

import dataclasses
import random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data
from jaxgen.parallel import Layout
from jaxgen.training import compilation as programs_module
from jaxgen.training.compilation import MAX_CACHED_PROGRAMS, finite, programs

TRACED = []


@dataclasses.dataclass(frozen=True)
class Watched(tiny.Faulty):
    """Notes when it is traced; its power changes nothing."""

    power: Any = 2.0

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


@pytest.fixture(autouse=True)
def _nothing_kept():
    programs_module._programs.cache_clear()
    programs_module._convolves.cache_clear()


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_second_run_traces_nothing(seeds):
    """Whatever its root seed, its number of steps, and the numbers in its data."""
    first, traced = train(Watched(), num_seeds=seeds)
    assert traced > 0
    (x,) = tiny.config(Watched()).data.tables()
    other, traced = train(Watched(), num_seeds=seeds, seed=5, steps=2 * first.steps, data=data.Arrays(2 * x))
    assert traced == 0
    assert other.history["draw"].shape == (seeds, 2 * first.steps)
    assert not np.isin(first.history["draw"], other.history["draw"]).any()
    again, traced = train(Watched(), num_seeds=seeds)
    assert traced == 0
    np.testing.assert_array_equal(again.history["draw"], first.history["draw"])


OTHERS = {
    "another number": (Watched(power=5.0), {}),
    "an equal number of another kind": (Watched(power=4), {}),
    "an equal number of NumPy's": (Watched(power=np.float32(4)), {}),
    "another minibatch": (Watched(power=4.0), {"batch_size": 10}),
    "another segment": (Watched(power=4.0), {"steps_per_call": 2}),
    "another order": (Watched(power=4.0), {"shuffle": False}),
    "other devices": (Watched(power=4.0), {"layout": Layout(devices=2)}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_differs_is_traced_apart(name):
    assert train(Watched(power=4.0), num_seeds=1)[1] > 0
    method, changes = OTHERS[name]
    assert train(method, num_seeds=1, **changes)[1] > 0


def test_another_generator_is_traced_apart():
    _, traced = train(Watched(), num_seeds=1)
    assert traced > 0
    with jax.default_prng_impl("rbg"):
        rbg, traced = train(Watched(), num_seeds=1)
        assert traced > 0
    with jax.default_prng_impl("unsafe_rbg"):  # whose keys have as many words
        unsafe, traced = train(Watched(), num_seeds=1)
        assert traced > 0
    assert not np.isin(rbg.history["draw"], unsafe.history["draw"]).any()


FORGOTTEN = {
    "without a hash": Unhashable(),
    "with an array": Watched(power=np.ones(2)),
    "of a function without a name": Watched(power=lambda: 2.0),
}


@pytest.mark.parametrize("name", FORGOTTEN)
def test_what_may_change_under_its_name_is_traced_every_time(name):
    results = [train(FORGOTTEN[name], num_seeds=1) for _ in range(2)]
    assert all(traced > 0 for _, traced in results)
    np.testing.assert_array_equal(*(result.history["draw"] for result, _ in results))


def test_so_many_are_kept():
    configs = [tiny.config(Watched(power=10.0 + number)) for number in range(MAX_CACHED_PROGRAMS + 1)]
    kept = [programs(config) for config in configs]
    assert all(programs(config) is known for config, known in zip(configs[1:], kept[1:], strict=True))
    assert programs(configs[0]) is not kept[0]


@pytest.fixture
def kept_whatever_it_took():
    """Write every program into the persistent cache: how long one took to compile must not decide what is found."""
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.clear_caches()  # what was compiled before was perhaps not written
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


@pytest.mark.usefixtures("kept_whatever_it_took")
def test_another_process_finds_other_root_seeds_compiled():
    """Seeds are given to the programs, not built into them: the persistent cache knows the program of five runs."""
    rate = random.SystemRandom().uniform(1e-3, 2e-3)  # one that no earlier run has left in the cache
    config = tiny.config(tiny.evl(learning_rate=rate))
    first = jaxgen.train(dataclasses.replace(config, seed=1), progress=False)
    jax.clear_caches()  # as in another process
    missed = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_misses":
            missed.append(event)

    jax.monitoring.register_event_listener(listen)
    try:
        second = jaxgen.train(dataclasses.replace(config, seed=2), progress=False)
        assert missed == []
        jaxgen.train(
            dataclasses.replace(config, steps=2 * config.steps, steps_per_call=2 * config.steps_per_call),
            progress=False,
        )
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
