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
from jaxgen import data, parallel
from jaxgen.parallel import Layout
from jaxgen.training import compilation
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
    kept = functools.lru_cache(maxsize=MAX_CACHED_PROGRAMS)(compilation._programs.__wrapped__)
    monkeypatch.setattr(compilation, "_programs", kept)
    compilation._convolves.cache_clear()


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


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg"])
def test_keys_of_steps_are_folded_in_turn(generator):
    """Retry, device and step are folded into the second half of the seed's key."""
    config = dataclasses.replace(tiny.config(Watched()), num_seeds=2, layout=Layout(devices=3), seed=2**32 - 1)
    with jax.default_prng_impl(generator):
        words = compilation.root_keys(config)
        roots = [jax.random.fold_in(jax.random.key(config.seed), seed) for seed in range(2)]
        np.testing.assert_array_equal(words, [jax.random.key_data(root) for root in roots], strict=True)
        halves = [jax.random.split(root) for root in roots]
        starts = [jax.random.key_data(half[0]) for half in halves]
        np.testing.assert_array_equal(compilation.init_keys(words), starts, strict=True)
        found = compilation.step_keys(config, words, np.array([0, 2]), 5, 4)
        assert found.shape[:3] == (2, 3, 4)
        for seed, device, step in ((0, 0, 0), (0, 2, 1), (1, 0, 3), (1, 1, 0)):
            key = jax.random.fold_in(jax.random.fold_in(halves[seed][1], (0, 2)[seed]), device)
            expected = jax.random.key_data(jax.random.fold_in(key, 5 + step))
            np.testing.assert_array_equal(found[seed, device, step], expected, strict=True)


@pytest.mark.parametrize("layout", [Layout(), Layout(devices=1), Layout(transform=parallel.sharded)])
def test_start_and_segment_are_compiled_once(layout):
    """They are compiled ahead of their calls, which must find them."""
    compiled = []

    def listen(event, duration, **details):
        if event.endswith("backend_compile_duration") and details["fun_name"] in ("jit(<lambda>)", "jit(_fun)"):
            compiled.append(details["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        # No earlier test has compiled programs of this very function.
        train(Watched(power=lambda: 2.0), num_seeds=2, layout=layout)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert len(compiled) == 2, compiled


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
