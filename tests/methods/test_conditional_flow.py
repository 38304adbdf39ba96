"""Normalizing flows that are conditional on a vector, against distributions whose density is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxgen
from jaxgen import data, methods, nets, optim
from jaxgen.parallel import Layout

NETWORK = nets.spline_flow(2, depth=2, widths=(32,), bins=4)


def trained(rows, method=methods.Flow(NETWORK, learning_rate=optim.Cosine(5e-3), ema_decay=0.99)):  # noqa: B008
    config = jaxgen.Config(
        method, data.Arrays(rows), steps=600, batch_size=200, steps_per_call=600, layout=Layout(devices=1)
    )
    return jaxgen.train(config, progress=False)


def mean_and_std(condition):
    """Return mean and standard deviation `[n, 2]` for conditions `[n, 1]` between 100 and 300."""
    c = (condition - 200) / 100
    return np.concatenate([3 * c, np.sin(2 * c)], 1), np.concatenate([np.exp(c), 1.2 - c], 1) * 0.5


def pairs(n, seed):
    generator = np.random.default_rng(seed)
    condition = generator.uniform(100, 300, (n, 1))
    mean, std = mean_and_std(condition)
    x = mean + std * generator.standard_normal((n, 2))
    return condition.astype(np.float32), x.astype(np.float32)


@functools.cache
def of_a_condition():
    return trained(pairs(10_000, 0))


def test_mean_and_scale_that_depend_on_the_condition_are_learned():
    result, test = of_a_condition(), pairs(4_000, 1)
    truth = stats.norm(*mean_and_std(test[0])).logpdf(test[1]).sum(1)
    nll = np.asarray(result.scores(test)["nll"][0])
    assert -0.02 < np.mean(nll + truth) < 0.05  # the divergence, in nats
    method, state = result.config.method, result.state_of(0)
    conditions = np.array([[120.0], [200.0], [280.0]], np.float32)
    drawn = np.asarray(method.sample_given(jax.random.key(0), state, jnp.asarray(conditions), 4_000))
    assert drawn.shape == (3, 4_000, 2)
    mean, std = mean_and_std(conditions)
    np.testing.assert_allclose(drawn.mean(1), mean, atol=0.2)
    np.testing.assert_allclose(drawn.std(1), std, rtol=0.2)


def test_log_density_of_pairs_is_that_of_the_jacobian():
    result = of_a_condition()
    method, state = result.config.method, result.state_of(0)
    condition, x = map(jnp.asarray, pairs(20, 2))
    encode = lambda c, row: method.encode(state, (c[None], row[None]))[0]
    z, jacobian = jax.vmap(encode)(condition, x), jax.vmap(jax.jacobian(encode, 1))(condition, x)
    expected = stats.norm.logpdf(z).sum(1) + np.linalg.slogdet(np.asarray(jacobian, np.float64))[1]
    np.testing.assert_allclose(method.log_prob(state, (condition, x)), expected, atol=1e-4)
    np.testing.assert_allclose(method.decode(state, z, condition=condition), x, atol=1e-4)


def test_an_independent_condition_changes_nothing_beyond_noise():
    """Held-out likelihoods with and without it differ by less than 0.03 nats."""
    generator = np.random.default_rng(0)
    x = np.tanh(generator.normal((1, 0), size=(10_000, 2))).astype(np.float32)
    condition = generator.normal(size=(10_000, 1)).astype(np.float32)
    plain = trained(x[:6_000]).scores(x[6_000:])["nll"].mean()
    conditional = trained((condition[:6_000], x[:6_000])).scores((condition[6_000:], x[6_000:]))["nll"].mean()
    assert abs(plain - conditional) < 0.03


@pytest.mark.usefixtures("unchecked")
def test_conditions_that_do_not_fit_are_refused():
    row = jax.ShapeDtypeStruct((2,), jnp.float32)
    for pair in [(jax.ShapeDtypeStruct((), jnp.float32), row), (jax.ShapeDtypeStruct((3,), jnp.int32), row)]:
        with pytest.raises(TypeError, match="pairs of a condition vector and a row"):
            methods.Flow().resolve(pair)
    with pytest.raises(TypeError, match="one table of floating-point rows"):
        methods.DeepArchetypes(3).resolve((row, row))
    result, (condition, x) = of_a_condition(), map(jnp.asarray, pairs(3, 0))
    method, state = result.config.method, result.state_of(0)
    for call in (
        lambda: method.log_prob(state, x),
        lambda: method.scores(state, (jnp.ones((3, 2)), x)),
        lambda: method.decode(state, x),
        lambda: method.sample(jax.random.key(0), state, 3),
        lambda: method.sample_given(jax.random.key(0), state, jnp.ones((3, 2)), 3),
        lambda: method.sample_given(jax.random.key(0), state, jnp.ones(1), 3),
    ):
        with pytest.raises(ValueError, match="conditions must have the width that the model was trained with"):
            call()
    plain = methods.Flow(nets.Permutation(0)).resolve(row)
    with pytest.raises(ValueError, match="call sample for a model without conditions"):
        plain.sample_given(jax.random.key(0), plain.init(jax.random.key(0), x), condition, 3)


def test_results_score_pairs_of_their_shapes():
    result, (condition, x) = of_a_condition(), pairs(20, 2)
    expected = -np.asarray(result.config.method.log_prob(result.state_of(0), (condition, x)))
    for options in ({}, {"batch_size": 8}):
        np.testing.assert_allclose(result.scores((condition, x), **options)["nll"][0], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"rows must have the shape \[n, 2\]"):
        result.scores((condition, x[:, :1]))
    with pytest.raises(ValueError, match="same number of rows"):
        result.scores((condition[:1], x))
    with pytest.raises(ValueError, match=r"rows must have the shape \[n, 1\], or a pair of both parts"):
        result.scores(x)
