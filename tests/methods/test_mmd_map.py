"""MMD maps: the loss by its parts, a step by hand, bandwidths, noise and dropout, devices, and a map that is known."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, losses, methods, nets
from jaxgen.parallel import Layout

KEY = jax.random.key(0)
SOURCE, TARGET = jax.random.normal(KEY, (10, 2)), 1 + jax.random.uniform(KEY, (12, 3))
SPECS = [jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype) for rows in (SOURCE, TARGET)]


def started(**fields):
    defaults = {"network": nets.MLP((5, 3), jnp.tanh), "optimizer": optax.sgd, "learning_rate": 0.01}
    method = methods.MMDMap(**defaults | fields).resolve(*SPECS)
    return method, jax.jit(method.init)(KEY, SOURCE, TARGET)


def test_the_loss_is_the_mean_discrepancy_plus_the_penalties():
    method, state = started(bandwidth=1.5, scales=(0.5, 2.0), weight=3.0, l1=0.1, l2=0.01)
    params = state.train_state.params
    value, (metrics, _) = jax.jit(method.loss)(KEY, params, {}, SOURCE, TARGET, state.bandwidth)
    mapped = jax.jit(method.network.apply)({"params": params}, SOURCE)
    discrepancy = np.mean(jax.jit(losses.mmd2)(mapped, TARGET, bandwidth=jnp.array([0.75, 3.0])))
    weights = np.concatenate([np.ravel(layer["kernel"]) for layer in params.values()])
    np.testing.assert_allclose(metrics["mmd2"], discrepancy, rtol=1e-5)
    expected = 3 * discrepancy + 0.1 * np.abs(weights).sum() + 0.01 * (weights**2).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    method = dataclasses.replace(method, regularized_params=methods.all_params)
    biases = np.concatenate([layer["bias"] for layer in params.values()])
    found = float(jax.jit(method.loss)(KEY, params, {}, SOURCE, TARGET, state.bandwidth)[0])
    np.testing.assert_allclose(found - value, 0.1 * np.abs(biases).sum() + 0.01 * (biases**2).sum(), rtol=1e-3)


def test_a_step_is_plain_gradient_descent():
    method, state = started(learning_rate=0.3, l2=0.01)
    value = lambda params: method.loss(KEY, params, {}, SOURCE, TARGET, state.bandwidth)[0]
    gradient = jax.jit(jax.grad(value))(state.train_state.params)
    descend = lambda p, g: np.asarray(p) - np.float32(0.3) * np.asarray(g)
    expected = jax.tree.map(descend, state.train_state.params, gradient)
    found, _ = jax.jit(method.step)(KEY, state, SOURCE, TARGET)
    chex.assert_trees_all_close(found.train_state.params, expected, rtol=1e-5)


def test_bandwidths_are_numbers_or_estimated_once_or_in_each_step():
    for condition in (2.5, np.float32(2.5), jnp.float32(2.5)):
        assert started(bandwidth=condition)[1].bandwidth == 2.5
    method, state = started()
    np.testing.assert_allclose(state.bandwidth, jax.jit(losses.median_bandwidth)(TARGET))
    far = 7 * np.asarray(TARGET)
    later, metrics = jax.jit(method.step)(KEY, state, SOURCE, far)
    assert later.bandwidth == metrics["bandwidth"] == state.bandwidth
    method, state = started(bandwidth=methods.pooled_median)
    later, _ = jax.jit(method.step)(KEY, state, SOURCE, far)
    mapped = jax.jit(method.transport)(KEY, state, SOURCE)
    np.testing.assert_allclose(later.bandwidth, jax.jit(losses.median_bandwidth)(mapped, far), rtol=1e-5)


def test_noise_is_appended_to_each_row():
    method, state = started(noise_dim=2)
    transport = jax.jit(method.transport)
    one, other, same = (transport(jax.random.key(key), state, SOURCE) for key in (1, 2, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    plain, state = started()
    transport = jax.jit(plain.transport)
    np.testing.assert_array_equal(*(transport(jax.random.key(key), state, SOURCE) for key in (1, 2)))


def test_dropout_is_active_in_training_only():
    method, state = started(dropout=0.5, bandwidth=1.0)
    loss = jax.jit(lambda key: method.loss(key, state.train_state.params, {}, SOURCE, TARGET, state.bandwidth)[0])
    assert loss(jax.random.key(1)) != loss(jax.random.key(2))
    plain, _ = started(bandwidth=1.0)
    np.testing.assert_array_equal(*(jax.jit(each.transport)(KEY, state, SOURCE) for each in (method, plain)))


def test_four_devices_give_the_same_result_as_one():
    # Devices draw noise of their own.
    changes = {"noise_dim": 0, "dropout": 0.0, "bandwidth": methods.pooled_median}
    method = dataclasses.replace(tiny.METHODS["mmd map"], **changes)
    one, four = (
        jaxgen.train(tiny.config(method, layout=Layout(devices=devices)), progress=False) for devices in (1, 4)
    )
    chex.assert_trees_all_close((one.state, one.history), (four.state, four.history), rtol=1e-4, atol=1e-6)


def test_it_learns_a_shift_and_a_scale():
    target = data.Arrays(np.float32(3 + 2 * np.random.default_rng(0).normal(size=(2000, 1))))
    config = jaxgen.Config(
        methods.MMDMap(nn.Dense(1), optimizer=optax.sgd, learning_rate=0.5),
        data.Zip((data.Normal(n=2000, test_n=1, dimensions=1), target)),
        steps=300,
        batch_size=200,
        steps_per_call=300,
        num_seeds=1,
        layout=tiny.ONE,
    )
    result = jaxgen.train(config, progress=False)
    mapped = result.config.method.transport(KEY, result.state_of(0), jnp.float32([[-1.0], [0.0], [1.0]]))
    np.testing.assert_allclose(np.sort(mapped[:, 0]), [1, 3, 5], atol=0.25)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bandwidth": 0.0}, "`bandwidth` must be positive .got 0.0"),
        ({"scales": ()}, "`scales` must be positive"),
        ({"scales": (1.0, -1.0)}, "`scales` must be positive"),
        ({"dropout": 1.0}, "`dropout` must be .*got 1.0"),
        ({"dropout": 0.5, "network": nn.Dense(3)}, "must have a field `dropout`"),
        ({"network": nets.MLP((4,))}, r"must map \(2,\) to the target's \(3,\) \(got \(4,\)\)"),
    ],
)
def test_fields_out_of_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        methods.MMDMap(**fields).resolve(*SPECS)


def median_from_zero(mapped, target, *, axis_name):
    return jnp.median(jnp.abs(target))


@pytest.mark.parametrize("bandwidth", [None, methods.pooled_median, median_from_zero])
def test_a_target_of_mostly_equal_rows_needs_a_number_as_bandwidth(bandwidth):
    equal = np.repeat(np.float32([[0, 0, 0], [1, 1, 1]]), [9, 1], 0)
    with pytest.raises(ValueError, match=r"the bandwidth among the target's own rows must be positive \(got 0\)"):
        methods.MMDMap(bandwidth=bandwidth).check(SOURCE, equal)
    methods.MMDMap(bandwidth=1.0).check(SOURCE, equal)
    methods.MMDMap().check(SOURCE, np.asarray(TARGET))
    row_by_row = lambda mapped, target, *, axis_name: jnp.mean((mapped - target) ** 2)
    methods.MMDMap(bandwidth=row_by_row).check(SOURCE, np.asarray(TARGET)[:9])


def test_data_must_be_two_tables_of_vectors():
    for specs in (SPECS[:1], [SPECS[0], jax.ShapeDtypeStruct((2, 2), jnp.float32)]):
        with pytest.raises(TypeError, match="two tables"):
            methods.MMDMap().resolve(*specs)
    assert methods.MMDMap().resolve(*SPECS).network.widths == (128, 128, 3)
