"""`Layout(compute_dtype=jnp.bfloat16)`: what networks compute in bfloat16, and what stays in single precision.

The list is in docs/pages/concepts.md, "Precision"; each of its members has a test here.
"""

import dataclasses
import functools
import shutil

import chex
import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import nets, parallel
from jaxgen.nets.compute_dtype import computing_in
from jaxgen.parallel import Layout
from jaxgen.serialization.config_json import from_json, to_json

HALF = Layout(devices=1, compute_dtype=jnp.bfloat16)
KEY = jax.random.key(3)
WITHOUT_NETWORKS = ("archetypes", "mixture density")
PRODUCTS = ("dot_general", "conv_general_dilated")
EVERY_METHOD = pytest.mark.parametrize("name", tiny.METHODS)


CALLS = (jax.extend.core.Jaxpr, jax.extend.core.ClosedJaxpr)


def equations(program, path=""):
    """All equations of a traced program without inner ones, and the path of the network's module that each is of."""
    for equation in getattr(program, "jaxpr", program).eqns:
        inside = f"{path}/{equation.source_info.name_stack}"
        values = [
            part
            for value in equation.params.values()
            for part in (value if isinstance(value, tuple | list) else (value,))
            if isinstance(part, CALLS)
        ]
        if not values:
            yield equation, inside
        for part in values:
            yield from equations(part, inside)


def half_equations(program):
    """Those of which an argument or a result is bfloat16."""
    is_half = lambda variable: getattr(variable.aval, "dtype", None) == jnp.bfloat16
    for equation, path in equations(program):
        if any(map(is_half, [*equation.invars, *equation.outvars])):
            yield equation, path


def products(program):
    """Dtypes of the arguments of all matrix products and convolutions, in their order."""
    return [eq.invars[0].aval.dtype.name for eq, _ in equations(program) if eq.primitive.name in PRODUCTS]


def float_dtypes(tree):
    return {str(leaf.dtype) for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


@functools.cache
def prepared(name):
    """A resolved method and a minibatch."""
    config = tiny.config(tiny.METHODS[name]).resolved()
    rows = jax.tree.map(lambda leaf: jnp.asarray(leaf[:8]), config.data.tables())
    return config.method, rows


@functools.cache
def traced_step(name, dtype):
    method, rows = prepared(name)
    state = jax.eval_shape(method.init, KEY, *rows)
    # A function of its own: JAX keeps the traces of equal functions.
    step = lambda *arguments: computing_in(dtype)(method.step)(*arguments)
    return jax.make_jaxpr(step, return_shape=True)(KEY, state, *rows), state


@EVERY_METHOD
def test_products_of_networks_are_bfloat16_and_none_are_without(name):
    (half, _), before = traced_step(name, jnp.bfloat16)
    (plain, _), _ = traced_step(name, None)
    assert "bf16" not in str(plain)
    method, rows = prepared(name)
    assert str(plain) == str(jax.make_jaxpr(lambda *step: method.step(*step))(KEY, before, *rows))
    assert ("bfloat16" in products(half)) == (name not in WITHOUT_NETWORKS)


@EVERY_METHOD
def test_state_losses_and_metrics_stay_in_single_precision(name):
    """Parameters, optimizers, averages, running statistics; and all that a step returns."""
    (_, (state, metrics)), before = traced_step(name, jnp.bfloat16)
    shape = lambda leaf: (leaf.shape, leaf.dtype)
    assert jax.tree.map(shape, state) == jax.tree.map(shape, before)
    assert float_dtypes(state) == float_dtypes(metrics) == {"float32"}


NOT_OF_LAYERS = ("erf_inv", "random_bits", "exp", "log", "log1p", "cumsum", "reduce_sum", "psum")
LAYERS = ("Dense", "Conv", "BatchNorm", "MLP", "Flat", "Shaped", "Normed", "PairNet", "WeightedGenerator")


@EVERY_METHOD
def test_only_layers_compute_in_bfloat16(name):
    """Noise, losses, log-densities, penalties, chains and optimizers do not."""
    (half, _), _ = traced_step(name, jnp.bfloat16)
    for equation, path in half_equations(half):
        assert any(layer in path for layer in LAYERS), (equation.primitive, path)
        assert equation.primitive.name not in NOT_OF_LAYERS, path


def test_running_statistics_and_spectral_norms_stay_in_single_precision():
    encoder = nets.ConvEncoder(((4, 3, 2),), 2, norm=nets.BatchNorm, spectral=True)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 1)), jnp.float32)
    variables = jax.jit(encoder.init)(KEY, images)

    def run(variables, images):
        with computing_in(jnp.bfloat16):
            return encoder.apply(variables, images, mutable=["batch_stats"])

    program, (output, statistics) = jax.make_jaxpr(run, return_shape=True)(variables, images)
    assert float_dtypes((output, statistics)) == {"float32"}
    # Only the convolution is in half precision: neither power iteration, nor the last layer, nor a mean.
    half = [equation.primitive.name for equation, _ in half_equations(program)]
    convolutions = [name for equation, _ in equations(program) if "conv_gen" in (name := equation.primitive.name)]
    assert half.count("conv_general_dilated") == len(convolutions)
    assert not {"dot_general", "reduce_sum", "sqrt", "rsqrt"} & set(half)
    plain = encoder.apply(variables, images, mutable=["batch_stats"])[1]
    _, statistics = jax.jit(run)(variables, images)
    spectral = lambda tree: jax.tree.leaves(tree["batch_stats"]["SpectralNorm_0"])
    chex.assert_trees_all_close(spectral(statistics), spectral(plain), rtol=1e-6)


@pytest.mark.parametrize("kind", ["dense_flow", "spline_flow"])
def test_densities_of_flows_are_exact_with_a_conditioner_in_bfloat16(kind):
    """The log-determinant is that of the Jacobian of the map that the flow computes, and the inverse inverts it."""
    network = getattr(nets, kind)(3, depth=1, widths=(6, 6))
    x = jax.random.normal(KEY, (20, 3))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(KEY, leaf.shape), network.init(KEY, x))

    # XLA may leave roundings out where it joins operations, and not the same ones on the ways there and back.
    @functools.partial(jax.jit, compiler_options={"xla_allow_excess_precision": False})
    @computing_in(jnp.bfloat16)
    def half(x):
        # One pass for all: a hidden number that rounds the other way in a second one would move the point.
        z, pullback, log_det = jax.vjp(lambda x: network.apply(params, x), x, has_aux=True)
        jacobian = jax.vmap(lambda row: pullback(jnp.broadcast_to(row, z.shape))[0], out_axes=1)(jnp.eye(3))
        return z, log_det, jacobian, network.apply(params, z, method="inverse")[0]

    z, log_det, jacobian, back = half(x)
    expected = np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    assert float_dtypes((z, log_det)) == {"float32"}
    # Of one coupling, a conditioner's derivatives are off the diagonal, so their rounding changes no determinant.
    np.testing.assert_allclose(log_det, expected, atol=1e-4)
    np.testing.assert_allclose(back, x, atol=1e-4)
    assert np.max(np.abs(z - network.apply(params, x)[0])) > 1e-4  # the conditioner did compute in half precision


NETWORKS = {
    "MLP": (nets.MLP((8, 8)), (4,)),
    "ConvNet": (nets.ConvNet((4,), (8, 8)), (8, 8, 1)),
    "ConvTrunk": (nets.ConvTrunk(((4, 3, 2),), 8), (8, 8, 1)),
    "TransposedGenerator": (nets.TransposedGenerator((8, 8, 1), (4, 4), ((3, 2),) * 2), (4,)),
    "ConvGenerator": (nets.ConvGenerator((4, 4, 1), (4, 4)), (4,)),
    "ConvEncoder": (nets.ConvEncoder(((4, 3, 2),), 4, norm=nets.Affine), (8, 8, 1)),
    "ConvDecoder": (nets.ConvDecoder((8, 8, 1), 4, ((4, 3, 2),)), (4,)),
    "UpsamplingDecoder": (nets.UpsamplingDecoder((8, 8, 1), (4, 4), 3, nets.Affine), (4,)),
    "ConvConditioner": (nets.AffineCoupling(nets.ConvConditioner((4, 4))), (4, 4, 2)),
    "WeightedGenerator": (nets.WeightedGenerator(nets.MLP((8, 2)), nets.MLP((8, 1))), (4,)),
    "own network": (tiny.Normed(), (4,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_compute_in_bfloat16_and_networks_return_single_precision(name):
    network, shape = NETWORKS[name]
    x = jax.random.normal(KEY, (8, *shape))
    variables = jax.jit(network.init)(KEY, x)
    variables = jax.tree.map(lambda leaf: leaf + 0.1 * jax.random.normal(KEY, leaf.shape), variables)

    def run(variables, x):
        with computing_in(jnp.bfloat16):
            return network.apply(variables, x)

    program, spec = jax.make_jaxpr(run, return_shape=True)(variables, x)
    assert "bfloat16" in products(program)
    half = jax.jit(run)(variables, x)
    assert float_dtypes(spec) == float_dtypes(half) == {"float32"}
    single = jax.jit(lambda: network.apply(variables, x))()
    for rounded, exact in zip(jax.tree.leaves(half), jax.tree.leaves(single), strict=True):
        np.testing.assert_allclose(rounded, exact, atol=0.05 * np.abs(exact).max() + 1e-6)
        assert not np.array_equal(rounded, exact) or np.ndim(exact) < 1
    last = products(program)[-1]  # own networks give their last layer a dtype themselves
    assert last == ("bfloat16" if name == "own network" else "float32")


def test_a_layer_with_a_dtype_keeps_it():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, dtype=jnp.float32)(nn.Dense(3)(x))

    x = jnp.ones((1, 2))
    network, params = Own(), Own().init(KEY, x)
    with computing_in(jnp.bfloat16):
        program = jax.make_jaxpr(lambda x: network.apply(params, x))(x)
    assert products(program) == ["bfloat16", "float32"]
    assert "bf16" not in str(jax.make_jaxpr(lambda x: network.apply(params, x))(x))  # the context has ended


def test_gradients_of_biases_sum_in_single_precision():
    """A sum of 100,000 ones in bfloat16 would end at 256."""
    layers = {"Dense": (nn.Dense(1), (100_000, 1)), "Conv": (nn.Conv(1, (1, 1)), (10, 100, 100, 1))}
    for layer, shape in layers.values():
        x = jnp.ones(shape)
        params = layer.init(KEY, x[:1])

        def total(params, x, layer=layer):
            with computing_in(jnp.bfloat16):
                return jnp.sum(layer.apply(params, x))

        gradient = jax.jit(jax.grad(total))(params, x)["params"]
        np.testing.assert_allclose(gradient["bias"], 100_000, rtol=0.01)
        np.testing.assert_allclose(gradient["kernel"].ravel(), 100_000, rtol=0.01)


def half_config(name, **changes):
    return tiny.config(tiny.METHODS[name], **{"layout": HALF, **changes})


SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", ["classifier", "flow", *map(SLOW, ("evl weighted", "vae", "mixture density given", "discriminator"))]
)
def test_the_loss_falls_as_in_single_precision(name):
    metric, fallen = next(rule for start, rule in tiny.FALLS.items() if name.startswith(start))
    runs = [
        jaxgen.train(half_config(name, steps=402, batch_size=32, layout=layout), progress=False).history[metric]
        for layout in (HALF, tiny.ONE)
    ]
    for half, single in zip(*runs, strict=True):
        assert fallen(half[:10].mean(), half[-50:].mean())
        fall = single[:10].mean() - single[-50:].mean()
        assert abs(half[-50:].mean() - single[-50:].mean()) < 0.1 * fall
        assert not np.array_equal(half, single)


def test_a_resumed_run_has_the_bytes_of_the_whole_one_and_another_dtype_warns(tmp_path):
    config = half_config("evl weighted", num_seeds=1)
    whole = jaxgen.train(config, progress=False, checkpoint_dir=tmp_path)
    shutil.rmtree(tmp_path / "6")
    resumed = jaxgen.train(config, progress=False, checkpoint_dir=tmp_path)
    chex.assert_trees_all_equal((whole.state, whole.history), (resumed.state, resumed.history))
    loaded = jaxgen.load(tmp_path, trusted=("tiny",))
    assert loaded.config == config.resolved()
    shutil.rmtree(tmp_path / "6")
    single = dataclasses.replace(config, layout=tiny.ONE)
    with pytest.warns(UserWarning, match="with compute_dtype=bfloat16 and continues with None, so its numbers differ"):
        other = jaxgen.train(single, progress=False, checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(other.history["loss"][:, :3], whole.history["loss"][:, :3])
    assert not np.array_equal(other.history["loss"][:, 3:], whole.history["loss"][:, 3:])


@pytest.mark.parametrize("layout", [HALF, tiny.ONE], ids=["half", "single"])
def test_samples_scores_and_validation_use_the_compute_dtype_of_the_layout(layout):
    result = jaxgen.untrained(half_config("flow", num_seeds=1, layout=layout))
    method, x = result.config.method, jnp.zeros((4, 3))
    keys = jax.random.split(KEY, 1)
    evaluation = jaxgen.training.compilation.programs(result.config).evaluate
    selected = jaxgen.training.early_stopping.SelectedState(result.state, result.state)
    arguments = (selected, result.state, jnp.zeros((1, 2), jnp.uint32), jnp.ones(1), jnp.zeros(1, bool), (x,), (None,))
    programs = [
        jax.make_jaxpr(lambda state: result._sample(keys, state, 4), return_shape=True)(result.state),
        jax.make_jaxpr(result._scores, return_shape=True)(result.state, x),
        jax.make_jaxpr(lambda *arguments: evaluation(*arguments), return_shape=True)(*arguments),
        jax.make_jaxpr(lambda: method.log_prob(result.state_of(0), x), return_shape=True)(),  # called directly
    ]
    assert all(float_dtypes(outputs) == {"float32"} for _, outputs in programs)
    expected = [layout is HALF] * 3 + [False]
    assert ["bfloat16" in products(program) for program, _ in programs] == expected


def test_the_dtype_is_a_part_of_the_description():
    assert "compute_dtype" not in to_json(Layout())["fields"]  # descriptions of earlier runs stay as they were
    assert from_json(to_json(HALF)) == HALF
    for same in ("bfloat16", np.dtype(jnp.bfloat16), jnp.bfloat16):
        assert Layout(devices=1, compute_dtype=same) == HALF
        assert hash(Layout(devices=1, compute_dtype=same)) == hash(HALF)
    assert "compute_dtype=bfloat16" in repr(half_config("flow"))


@pytest.mark.parametrize(
    ("dtype", "words"),
    [
        (jnp.float16, r"got float16\); use compute_dtype=jnp.bfloat16, as small gradients are zero in float16"),
        (jnp.float32, r"None for single precision \(got float32\)"),
        (int, "got int64"),
        (16, "got 16"),
        ("half precision", "got 'half precision'"),
    ],
)
def test_other_dtypes_are_refused(dtype, words):
    with pytest.raises(TypeError, match=words):
        Layout(compute_dtype=dtype)


@pytest.mark.parametrize("transform", [parallel.pmapped, SLOW(parallel.sharded)])
def test_devices_average_in_single_precision(transform):
    layout = Layout(devices=4, transform=transform, compute_dtype=jnp.bfloat16)
    result = jaxgen.train(half_config("evl sgd", num_seeds=1, layout=layout), progress=False)
    single = jaxgen.train(
        half_config("evl sgd", num_seeds=1, layout=dataclasses.replace(layout, compute_dtype=None)), progress=False
    )
    assert float_dtypes(result.state) == {"float32"}
    chex.assert_trees_all_close(result.state, single.state, atol=1e-2)
