"""Compiled programs of training: shared between seeds and data, separate for all other differences."""

import dataclasses
import functools
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
    """Records when it is traced; its power changes no number."""

    power: Any = 2.0

    def step(self, key, state, x):
        TRACED.append(self.power)
        return super().step(key, state, x)


class Unhashable(Watched):
    __hash__ = None


def train(method, **changes):
    """Train, and count how often the step was traced."""
    TRACED.clear()
    result = jaxgen.train(dataclasses.replace(tiny.config(method), **changes), progress=False)
    return result, len(TRACED)


@pytest.fixture(autouse=True)
def _small_empty_caches(monkeypatch):
    """Empty caches of the size that users have: other tests keep all programs."""
    kept = functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)(programs_module._programs.__wrapped__)
    monkeypatch.setattr(programs_module, "_programs", kept)
    programs_module._convolves.cache_clear()


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_second_run_traces_nothing(seeds):
    """Its root seed, number of steps and data values may differ."""
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


DIFFERENT = {
    "another number": (Watched(power=5.0), {}),
    "an equal number of another kind": (Watched(power=4), {}),
    "an equal number of NumPy's": (Watched(power=np.float32(4)), {}),
    "another minibatch": (Watched(power=4.0), {"batch_size": 10}),
    "another segment": (Watched(power=4.0), {"steps_per_call": 2}),
    "other devices": (Watched(power=4.0), {"layout": Layout(devices=2)}),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_different_config_is_traced_again(name):
    assert train(Watched(power=4.0), num_seeds=1)[1] > 0
    method, changes = DIFFERENT[name]
    assert train(method, num_seeds=1, **changes)[1] > 0


def test_another_generator_is_traced_again():
    _, traced = train(Watched(), num_seeds=1)
    assert traced > 0
    with jax.default_prng_impl("rbg"):
        rbg, traced = train(Watched(), num_seeds=1)
        assert traced > 0
    with jax.default_prng_impl("unsafe_rbg"):  # its keys have the same number of words
        unsafe, traced = train(Watched(), num_seeds=1)
        assert traced > 0
    assert not np.isin(rbg.history["draw"], unsafe.history["draw"]).any()


NOT_CACHED = {
    "without a hash": Unhashable(),
    "with an array": Watched(power=np.ones(2)),
    "of a function without a name": Watched(power=lambda: 2.0),
}


@pytest.mark.parametrize("name", NOT_CACHED)
def test_a_method_that_cannot_be_compared_is_traced_every_time(name):
    results = [train(NOT_CACHED[name], num_seeds=1) for _ in range(2)]
    assert all(traced > 0 for _, traced in results)
    np.testing.assert_array_equal(*(result.history["draw"] for result, _ in results))


def test_the_cache_drops_the_oldest_program():
    configs = [tiny.config(Watched(power=10.0 + number)) for number in range(MAX_CACHED_PROGRAMS + 1)]
    kept = [programs(config) for config in configs]
    assert all(programs(config) is known for config, known in zip(configs[1:], kept[1:], strict=True))
    assert programs(configs[0]) is not kept[0]


@pytest.fixture
def persistent_cache_of_all_programs():
    """Write every program to the persistent cache, however short its compilation was."""
    before = jax.config.jax_persistent_cache_min_compile_time_secs
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.clear_caches()  # earlier programs may not have been written
    yield
    jax.config.update("jax_persistent_cache_min_compile_time_secs", before)


@pytest.mark.slow
@pytest.mark.usefixtures("persistent_cache_of_all_programs")
def test_the_persistent_cache_serves_other_root_seeds():
    """Root seeds are arguments of the programs, not constants, so they do not change the key of the cache."""
    rate = random.SystemRandom().uniform(1e-3, 2e-3)  # a value that no earlier run has put into the cache
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
        assert missed  # the listener does record compilations
    finally:
        jax.monitoring.unregister_event_listener(listen)
    assert np.all(first.history["loss"] != second.history["loss"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0])
def test_one_number_that_is_not_finite_is_detected_among_many(bad):
    leaves = {"a": jnp.ones((3, 50)), "b": jnp.ones((7,), jnp.bfloat16).at[5].set(bad), "c": jnp.zeros((0, 2))}
    large = jnp.ones((100, 100)).at[70, 3].set(bad)  # XLA's maximum of it may miss NaN
    for tree in ((leaves, jnp.arange(3)), large, jnp.full((64, 64), bad)):
        assert bool(jax.jit(finite)(tree)) == np.isfinite(bad)
