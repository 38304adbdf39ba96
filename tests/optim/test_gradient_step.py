"""Training steps against steps computed by hand, and schedules against their formulas."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import methods
from jaxgen.optim import Cosine, Exponential, GradientStep, build_optimizer, torch_rmsprop
from jaxgen.optim.schedules import with_run_length


def quadratic(key, params, model_state, target):
    return 0.5 * jnp.sum((params - target) ** 2), ({"seen": jnp.sum(target)}, {"count": model_state["count"] + 1})


def test_sgd_on_a_quadratic_by_hand():
    descent = GradientStep(quadratic, optax.sgd(0.1))
    state = descent.init(jnp.array([1.0, 3.0]), {"count": 0})
    state, metrics = jax.jit(descent.step)(jax.random.key(0), state, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(state.params, [0.9, 2.8], rtol=1e-6)
    assert state.model_state["count"] == 1
    assert {name: float(value) for name, value in metrics.items()} == {"seen": 1.0, "loss": 2.5}
    assert state.ema == ()
    np.testing.assert_array_equal(descent.params(state), state.params)


@pytest.mark.parametrize("microbatch", [None, 2])
def test_losses_can_draw_poisson_numbers(microbatch):
    """`jax.random.poisson` accepts keys of JAX's generator only."""

    def loss(key, params, model_state, x):
        return jnp.mean(params * jax.random.poisson(key, 50.0, x.shape)), ({}, model_state)

    descent = GradientStep(loss, optax.sgd(1.0), microbatch=microbatch)
    key = jax.random.key(3)
    state, _ = jax.jit(descent.step)(key, descent.init(jnp.zeros(())), jnp.zeros(2))
    drawn = jax.random.poisson(key if microbatch is None else jax.random.split(key, 1)[0], 50.0, (2,))
    np.testing.assert_allclose(-state.params, np.mean(drawn), rtol=1e-6)


def test_errors_of_the_loss_are_not_retried():
    calls = []

    def loss(key, params, model_state):
        calls.append(key)
        raise NotImplementedError("no gradient here")

    descent = GradientStep(loss, optax.sgd(1.0))
    with pytest.raises(NotImplementedError, match="no gradient here") as caught:
        descent.step(jax.random.key(0), descent.init(jnp.zeros(())))
    assert len(calls) == 1
    assert caught.value.__context__ is None


@pytest.mark.parametrize("ema_decay", [0.3, 0.9])
def test_the_average_is_the_weighted_mean_of_past_parameters(ema_decay):
    """Weights by a loop in double precision: step t has decay min(ema_decay, t / (t + 10))."""
    descent = GradientStep(quadratic, optax.sgd(0.1), ema_decay=ema_decay)
    state = descent.init(jnp.array([1.0]), {"count": 0})
    np.testing.assert_array_equal(descent.params(state), [1.0])  # there is no average before the first step
    step = jax.jit(descent.step)
    visited, weights = [], np.zeros(0)
    for t in range(30):
        state, _ = step(jax.random.key(0), state, jnp.array([0.0]))
        visited.append(float(state.params[0]))
        decay = min(ema_decay, t / (t + 10))
        weights = np.append(decay * weights, 1 - decay)
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(descent.params(state), [weights @ visited], rtol=1e-5)


def test_the_average_spans_a_share_of_a_short_run():
    """The first steps are forgotten long before 1 / (1 - ema_decay) steps: parameters that jump from 100 to 0."""
    jump = lambda key, params, model_state, rows: (jnp.sum(params * 0.0), ({}, model_state))
    descent = GradientStep(jump, optax.sgd(0.0), ema_decay=0.9999)
    state = descent.init(jnp.array([100.0]))

    def step(state, value):
        params = descent.params(state)
        state, _ = descent.step(jax.random.key(0), state._replace(params=value), value)
        return state, params

    state, _ = jax.lax.scan(step, state, jnp.concatenate([jnp.full((50, 1), 100.0), jnp.zeros((150, 1))]))
    # The product of t / (t + 10) over t = 50 .. 199 is binom(59, 10) / binom(209, 10).
    expected = 100 * math.comb(59, 10) / math.comb(209, 10)
    np.testing.assert_allclose(descent.params(state), [expected], rtol=1e-3)
    assert expected < 1e-3


@pytest.mark.parametrize("step", [0, 1, 50, 99, 100, 150])
def test_schedules_follow_their_formulas(step):
    share = min(step, 100) / 100
    np.testing.assert_allclose(Cosine(2.0, 100)(jnp.array(step)), 1 + np.cos(np.pi * share), atol=1e-6)
    np.testing.assert_allclose(Exponential(2.0, 0.5, 50)(jnp.array(step)), 2 * 0.5 ** (step // 50), rtol=1e-6)


def test_cosine_has_a_linear_warmup():
    rate = jax.jit(Cosine(1.0, 20, warmup=10))
    found = [float(rate(jnp.array(step))) for step in (0, 5, 10, 20)]
    np.testing.assert_allclose(found, [0, 0.5, 1, 0], atol=1e-6)


def test_schedules_without_a_length_take_that_of_the_run():
    assert Cosine(1e-3).with_run_length(500) == Cosine(1e-3, 500)
    assert Cosine(1e-3, warmup=None).with_run_length(500) == Cosine(1e-3, 500, 25)
    assert Cosine(1e-3, 100, 7).with_run_length(500) == Cosine(1e-3, 100, 7)
    assert Exponential(1e-3, 0.5).with_run_length(500) == Exponential(1e-3, 0.5, 50)
    assert Exponential(1e-3, 0.5, 7).with_run_length(500) == Exponential(1e-3, 0.5, 7)
    for steps in (1, 5, 95):  # short runs decay at every step, and no run decays more than nine times
        filled = Exponential(1.0, 0.5).with_run_length(steps)
        assert filled.transition_steps >= 1
        assert (steps - 1) // filled.transition_steps <= 9


def test_a_method_is_filled_in_wherever_it_holds_a_schedule():
    method = methods.DeepArchetypes(3, methods.Flow(learning_rate=Cosine(1e-3)), learning_rate=Exponential(1e-3, 0.5))
    filled = with_run_length(method, 40)
    assert filled.flow.learning_rate == Cosine(1e-3, 40)
    assert filled.learning_rate == Exponential(1e-3, 0.5, 4)
    assert with_run_length(filled, 80) is filled
    assert method.flow.learning_rate.steps is None


@pytest.mark.parametrize("schedule", [Cosine(1e-3), Cosine(1e-3, 9, warmup=None), Exponential(1e-3, 0.5)])
def test_a_schedule_without_a_length_cannot_be_called(schedule):
    with pytest.raises(ValueError, match=r"of a schedule must be set before it is called .* take them from the run"):
        schedule(jnp.array(0))


def test_torch_rmsprop_is_pytorch_s():
    """Two steps by PyTorch's documented rule: v <- 0.99 v + 0.01 g^2, p <- p - lr g / (sqrt(v) + 1e-8)."""
    optimizer, params = torch_rmsprop(0.1), jnp.array(1.0)
    memory, v, p = optimizer.init(params), 0.0, 1.0
    for g in (0.5, -2.0):
        updates, memory = optimizer.update(jnp.array(g), memory, params)
        params = optax.apply_updates(params, updates)
        v = 0.99 * v + 0.01 * g**2
        p -= 0.1 * g / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(params, p, rtol=1e-6)


@pytest.mark.parametrize("average", [0.0, 1.0, -0.5])
def test_an_average_needs_a_decay_between_0_and_1(average):
    with pytest.raises(ValueError, match=rf"`ema_decay` must be between 0 and 1, or None \(got {average}\)"):
        GradientStep(quadratic, optax.sgd(0.1), ema_decay=average)


def test_a_slow_average_of_a_constant_is_that_constant():
    descent = GradientStep(quadratic, optax.sgd(0.0), ema_decay=0.9999)
    state, step = descent.init(jnp.array([1.0]), {"count": 0}), jax.jit(descent.step)
    for _ in range(3):
        state, _ = step(jax.random.key(0), state, jnp.array([0.0]))
    np.testing.assert_allclose(descent.params(state), [1.0], rtol=3e-6)


def tangled(key, params, model_state, rows):
    """A mean over rows with noise from the key, which counts its calls."""
    noise = jax.random.normal(key, (len(rows),), rows.dtype)
    values = jnp.tanh(rows @ params + noise) ** 2
    return jnp.mean(values), ({"noise": jnp.mean(noise)}, {"count": model_state["count"] + 1})


def test_microbatches_average_their_gradients_in_double_precision():
    with jax.enable_x64(True):
        rows, params = np.random.default_rng(0).normal(size=(12, 3)), jnp.array([0.5, -1.0, 2.0])
        descent = GradientStep(tangled, optax.sgd(1.0), microbatch=4)
        state, metrics = jax.jit(descent.step)(jax.random.key(3), descent.init(params, {"count": 0}), rows)
        loss = lambda params, i, part: tangled(jax.random.fold_in(jax.random.key(3), i), params, {"count": 0}, part)[0]
        slope = jax.jit(jax.value_and_grad(loss))
        found = [slope(params, *at) for at in enumerate(np.split(rows, 3))]
        np.testing.assert_allclose(state.params, params - sum(g for _, g in found) / 3, rtol=1e-12)
        np.testing.assert_allclose(metrics["loss"], sum(value for value, _ in found) / 3, rtol=1e-12)
        assert int(state.model_state["count"]) == 3


def test_microbatches_of_a_loss_without_noise_equal_the_whole_batch():
    """Two devices with six rows each, in microbatches of 2, 3 or 6 rows, take the same step."""
    with jax.enable_x64(True):
        rows = jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 3)))
        still = lambda key, params, model_state, rows: (jnp.mean(jnp.tanh(rows @ params) ** 2), ({}, model_state))

        def after(chunk):
            descent = GradientStep(still, optax.sgd(1.0), "devices", microbatch=chunk)
            step = lambda rows: descent.step(jax.random.key(0), descent.init(jnp.ones(3)), rows)[0].params
            return jax.jit(jax.vmap(step, axis_name="devices"))(rows)

        slope = jax.jit(jax.grad(lambda p: still(None, p, {}, rows.reshape(12, 3))[0]))
        whole = 1 - np.asarray(slope(np.ones(3)))
        for chunk in (None, 2, 3, 6):
            for device in after(chunk):
                np.testing.assert_allclose(device, whole, rtol=1e-12)


def test_a_microbatch_must_divide_the_rows():
    descent = GradientStep(tangled, optax.sgd(0.1), microbatch=5)
    with pytest.raises(ValueError, match=r"must divide the number of rows \(got chunk size 5 and 12 rows"):
        descent.step(jax.random.key(0), descent.init(jnp.ones(3), {"count": 0}), jnp.zeros((12, 3)))


def test_counts_are_averaged_over_devices():
    def loss(key, params, model_state, rows):
        return jnp.sum(params * 0.0), ({"positive": jnp.sum(rows > 0), "any": jnp.any(rows > 0)}, model_state)

    descent = GradientStep(loss, optax.sgd(0.1), axis_name="devices")
    state = descent.init(jnp.zeros(1))
    rows = jnp.array([[1.0, 2.0], [-1.0, -2.0]])
    step = jax.vmap(lambda rows: descent.step(jax.random.key(0), state, rows)[1], axis_name="devices")
    metrics = jax.jit(step)(rows)
    np.testing.assert_array_equal(metrics["positive"], [1, 1])  # two on one device, none on the other
    np.testing.assert_array_equal(metrics["any"], [0.5, 0.5])


def test_an_optimizer_is_built_from_its_factory_and_a_rate(unchecked):
    with pytest.raises(
        TypeError, match=r"`optimizer` must be a function .*got GradientTransformation.*optimizer=optax.a"
    ):
        build_optimizer(optax.adam(1e-3), 1e-3)
    for rate in (-1e-3, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="the learning rate must be finite and at least 0"):
            build_optimizer(optax.sgd, rate)
    params = jnp.array(1.0)
    for rate in (0.5, Exponential(0.5, 0.1, 10)):
        optimizer = build_optimizer(optax.sgd, rate)
        np.testing.assert_allclose(optimizer.update(params, optimizer.init(params))[0], -0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        lambda: Cosine(-1.0, 5),
        lambda: Cosine(1.0, 0),
        lambda: Cosine(1.0, 5, warmup=5),
        lambda: Exponential(1.0, -1.0, 5),
    ],
)
def test_schedules_need_positive_numbers(schedule):
    with pytest.raises(ValueError, match=r"must be (positive|between)"):
        schedule()
