"""Optimizers of optax that need more than a gradient, against optax's own loops."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data
from jaxgen.optim import GradientStep, TrainState, build_optimizer

KEY = jax.random.key(0)
ROWS = jnp.asarray(np.random.default_rng(0).normal(size=(12, 3)), jnp.float32)
OPTIMIZERS = {
    "adam": lambda rate: optax.adam(rate),
    "polyak": lambda rate: optax.polyak_sgd(),
    "plateau": lambda rate: optax.chain(optax.sgd(rate), optax.contrib.reduce_on_plateau(patience=1, rtol=0.5)),
    "linesearch": lambda rate: optax.lbfgs(),
    "backtracking": lambda rate: optax.chain(optax.sgd(rate), optax.scale_by_backtracking_linesearch(5)),
    "schedule-free": lambda rate: optax.contrib.schedule_free_adamw(rate),
    "clipped schedule-free": lambda rate: optax.chain(optax.clip(0.1), optax.contrib.schedule_free_sgd(rate)),
    "accumulation": lambda rate: optax.MultiSteps(optax.adam(rate), 3),
}


def loss(key, params, model_state, x):
    """A mean over samples, quartic so that one step of a line search does not end."""
    return jnp.mean(jnp.sum((x - params[None]) ** 4, -1)), ({}, model_state)


@pytest.mark.parametrize("microbatch", [None, 4])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_extra_arguments_are_those_of_optax_in_a_plain_loop(name, microbatch):
    optimizer = build_optimizer(OPTIMIZERS[name], 0.1)
    descent = GradientStep(loss, optimizer, microbatch=microbatch)
    value_fn = lambda params: loss(KEY, params, {}, ROWS)[0]
    params = jnp.ones(3)
    opt_state = optimizer.init(params)
    state = descent.init(params)
    step = jax.jit(descent.step)
    for _ in range(4):
        value, gradient = jax.value_and_grad(value_fn)(params)
        extra = {"value": value, "grad": gradient, "value_fn": value_fn}
        updates, opt_state = optax.with_extra_args_support(optimizer).update(gradient, opt_state, params, **extra)
        params = optax.apply_updates(params, updates)
        state, _ = step(KEY, state, ROWS)
        np.testing.assert_allclose(state.params, params, rtol=1e-4)
    if name == "schedule-free":
        average = optax.contrib.schedule_free_eval_params(opt_state, params)
        assert np.abs(average - params).max() > 1e-3
        params = average
    if name == "clipped schedule-free":
        params = optax.contrib.schedule_free_eval_params(opt_state[1], params)
    np.testing.assert_allclose(descent.params(state), params, rtol=1e-4)


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_lookahead_keeps_its_slow_parameters(ema_decay):
    optimizer = optax.lookahead(optax.sgd(0.01), sync_period=3, slow_step_size=0.5)
    descent = GradientStep(loss, optimizer, ema_decay=ema_decay)
    both = optax.LookaheadParams.init_synced(jnp.ones(3))
    opt_state, state = optimizer.init(both), descent.init(jnp.ones(3))
    average, step = np.zeros(3), jax.jit(descent.step)
    for t in range(5):
        gradient = jax.grad(lambda params: loss(KEY, params, {}, ROWS)[0])(both.fast)
        updates, opt_state = optimizer.update(gradient, opt_state, both)
        both = optax.apply_updates(both, updates)
        decay = min(0.5, t / (t + 10))
        average = decay * average + (1 - decay) * np.asarray(both.slow)
        state, _ = step(KEY, state, ROWS)
        np.testing.assert_allclose(state.params, both.fast, rtol=1e-5)
        np.testing.assert_allclose(descent.params(state), both.slow if ema_decay is None else average, rtol=1e-5)
    assert np.abs(both.fast - both.slow).max() > 1e-3


@pytest.mark.parametrize("k", [2, 3])
def test_accumulated_steps_are_one_step_of_a_larger_batch(k):
    whole = GradientStep(loss, optax.adam(0.1))
    parts = GradientStep(loss, build_optimizer(lambda rate: optax.MultiSteps(optax.adam(rate), k), 0.1))
    pieces = GradientStep(loss, optax.adam(0.1), microbatch=len(ROWS) // k)
    large, small, chunked = (descent.init(jnp.ones(3)) for descent in (whole, parts, pieces))
    for _ in range(2):
        large, _ = whole.step(KEY, large, ROWS)
        chunked, _ = pieces.step(KEY, chunked, ROWS)
        for rows in jnp.split(ROWS, k):
            before = small.params
            small, _ = parts.step(KEY, small, rows)
        assert np.abs(small.params - before).max() > 0
        np.testing.assert_allclose(small.params, large.params, rtol=1e-5)
        np.testing.assert_allclose(chunked.params, large.params, rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class Quartic(tiny.Mean):
    """Training by a line search."""

    def loss(self, key, params, model_state, x):
        return loss(key, params, model_state, x)

    @property
    def _descent(self):
        return GradientStep(self.loss, optax.lbfgs(), self.axis_name)


@dataclasses.dataclass(frozen=True)
class Slow(tiny.Mean):
    """Training by lookahead."""

    @property
    def _descent(self):
        return GradientStep(self.loss, optax.lookahead(optax.adam(0.1), 2, 0.5), self.axis_name)


def test_a_line_search_sees_the_rows_of_all_devices():
    x = np.asarray(ROWS[:8])
    config = jaxgen.Config(Quartic(), data.Arrays(x), steps=3, batch_size=8, steps_per_call=3, layout=tiny.ONE)
    one = jaxgen.train(config, progress=False)
    for transform in (jaxgen.parallel.pmapped, jaxgen.parallel.sharded):
        layout = jaxgen.Layout(devices=4, transform=transform)
        four = jaxgen.train(dataclasses.replace(config, layout=layout), progress=False)
        np.testing.assert_allclose(four.state_of(0).params, one.state_of(0).params, rtol=1e-3, atol=1e-4)


METHODS = {name: method for name, method in tiny.METHODS.items() if not name.startswith(("archetypes", "evl "))}
METHODS |= {"evl": tiny.evl(), "evl given": tiny.METHODS["evl given"]}
QUICK = ("flow", "wgan")  # the others take minutes in all
TABLE = [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in METHODS]
sampled = lambda method, state, x: method.sample(KEY, state, 5)
scored = lambda method, state, x: method.scores(state, x)
CALLS = {
    "evl given": lambda method, state, x: method.weighted_samples_given(KEY, state, x[0][:, :1], 5),
    "mixture density given": lambda method, state, x: method.sample_given(KEY, state, x[0], 5),
    "classifier": lambda method, state, x: method.log_probabilities(state, x[0]),
    "unsure classifier": lambda method, state, x: method.scores(state, x[0]),
    "discriminator": scored,
    "mmd map": lambda method, state, x: method.transport(KEY, state, x),
    "mixture density": sampled,
    "gan": sampled,
    "evl": sampled,
}


@pytest.mark.parametrize("name", TABLE)
def test_every_method_is_evaluated_at_the_parameters_of_its_optimizer(name):
    """Samples and scores are those of a plain optimizer whose parameters are the evaluation parameters."""
    config = tiny.config(METHODS[name], num_seeds=1)
    changes = {"optimizer": optax.contrib.schedule_free_sgd}
    if hasattr(METHODS[name], "ema_decay"):
        changes["ema_decay"] = None
    config = dataclasses.replace(config, method=dataclasses.replace(METHODS[name], **changes)).resolved()
    averaging, plain = config.method, dataclasses.replace(config.method, optimizer=optax.sgd)
    batches = [jax.tree.map(_batch, table) for table in config.data.tables()]
    state = averaging.init(KEY, *batches)
    jax.eval_shape(averaging.step, KEY, state, *batches)

    def moved(part):
        z = jax.tree.map(lambda leaf: leaf + 0.3, part.params)
        return part._replace(opt_state=part.opt_state._replace(z=z))

    def evaluated(part):
        z, b1 = part.opt_state.z, part.opt_state.b1
        mean = jax.tree.map(lambda y, z: (y - (1 - b1) * z) / b1, part.params, z)
        return part._replace(params=mean, opt_state=optax.sgd(1.0).init(mean))

    is_part = lambda node: isinstance(node, TrainState)
    each_part = lambda function, state: jax.tree.map(
        lambda node: function(node) if is_part(node) else node, state, is_leaf=is_part
    )
    before, state = state, each_part(moved, state)
    other = each_part(evaluated, state)
    for call in [CALLS[name]] if name in CALLS else [sampled, scored]:
        found, expected, start = (
            call(*with_state, batches[0]) for with_state in ((averaging, state), (plain, other), (averaging, before))
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)
        assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*map(jax.tree.leaves, (found, start)), strict=True))


@pytest.mark.parametrize("name", TABLE)
def test_every_method_takes_every_optimizer(name):
    config = tiny.config(METHODS[name], num_seeds=1)
    batches = [jax.tree.map(_batch, table) for table in config.data.tables()]
    extra = {"lookahead": lambda rate: optax.lookahead(optax.sgd(rate), 2, 0.5)}
    for optimizer in (OPTIMIZERS | extra).values():
        method = dataclasses.replace(config, method=dataclasses.replace(METHODS[name], optimizer=optimizer)).resolved()
        state = jax.eval_shape(method.method.init, KEY, *batches)
        after, _ = jax.eval_shape(method.method.step, KEY, state, *batches)
        assert jax.tree.map(_spec, after) == jax.tree.map(_spec, state)


def test_a_result_of_lookahead_is_saved_and_loaded(tmp_path):
    config = jaxgen.Config(Slow(), data.Arrays(np.asarray(ROWS)), steps=3, batch_size=4, steps_per_call=3)
    result = jaxgen.train(config, progress=False)
    result.save(tmp_path / "result")
    loaded = jaxgen.load(tmp_path / "result", config=config)
    jax.tree.map(np.testing.assert_array_equal, loaded.state, result.state)


def _batch(leaf):
    return jnp.asarray(leaf[:8], jnp.int32 if np.asarray(leaf).dtype.kind in "iub" else jnp.float32)


def _spec(leaf):
    return leaf.shape, leaf.dtype
