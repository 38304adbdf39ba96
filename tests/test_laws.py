"""Properties of `train` that hold for every method, checked for all methods of one table."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import parallel
from jaxgen.data.batches import plan, take
from jaxgen.parallel import Layout
from jaxgen.training import loop

SERIAL = Layout(seeds=parallel.serial, devices=1)
BATCHED = Layout(seeds=parallel.batched, devices=1)
CLOSE = functools.partial(chex.assert_trees_all_close, rtol=1e-5, atol=1e-6)
# Variants left out here: other methods of the table cover their code paths, and their own tests cover the rest.
ALIKE = {"evl pool", "evl chunked pool", "evl own", "evl own in chunks", "evl head", "evl sgd", "mixture density given"}
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
METHODS = pytest.mark.parametrize("name", [name for name in tiny.METHODS if name not in ALIKE])


def train(config, **named):
    return jaxgen.train(config, progress=False, **named)


# The laws share the compiled programs of two seeds. They serve any number of steps, so the long run whose loss must
# fall needs no other.
FALLING = [name for name in tiny.METHODS if name not in ALIKE and name.startswith(tuple(tiny.FALLS))]


def configured(name, **changes):
    return tiny.config(tiny.METHODS[name], **{"batch_size": 32 if name in FALLING else 8, **changes})


@functools.cache
def ran(name):
    """Run shared by several tests."""
    return train(configured(name))


# Pieces of a run differ in the step, in the rows of each and in what is carried: a plain state, one of several
# networks with chains and running statistics, and one of several trainings in a step.
@pytest.mark.parametrize("name", ["evl weighted", "meg", SLOW("gan"), SLOW("vae")])
def test_a_run_in_pieces_is_the_whole_run(name):
    whole = train(configured(name, steps_per_call=6))
    pieces = ran(name)
    chex.assert_trees_all_equal(whole.state, pieces.state)
    chex.assert_trees_all_equal(whole.history, pieces.history)


@METHODS
def test_a_seed_does_not_depend_on_the_others(name, monkeypatch):
    """Another second seed leaves all bytes of the first, by the same programs."""
    one, roots = ran(name), loop.root_keys
    other_second = lambda config: np.stack([roots(config)[0], roots(dataclasses.replace(config, seed=5))[1]])
    monkeypatch.setattr(loop, "root_keys", other_second)
    other = train(configured(name))
    first, second = (lambda tree, seed=seed: jax.tree.map(lambda leaf: np.asarray(leaf)[seed], tree) for seed in (0, 1))
    chex.assert_trees_all_equal(first((one.state, one.history)), first((other.state, other.history)))
    assert not np.array_equal(second(one.history["loss"]), second(other.history["loss"]))


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        *(
            (name, BATCHED) if name in ("evl weighted", "meg") else SLOW(name, BATCHED)
            for name in tiny.METHODS
            if name not in ALIKE
        ),
        ("evl weighted", SERIAL),
        SLOW("gan", SERIAL),
    ],
    ids=lambda value: {SERIAL: "serial", BATCHED: "batched"}.get(value, value),
)
def test_a_seed_alone_is_the_one_among_others(name, layout):
    alone = train(configured(name, num_seeds=1, layout=layout))
    among = ran(name) if layout is BATCHED else train(configured(name, layout=layout))
    first = jax.tree.map(lambda leaf: leaf[:1], (among.state, among.history))
    near = functools.partial(CLOSE, atol=1e-5) if name == "archetypes" else CLOSE
    same = chex.assert_trees_all_equal if layout is SERIAL else near
    # `explained` is computed as 1 minus a ratio, so near 0 only the ratio is accurate to rounding.
    left = lambda history: {name: 1 - value if name == "explained" else value for name, value in history.items()}
    # A coordinate of an archetype near 0 is a sum of large ones, so rounding is relative to the largest coordinate.
    scale = lambda state: jax.tree.map(lambda leaf: leaf / np.abs(leaf).max(), state) if name == "archetypes" else state
    same((scale(alone.state), left(alone.history)), (scale(first[0]), left(first[1])))
    assert not np.array_equal(among.history["loss"][0], among.history["loss"][1])


@METHODS
def test_history_state_and_traces(name):
    result = ran(name)
    assert all(metric.shape == (2, 6) and np.isfinite(metric).all() for metric in result.history.values())
    assert {"loss", "retries"} <= set(result.history)
    method = result.config.method
    rows = jax.tree.map(lambda leaf: jnp.asarray(leaf[:8]), result.config.data.tables())
    spec = jax.eval_shape(method.init, jax.random.key(0), *rows)
    shapes = jax.tree.map(lambda leaf: ((2, *leaf.shape), leaf.dtype), spec)
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), result.state) == shapes


@pytest.mark.parametrize("name", FALLING)
def test_the_loss_falls(name):
    config = configured(name, steps=402)
    metric, fallen = next(rule for start, rule in tiny.FALLS.items() if name.startswith(start))
    for values in train(config).history[metric]:
        assert fallen(values[:10].mean(), values[-50:].mean())


@METHODS
def test_saving_and_loading_is_the_identity(name, tmp_path):
    result = ran(name)
    result.save(tmp_path / "run")
    loaded = jaxgen.load(tmp_path / "run", trusted=("tiny",))
    chex.assert_trees_all_equal((result.state, result.history), (loaded.state, loaded.history))
    assert loaded.config == result.config
    if name not in (*tiny.CONDITIONAL, *tiny.JUDGES, *tiny.MAPS):
        np.testing.assert_array_equal(result.sample(jax.random.key(0), 5), loaded.sample(jax.random.key(0), 5))


@pytest.mark.parametrize("name", ["evl sgd", "evl chunked pool", "mean"])
def test_four_devices_use_the_mean_of_four_gradients(name):
    """Every step by hand: each device has its rows and its folded key. SGD would reveal a wrong scale."""
    method = {"mean": tiny.Mean(), **tiny.METHODS}[name]
    if name != "mean":
        method = dataclasses.replace(method, optimizer=tiny.METHODS["evl sgd"].optimizer, learning_rate=0.01)
    config = tiny.config(method, num_seeds=1, layout=Layout(devices=4))
    result = train(config)
    method, (x,) = result.config.method, config.data.tables()
    root = jax.random.fold_in(jax.random.key(0), 0)
    key_init, key_steps = jax.random.split(root)
    rows = jnp.asarray(plan([*map(int, jax.random.key_data(root)), 0], len(x), 8, 0, config.steps))
    state = jax.jit(method.init)(key_init, take(jnp.asarray(x), rows[0]))
    gradient = jax.jit(jax.grad(lambda p, key, share: method.loss(key, p, state.model_state, share)[0]))
    for t in range(config.steps):
        gradients = []
        for device in range(4):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key_steps, 0), device), t)
            share = take(jnp.asarray(x), rows[t, 2 * device : 2 * device + 2])
            gradients.append(gradient(state.params, key, share))
        mean = jax.tree.map(lambda *g: np.mean(g, 0), *gradients)
        rate = np.float32(0.1 if name == "mean" else 0.01)
        descended = jax.tree.map(lambda p, g: np.asarray(p) - rate * g, state.params, mean)  # noqa: B023
        state = state._replace(params=descended)
    CLOSE(result.state_of(0).params, state.params)


@pytest.mark.parametrize("name", ["evl sgd", *map(SLOW, ("evl own in chunks", "vae", "mmd map", "archetypes"))])
def test_shard_map_and_pmap_agree_to_the_last_bit(name):
    results = [
        train(tiny.config(tiny.METHODS[name], layout=Layout(devices=4, transform=transform)))
        for transform in (parallel.pmapped, parallel.sharded)
    ]
    chex.assert_trees_all_equal(results[0].state, results[1].state)
    chex.assert_trees_all_equal(results[0].history, results[1].history)


def test_the_state_is_the_same_on_every_device(monkeypatch):
    monkeypatch.setattr(parallel, "first", lambda tree: tree)  # keep all copies, of which the result takes one
    result = train(tiny.config(tiny.METHODS["evl pool"], layout=Layout(devices=4)))
    for leaf in jax.tree.leaves(result.state):
        copies = [np.asarray(shard.data) for shard in leaf.addressable_shards]
        assert len(copies) == 4
        assert all(np.array_equal(copies[0], copy) for copy in copies)


def test_one_trace_for_the_whole_run():
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counted(tiny.Mean):
        def step(self, key, state, x):
            traces.append(self.axis_name)
            return super().step(key, state, x)

    train(tiny.config(Counted(), steps=10, steps_per_call=1, num_seeds=1))
    assert traces == [parallel.AXIS]


def test_two_runs_have_equal_bytes():
    config = tiny.config(tiny.METHODS["evl pool"])
    a, b = train(config), train(config)
    chex.assert_trees_all_equal((a.state, a.history), (b.state, b.history))
