"""Public functions inside a user's own `jax.pmap` and `jax.shard_map`, and on rows sharded over a mesh.

On four devices, all equal one device. `jax.shard_map` has its default check of values that differ between devices;
`jax.make_mesh` has explicit axes by default.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from public_functions import KEY, METRICS, PROCESSES, PROMOTED, X, Y

from jaxgen import losses
from jaxgen.losses import candidate_pool

AUTO = functools.partial(jax.make_mesh, (4,), ("data",), (AxisType.Auto,))
EXPLICIT = functools.partial(jax.make_mesh, (4,), ("data",))
CASES = {
    **{name: case for name, case in PROMOTED.items() if case.arguments and not name.startswith("nets")},
    **{f"samplers {name} steps": case for name, case in PROCESSES.items()},
}
# Functions with loops, products, gathers or reshapes of rows; the others act on each number or row alone.
LOOPS = [
    "losses extreme_value",
    "losses extreme_value_pool",
    "losses median_bandwidth",
    "losses mmd2",
    "losses nearest",
]
LOOPS += ["samplers StepSizeAdaptation steps", "samplers resample"]
NAMES = pytest.mark.parametrize(
    "name", [name if name in LOOPS else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)


def single(case):
    return [jnp.asarray(argument, jnp.float32) for argument in case.arguments]


def assert_equal(found, expected):
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-5, atol=1e-6)


@NAMES
def test_each_device_has_its_own_arguments_or_all_the_same(name):
    case = CASES[name]
    arguments = single(case)
    expected = jax.jit(case.function)(*arguments)
    stacked = [jnp.stack([argument] * 4) for argument in arguments]
    alone = lambda *rows: jax.tree.map(lambda leaf: leaf[None], case.function(*(x[0] for x in rows)))
    split = jax.shard_map(alone, mesh=AUTO(), in_specs=P("data"), out_specs=P("data"))
    same = jax.shard_map(case.function, mesh=AUTO(), in_specs=P(), out_specs=P())
    for found in (jax.jit(split)(*stacked), jax.pmap(case.function)(*stacked)):
        assert_equal(jax.tree.map(lambda leaf: leaf[3], found), expected)
    assert_equal(jax.jit(same)(*arguments), expected)


@NAMES
@pytest.mark.parametrize("mesh", [EXPLICIT, pytest.param(AUTO, marks=pytest.mark.slow)], ids=["explicit", "auto"])
def test_rows_sharded_over_a_mesh_give_the_values_and_gradients_of_one_device(name, mesh):
    case, mesh = CASES[name], mesh()
    arguments = single(case)
    spec = lambda x: P("data") if x.ndim and x.shape[0] % 4 == 0 else P()
    placed = [jax.device_put(x, NamedSharding(mesh, spec(x))) for x in arguments]

    def value(*arguments):
        leaves = jax.tree.leaves(case.function(*arguments))
        floating = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return sum(jnp.sum(leaf) for leaf in floating) + 0 * jnp.sum(arguments[0]), leaves

    run = jax.jit(jax.value_and_grad(value, has_aux=True))
    expected = run(*arguments)
    assert_equal(run(*placed), expected)
    with jax.set_mesh(mesh):
        assert_equal(run(*placed), expected)


@pytest.mark.parametrize("cache", [candidate_pool.CACHE, 64], ids=["whole chunks", "pieces"])
def test_a_pool_takes_parameters_that_are_on_the_mesh(cache, monkeypatch):
    monkeypatch.setattr(candidate_pool, "CACHE", cache)
    monkeypatch.setattr(candidate_pool, "SMALLEST_PIECE", 1)
    mesh = EXPLICIT()
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)

    def loss(weights, noise, x):
        generate = lambda z: ((made := jnp.tanh(z @ weights))[:, :3], made[:, 3])
        parts = losses.extreme_value_pool(generate, noise, x, chunk=4)
        return jnp.mean(parts.distance) + jnp.mean(parts.cross_entropy)

    rows = [jnp.asarray(x, jnp.float32) for x in (X, Y)]
    placed = [jax.device_put(x, NamedSharding(mesh, P("data"))) for x in rows]
    run = jax.jit(jax.value_and_grad(loss))
    assert_equal(run(jax.device_put(weights, NamedSharding(mesh, P())), *placed), run(weights, *rows))


OVER_DEVICES = {
    "mmd2": functools.partial(losses.mmd2, bandwidth=2.0),
    "mmd2_biased": functools.partial(losses.mmd2_biased, bandwidth=2.0),
    "median_bandwidth": losses.median_bandwidth,
    "jsd_mutual_information": lambda x, y, **named: losses.jsd_mutual_information(x[:, 0], y[:, 0], **named),
}


@pytest.mark.parametrize("name", OVER_DEVICES)
def test_an_axis_over_devices_is_checked_and_gives_the_gradient_of_all_rows(name):
    estimate = OVER_DEVICES[name]
    x, y, shift = jnp.asarray(X, jnp.float32), jnp.asarray(Y, jnp.float32), jnp.array([0.1, -0.2, 0.3])
    moved = lambda shift, x, y, **named: estimate(x + shift[None], y, **named)
    over = jax.value_and_grad(functools.partial(moved, axis_name="data"))
    found = jax.jit(jax.shard_map(over, mesh=AUTO(), in_specs=(P(), P("data"), P("data")), out_specs=P()))(shift, x, y)
    assert_equal(found, jax.jit(jax.value_and_grad(moved))(shift, x, y))


@pytest.mark.parametrize("name", ["evl sgd", pytest.param("archetypes", marks=pytest.mark.slow)])
def test_a_step_inside_a_checked_shard_map_is_that_of_pmap(name):
    method = tiny.METHODS[name].resolve(jax.ShapeDtypeStruct((3,), jnp.float32))
    shared = type(method)(
        **{**{f.name: getattr(method, f.name) for f in dataclasses.fields(method)}, "axis_name": "data"}
    )
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(16, 3)), jnp.float32)
    state = jax.jit(method.init)(KEY, rows)
    step = lambda state, rows: shared.step(jax.random.fold_in(KEY, jax.lax.axis_index("data")), state, rows)
    checked = jax.shard_map(step, mesh=AUTO(), in_specs=(P(), P("data")), out_specs=P())
    mapped = jax.pmap(step, "data", in_axes=(None, 0), out_axes=None)
    assert_equal(jax.jit(checked)(state, rows), mapped(state, rows.reshape(4, 4, 3)))


@pytest.mark.parametrize("name", ["auroc", "mmd2_variance", pytest.param("permutation_test", marks=pytest.mark.slow)])
def test_metrics_take_sharded_rows(name):
    case = METRICS[name]
    sharding = NamedSharding(EXPLICIT(), P("data"))
    rows = [jax.device_put(jnp.asarray(argument, jnp.float32), sharding) for argument in case.arguments]
    assert case.function(*rows) == case.function(*map(np.asarray, rows))
