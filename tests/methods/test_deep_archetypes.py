"""Archetypes of a flow's latent vectors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen import data, methods, nets, parallel
from jaxgen.numerics import simplex
from jaxgen.parallel import Layout

FLOW = methods.Flow(nets.dense_flow(2, depth=2, widths=(8,)))


def fresh(method, x):
    method = method.resolve(jax.ShapeDtypeStruct(x.shape[1:], x.dtype))
    return method, jax.jit(method.init)(jax.random.key(0), x)


@functools.cache
def triangle():
    """Rows of a triangle, mixtures of its corners."""
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [1.0, 3.0]])
    weights = np.random.default_rng(0).dirichlet([0.7] * 3, 1_000)
    method = methods.DeepArchetypes(3, FLOW, learning_rate=5e-3)
    x = (weights @ corners).astype(np.float32)
    config = jaxgen.Config(
        method, data.Arrays(x), steps=1_500, batch_size=200, steps_per_call=1_500, num_seeds=6, layout=Layout(devices=1)
    )
    return jaxgen.train(config, progress=False), corners, x


def test_the_corners_of_a_triangle_are_its_archetypes():
    """Which corners are found depends on the seed: of 36 archetypes of 12 runs 31 were near one, so this fails once in
    a hundred times. Archetypes at the center would be 2 away or more.
    """
    result, corners, x = triangle()
    method = result.config.method
    mixture, near = jax.jit(method.mixture), 0
    for seed in range(6):
        archetypes = np.asarray(mixture(result.state_of(seed), np.eye(3, dtype=np.float32)))
        distances = np.linalg.norm(corners[:, None] - archetypes[None], axis=-1)
        near += np.sum(distances.min(0) < 1.2)  # a third of a side
    assert near >= 12
    state = result.state_of(0)
    again = np.asarray(jax.jit(lambda x: method.mixture(state, method.weights(state, x)))(x))
    assert np.mean((again - x) ** 2) < 0.15 * x.var()
    assert result.history["archetypes"][0, -50:].mean() < 0.1 * result.history["archetypes"][0, :10].mean()


def test_weights_sum_to_one_and_samples_are_mixtures():
    result, _, x = triangle()
    method, state = result.config.method, result.state_of(0)
    weights = np.asarray(jax.jit(method.weights)(state, x[:50]))
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    assert result.sample(jax.random.key(0), 7).shape == (6, 7, 2)
    scores = result.scores(np.concatenate([x[:50], x[:50] + 10]))
    for name in ("reconstruction", "nll"):
        assert scores[name][0, 50:].min() > np.median(scores[name][0, :50])


def test_the_loss_by_hand():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 2)), jnp.float32)
    method, state = fresh(methods.DeepArchetypes(3, methods.Flow(nets.Permutation(0))), x)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params)["maps"]["params"]
    encoded = jax.jit(lambda key, x: method.flow.encode(method.flow.init(key, x), x))(jax.random.key(0), x)
    z = np.asarray(encoded, np.float64)
    dense = lambda name, condition: condition @ params[name]["kernel"] + params[name]["bias"]
    softmax = lambda logits, axis: np.exp(logits) / np.exp(logits).sum(axis, keepdims=True)
    corners = np.asarray(simplex.vertices(3), np.float64)
    weights = softmax(dense("mixing", z), 1)  # over archetypes
    over_rows = softmax(dense("drawing", z), 0).T  # over rows
    np.testing.assert_allclose(over_rows.sum(1), 1)
    away = np.mean(
        [np.sum((corner - row) ** 2) for corner, row in zip(corners, over_rows @ weights @ corners, strict=True)]
    )
    error = np.mean((dense("carrying", weights @ corners) - z) ** 2)  # a permutation moves no square
    nll = np.mean(0.5 * (z**2).sum(1) + np.log(2 * np.pi)) / 2
    value, (found, _) = jax.jit(method.loss)(jax.random.key(0), state.params, {}, x)
    assert found["archetypes"] == pytest.approx(away, rel=1e-4)
    assert found["reconstruction"] == pytest.approx(error, rel=1e-4)
    assert value == pytest.approx(0.1 * nll + 10 * away + 80 * error, rel=1e-4)


def test_archetypes_are_mixtures_of_the_rows_of_all_devices():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)), jnp.float32)
    method, state = fresh(methods.DeepArchetypes(3, FLOW), x)
    whole = jax.jit(method.loss)(jax.random.key(0), state.params, {}, x)[1][0]
    apart = method.__class__(3, method.flow, axis_name=parallel.AXIS)
    share = lambda rows: apart.loss(jax.random.key(0), state.params, {}, rows)[1][0]
    each = jax.jit(jax.vmap(share, axis_name=parallel.AXIS))(x.reshape(4, 2, 2))
    np.testing.assert_allclose(each["archetypes"], np.full(4, whole["archetypes"]), rtol=1e-5)


def test_what_does_not_fit_is_refused():
    row = jax.ShapeDtypeStruct((2,), jnp.float32)
    with pytest.raises(ValueError, match=r"got 1, 1.0 and 0"):
        methods.DeepArchetypes(1).resolve(row)
    with pytest.raises(ValueError, match=r"got 10, 1.0 and 3"):
        methods.DeepArchetypes(flow=methods.Flow(classes=3)).resolve(row)
