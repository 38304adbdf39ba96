"""Dtypes of arguments and results, of all public functions: half, single and double precision, with and without x64.

The rule is stated in docs/pages/concepts.md, "Precision".
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import public_functions
import pytest
import tiny
from public_functions import KEEPING, KEY, METRICS, PROCESSES, PROMOTED

from jaxgen import losses, methods, metrics, nets, samplers
from jaxgen.data.validation import checked
from jaxgen.optim import GradientStep

DTYPES = ["float16", "bfloat16", "float32", "float64"]
EQUAL = [(dtype, dtype) for dtype in DTYPES]
MIXED = [("float16", "float32"), ("bfloat16", "float16"), ("float32", "float64"), ("float64", "float16")]
PACKAGES = {"losses": losses, "samplers": samplers, "metrics": metrics, "nets": nets, "methods": methods}


def specs(case, dtypes):
    """Arguments of a case in JAX's version of the dtypes; the last one is that of all further arguments."""
    names = itertools.chain(dtypes, itertools.repeat(dtypes[-1]))
    return [
        jax.ShapeDtypeStruct(a.shape, jnp.zeros((), name).dtype) for a, name in zip(case.arguments, names, strict=False)
    ]


def dtypes_of(tree):
    return {(str(x.dtype), x.weak_type) for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)}


def assert_promoted(case, dtypes):
    for x64 in (False, True):
        with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"):
            arguments = specs(case, dtypes)
            data = [x.dtype for x in arguments[: case.data]]
            widest = jnp.result_type(*data, jnp.float32) if data else jnp.zeros(()).dtype
            found = dtypes_of(jax.eval_shape(case.function, *arguments))
            assert found <= {(str(widest), False)}, (x64, dtypes)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tables_have_every_public_name(package):
    learned = {type(method).__name__ for method in tiny.METHODS.values()} if package == "methods" else set()
    assert set(PACKAGES[package].__all__) <= public_functions.covered(package) | learned


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", PROMOTED)
def test_results_have_the_widest_dtype_of_the_arguments_and_at_least_single_precision(name):
    for dtypes in EQUAL + MIXED if len(PROMOTED[name].arguments) > 1 else EQUAL:
        assert_promoted(PROMOTED[name], dtypes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", [name for name in PROMOTED if PROMOTED[name].arguments])
def test_any_mixture_of_dtypes_is_promoted(name):
    for dtypes in itertools.product(DTYPES, repeat=min(len(PROMOTED[name].arguments), 3)):
        assert_promoted(PROMOTED[name], dtypes)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", KEEPING)
def test_dtypes_are_kept_where_numbers_are_only_moved_or_mapped(name):
    for x64, dtype in itertools.product((False, True), DTYPES):
        with jax.enable_x64(x64):
            arguments = specs(KEEPING[name], [dtype])
            assert dtypes_of(jax.eval_shape(KEEPING[name].function, *arguments)) == {(str(arguments[0].dtype), False)}


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", public_functions.INITIALIZERS)
def test_initializers_return_the_dtype_asked_for(name):
    for dtype in DTYPES[:3]:
        shape = (2, 2, 3, 3)
        assert jax.eval_shape(lambda: public_functions.INITIALIZERS[name](KEY, shape, dtype)).dtype == dtype  # noqa: B023


# The others have the same program on converted arguments, so one half-precision dtype shows whether sums are single.
QUICK = [
    "losses mmd2",
    "losses nearest",
    "losses extreme_value_pool",
    "losses bernoulli_log_likelihood",
]
VALUES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in PROMOTED
    if not PROMOTED[name].draws and PROMOTED[name].arguments and not name.startswith("nets")
]


@pytest.mark.parametrize("name", VALUES)
def test_values_in_half_and_single_precision_are_those_in_double_precision(name):
    case = PROMOTED[name]
    for dtype in ("float16", "bfloat16", "float32"):
        rounded = [jnp.asarray(argument, dtype) for argument in case.arguments]
        found = jax.jit(case.function)(*rounded)
        with jax.enable_x64(True):
            exact = jax.jit(case.function)(*(np.asarray(x).astype(np.float64) for x in rounded))
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(exact), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize("name", PROCESSES)
def test_chains_keep_the_dtype_of_their_positions(name):
    case = PROCESSES[name]
    for x64, dtypes in itertools.product((False, True), EQUAL + MIXED[: 4 * (len(case.arguments) > 1)]):
        with jax.enable_x64(x64):
            arguments = specs(case, dtypes)
            state = jax.eval_shape(case.function, *arguments)  # `lax.scan` checks that the state keeps its dtypes
            position = jax.tree.leaves(state.position)
            assert [leaf.dtype for leaf in position] == [argument.dtype for argument in arguments]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_chains_in_half_precision_sample_their_distribution(dtype):
    """10,000 chains of normal numbers: mean 0 and variance 1, within five standard errors and the rounding."""
    chains = samplers.Chains(samplers.MALA(lambda x: -0.5 * jnp.sum(x.astype(jnp.float32) ** 2), 0.5))
    start = chains.init(jax.random.normal(KEY, (10_000, 1)).astype(dtype))
    step = lambda state, index: chains.step(jax.random.fold_in(KEY, index), state)
    state, moves = jax.jit(lambda start: jax.lax.scan(step, start, jnp.arange(20)))(start)
    x = np.asarray(state.position, np.float64)
    assert state.position.dtype == dtype
    assert abs(x.mean()) < 0.05
    assert abs(x.var() - 1) < 0.08
    assert 0.5 < np.asarray(moves.acceptance).mean() < 1


@pytest.mark.parametrize("name", METRICS)
def test_metrics_compute_in_double_precision_whatever_the_dtype(name, unchecked):
    case = METRICS[name]
    for dtype in ("float16", "bfloat16", "float32"):
        rounded = [jnp.asarray(argument, dtype) for argument in case.arguments]
        exact = case.function(*(np.asarray(x).astype(np.float64) for x in rounded))
        for found in (case.function(*rounded), case.function(*map(np.asarray, rounded))):
            jax.tree.map(np.testing.assert_array_equal, found, exact)


def run_twice(method, rows):
    """State and metrics of two steps inside one loop, which checks that the state keeps its dtypes."""

    def run(*rows):
        step = lambda state, index: method.step(jax.random.fold_in(KEY, index), state, *rows)
        return jax.lax.scan(step, method.init(KEY, *rows), jnp.arange(2))

    return jax.eval_shape(run, *rows)


def rows_of(method, dtype):
    """A method for its rows in a dtype, and the specs of a minibatch of them; labels keep theirs."""

    def spec(leaf):
        floating = np.issubdtype(np.asarray(leaf).dtype, np.floating)
        return jax.ShapeDtypeStruct(np.shape(leaf), jnp.zeros((), dtype).dtype if floating else jnp.int32)

    tables = jax.tree.map(spec, tiny.config(method).data.tables())
    sized = lambda shape: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*shape, *leaf.shape[1:]), leaf.dtype), tables)
    return method.resolve(*sized(())), sized((8,))


def assert_steps_keep_dtypes(name, dtype, x64):
    with jax.enable_x64(x64):
        state, metrics = run_twice(*rows_of(tiny.METHODS[name], dtype))
        wide = {"float64"} if x64 and dtype == "float64" else set()
        assert {leaf for leaf, _ in dtypes_of(state)} <= {"float32"} | wide
        assert {leaf for leaf, _ in dtypes_of(metrics)} <= {"float32"} | wide


DIFFERENT = ["evl chunked pool", "mmd map", "mixture density given", "flow", "vae"]


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
@pytest.mark.parametrize(
    ("name", "dtype", "x64"),
    [
        pytest.param(name, dtype, x64, marks=[] if quick else pytest.mark.slow)
        for name, dtype, x64 in itertools.product(tiny.METHODS, DTYPES, (False, True))
        for quick in [name in DIFFERENT and (dtype, x64) in {("float32", True), ("float16", False)}]
    ],
)
def test_steps_keep_dtypes_and_compute_in_single_precision_at_least(name, dtype, x64):
    assert_steps_keep_dtypes(name, dtype, x64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_extreme_value_networks_train_on_half_precision(dtype, roll):
    """The same states as on the rows rounded to half precision and stored in single precision."""
    method = tiny.METHODS["evl chunked pool"].resolve(jax.ShapeDtypeStruct((3,), jnp.float32))
    rows = jnp.asarray(roll[:16], dtype)

    def run(rows):
        step = lambda state, index: method.step(jax.random.fold_in(KEY, index), state, rows)
        return jax.lax.scan(step, method.init(KEY, rows), jnp.arange(20))

    (state, found), (same, _) = (jax.jit(run)(x) for x in (rows, rows.astype(jnp.float32)))
    assert np.isfinite(found["loss"]).all()
    jax.tree.map(np.testing.assert_array_equal, state, same)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float8_e4m3fn])
def test_tables_of_short_floats_are_widened(dtype):
    rows = np.arange(6.0).reshape(3, 2).astype(dtype)
    (table,) = checked((rows,), 1)
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, rows.astype(np.float32))
    with pytest.raises(ValueError, match="must be finite"):
        checked((np.array([[1.0], [np.nan]]).astype(dtype),), 1)


@pytest.mark.parametrize("name", tiny.METHODS)
def test_integer_rows_are_refused_with_the_conversion(name):
    method = tiny.METHODS[name]
    rows = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf)[1:], jnp.int32), tiny.config(method).data.tables()
    )
    with pytest.raises(TypeError, match=r"x\.astype\('float32'\)"):
        method.resolve(*rows)


@pytest.mark.parametrize("name", [name for name in PROMOTED if name.startswith("losses")])
def test_integers_are_converted_or_refused_and_complex_numbers_refused(name, unchecked):
    case = PROMOTED[name]
    try:
        found = jax.eval_shape(case.function, *(jax.ShapeDtypeStruct(a.shape, jnp.int32) for a in case.arguments))
        assert dtypes_of(found) == {("float32", False)}
    except TypeError as error:
        assert "needs floating-point values" in str(error)  # noqa: PT017
    with pytest.raises(TypeError, match=r"real numbers|floating-point values"):
        jax.eval_shape(case.function, *(jax.ShapeDtypeStruct(a.shape, jnp.complex64) for a in case.arguments))


def test_averages_of_double_parameters_are_double():
    with jax.enable_x64(True):
        loss = lambda key, params, model_state, x: (jnp.sum((params - x) ** 2), ({}, model_state))
        step = GradientStep(loss, optax.sgd(0.1), ema_decay=0.5)
        state = step.init(jnp.full(3, 1 / 3))
        state, _ = step.step(KEY, state, jnp.full(3, 1 / 3))
        np.testing.assert_array_equal(step.params(state), state.params)
        assert step.params(state).dtype == jnp.float64
