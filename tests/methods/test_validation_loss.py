"""Validation losses of all methods, against loops and closed forms in double precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from scipy import optimize, stats

from jaxgen import methods, nets
from jaxgen.data.validation import row_specs
from jaxgen.methods._validation import PIECE, mean_over_rows, sliced_wasserstein
from jaxgen.optim import TrainState

KEY = jax.random.key(7)


@functools.cache
def trained(name, *changes):
    """Resolved method, its first state, after a step where weights are averaged, and validation rows."""
    config = tiny.config(dataclasses.replace(tiny.METHODS[name], **dict(changes)))
    tables = jax.tree.map(lambda leaf: np.asarray(leaf), config.data.tables())
    method = config.method.resolve(*row_specs(tables))
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[:8]), tables)
    state = jax.jit(method.init)(jax.random.key(0), *batch)
    if getattr(method, "ema_decay", None):
        state, _ = jax.jit(method.step)(jax.random.key(1), state, *batch)
    return method, state, jax.tree.map(lambda leaf: jnp.asarray(leaf[20:50]), tables)


def loss(name, *changes):
    method, state, rows = trained(name, *changes)
    return float(jax.jit(method.validation_loss)(KEY, state, *rows))


def wide(array):
    return np.asarray(array, np.float64)


def test_flow_is_the_negative_log_likelihood_by_a_jacobian_in_double_precision():
    method, state, (x,) = trained("flow", ("noise", 0.3))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(wide(leaf)), state.ema.ema)
        forward = lambda row: method.network.apply(params, row[None], None)[0][0]
        rows = jnp.asarray(wide(x))
        both = jax.jit(lambda rows: (jax.vmap(forward)(rows), jax.vmap(jax.jacrev(forward))(rows)))
        z, jacobians = map(np.asarray, both(rows))
    log_prob = stats.multivariate_normal(np.zeros(3), np.eye(3)).logpdf(z) + np.linalg.slogdet(jacobians)[1]
    np.testing.assert_allclose(loss("flow", ("noise", 0.3)), -log_prob.mean(), rtol=1e-5)


def test_levels_get_uniform_noise_and_classes_their_labels():
    x = np.random.default_rng(0).integers(0, 4, (30, 2)).astype(np.float32) / 3
    labels = np.arange(30) % 2
    method = methods.Flow(nets.dense_flow(2, depth=2, widths=(4,)), levels=4, classes=2)
    method = method.resolve(*row_specs(((x, labels),)))
    state = jax.jit(method.init)(jax.random.key(0), (jnp.asarray(x), jnp.asarray(labels)))
    noise = jax.random.uniform(jax.random.split(KEY)[0], x.shape)
    z, log_det = method.forward(state.params, (jnp.asarray(x) * 3 + noise) / 4, jax.nn.one_hot(labels, 2))
    nll = 0.5 * (wide(z) ** 2).sum(1) + np.log(2 * np.pi) - wide(log_det)
    value = jax.jit(method.validation_loss)(KEY, state, (jnp.asarray(x), jnp.asarray(labels)))
    np.testing.assert_allclose(value, nll.mean(), rtol=1e-5)


@pytest.mark.parametrize("name", ["mixture density", "mixture density given"])
def test_mixture_density_is_the_negative_log_likelihood_of_scipy_normals(name):
    method, state, (rows,) = trained(name)
    condition, x = rows if isinstance(rows, tuple) else (jnp.zeros((len(rows), 0)), rows)
    logits, means, factors = map(wide, jax.jit(method.mixture)(state, condition))
    total = 0.0
    for row, *mixture in zip(wide(x), logits, means, factors, strict=True):
        weights = np.exp(mixture[0]) / np.exp(mixture[0]).sum()
        covariances = [np.linalg.inv(factor.T @ factor) for factor in mixture[2]]
        densities = [stats.multivariate_normal(m, c).pdf(row) for m, c in zip(mixture[1], covariances, strict=True)]
        total -= np.log(weights @ densities)
    np.testing.assert_allclose(loss(name), total / len(x), rtol=1e-5)


@pytest.mark.parametrize("name", ["evl pool", "evl own"])
def test_evl_is_the_extreme_value_loss_by_a_loop(name):
    method, state, (x,) = trained(name)
    shared = name == "evl pool"
    count = 16 if shared else 30 * 4
    noise = jax.random.normal(KEY, (count, 3))
    samples, logits = map(wide, method.decode(state, noise))
    total = 0.0
    for i, target in enumerate(wide(x)):
        own = slice(None) if shared else slice(4 * i, 4 * i + 4)
        squares = [((target - sample) ** 2).sum() for sample in samples[own]]
        nearest = int(np.argmin(squares))
        log_p = logits[own][nearest] - np.log(np.exp(logits[own]).sum())
        total += squares[nearest] / 3 - log_p
    np.testing.assert_allclose(loss(name), total / 30, rtol=1e-5)


def test_mmd_map_is_the_unbiased_discrepancy_by_a_double_loop():
    method, state, (source, target) = trained("mmd map")
    x, y = wide(method.transport(KEY, state, source)), wide(target)
    squares = lambda a, b: np.array([[((one - other) ** 2).sum() for other in b] for one in a])
    off_diagonal = ~np.eye(30, dtype=bool)
    value = 0.0
    for width in (0.5 * float(state.bandwidth), 2.0 * float(state.bandwidth)):
        within = [np.exp(-squares(rows, rows)[off_diagonal] / width).mean() for rows in (x, y)]
        value += (sum(within) - 2 * np.exp(-squares(x, y) / width).mean()) / 2
    np.testing.assert_allclose(loss("mmd map"), value, rtol=1e-4)


def test_a_bandwidth_that_changes_is_that_of_the_target_rows():
    method, state, (source, target) = trained("mmd map", ("bandwidth", methods.pooled_median))
    y = wide(target)
    squares = [((a - b) ** 2).sum() for i, a in enumerate(y) for b in y[:i]]
    fixed = dataclasses.replace(method, bandwidth=1.0)
    expected = fixed.validation_loss(KEY, state._replace(bandwidth=jnp.float32(np.median(squares))), source, target)
    np.testing.assert_allclose(method.validation_loss(KEY, state, source, target), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["meg", "wgan", "gan"])
def test_adversaries_have_the_sliced_wasserstein_distance_of_samples_and_rows(name):
    method, state, (x,) = trained(name)
    key_directions, key_samples = jax.random.split(KEY)
    directions = wide(jax.random.normal(key_directions, (3, 128)))
    directions /= np.linalg.norm(directions, axis=0)
    samples = wide(method.sample(key_samples, state, len(x)))
    gaps = [np.mean((np.sort(samples @ d) - np.sort(wide(x) @ d)) ** 2) for d in directions.T]
    np.testing.assert_allclose(loss(name), np.sqrt(np.mean(gaps)), rtol=1e-5)


def test_sliced_wasserstein_of_shifted_points_is_the_shift():
    x = np.random.default_rng(0).normal(size=(700, 1)).astype(np.float32)
    order = np.random.default_rng(1).permutation(700)
    shifted = lambda key, n: jnp.asarray(x[:n] * 0 + 3.0)  # all at 3
    value = jax.jit(lambda rows: sliced_wasserstein(KEY, shifted, rows))(jnp.asarray(x[order]))
    np.testing.assert_allclose(value, np.sqrt(np.mean((wide(x) - 3) ** 2)), rtol=1e-5)


def test_losses_use_the_slow_parameters_of_lookahead():
    """The latest parameters, here NaN, are those of the next gradient only."""
    name, changes = "vae", ("optimizer", lambda rate: optax.lookahead(optax.sgd(rate), 2, 0.5))
    method, state, rows = trained(name, changes)
    spoiled = lambda part: part._replace(params=jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), part.params))
    state = jax.tree.map(spoiled, state, is_leaf=lambda node: isinstance(node, TrainState))
    assert float(jax.jit(method.validation_loss)(KEY, state, *rows)) == loss(name, changes)


def test_vae_is_the_negative_evidence_lower_bound():
    method, state, (x,) = trained("vae")
    key_latent = jax.random.split(KEY)[1]
    mean, log_variance = map(wide, method.encode(state, x))
    z = mean + np.exp(log_variance / 2) * wide(jax.random.normal(key_latent, mean.shape))
    decoded = wide(method.decode(state, jnp.asarray(z, jnp.float32)))
    scale = float(np.exp(wide(state.decoder.params["noise"]["log_scale"])))
    total = 0.0
    for row in range(len(x)):
        total -= stats.norm(decoded[row], scale).logpdf(wide(x)[row]).sum()
        variance = np.exp(log_variance[row])
        total += 0.5 * (variance + mean[row] ** 2 - 1 - log_variance[row]).sum()
    np.testing.assert_allclose(loss("vae"), total / len(x), rtol=1e-5)


def test_classifier_is_the_cross_entropy():
    method, state, ((x, labels),) = trained("classifier")
    logits = wide(method.network.apply(state.ema.ema, x))
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -np.mean([log_p[i, label] for i, label in enumerate(np.asarray(labels))])
    np.testing.assert_allclose(loss("classifier"), expected, rtol=1e-5)
    method, state, ((x, labels), others) = trained("unsure classifier")
    log_p = wide(method.log_probabilities(state, x))
    away = wide(method.log_probabilities(state, others))
    expected = -np.mean([log_p[i, label] for i, label in enumerate(np.asarray(labels))])
    expected += np.mean([stats.entropy([0.5, 0.5], np.exp(row)) for row in away])
    np.testing.assert_allclose(loss("unsure classifier"), expected, rtol=1e-5)


def test_discriminator_is_the_cross_entropy_of_both_tables():
    method, state, (inliers, outliers) = trained("discriminator")
    probability = lambda rows: 1 / (1 + np.exp(-wide(method.scores(state, rows)["logit"])))
    expected = -0.5 * (np.log(1 - probability(inliers)).mean() + np.log(probability(outliers)).mean())
    np.testing.assert_allclose(loss("discriminator"), expected, rtol=1e-5)


def test_archetypes_are_the_distance_to_their_hull():
    _, state, (x,) = trained("archetypes")
    a, b = wide(state.archetypes)  # a hull of two points is a line segment
    nearest = lambda row: (
        optimize.minimize_scalar(
            lambda t: ((row - a - t * (b - a)) ** 2).sum(), bounds=(0, 1), method="bounded", options={"xatol": 1e-10}
        ).fun
    )
    np.testing.assert_allclose(loss("archetypes"), np.mean([nearest(row) for row in wide(x)]), rtol=1e-4)


def test_deep_archetypes_leave_the_archetype_term_out():
    method, state, (x,) = trained("deep archetypes")
    scores = {name: wide(score) for name, score in method.scores(state, x).items()}
    expected = np.mean(0.1 * scores["nll"] / 3 + 80 * scores["reconstruction"])
    np.testing.assert_allclose(loss("deep archetypes"), expected, rtol=1e-4)


@pytest.mark.parametrize("name", ["flow", "evl pool", "mixture density", "classifier", "gan"])
def test_the_average_of_the_parameters_is_evaluated(name):
    method, state, rows = trained(name)
    is_averaged = lambda node: isinstance(node, TrainState) and node.ema != ()
    spoiled = jax.tree.map(
        lambda node: (
            node._replace(params=jax.tree.map(lambda leaf: leaf + 1.0, node.params)) if is_averaged(node) else node
        ),
        state,
        is_leaf=lambda node: isinstance(node, TrainState),
    )
    assert any(map(is_averaged, jax.tree.leaves(state, is_leaf=is_averaged)))
    value = jax.jit(method.validation_loss)(KEY, spoiled, *rows)
    np.testing.assert_allclose(value, loss(name), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 255, 256, 257, 1000])
def test_a_mean_in_pieces_counts_each_row_once(n):
    rows = np.random.default_rng(0).normal(size=n).astype(np.float32)
    shapes = []

    def values(key, part):
        shapes.append(part.shape)
        return part**2

    value = jax.jit(lambda rows: mean_over_rows(values, KEY, rows))(jnp.asarray(rows))
    np.testing.assert_allclose(value, np.mean(wide(rows) ** 2), rtol=1e-5)
    assert max(shapes) <= (PIECE,)
    keys = mean_over_rows(lambda key, part: jax.random.uniform(key, part.shape), KEY, jnp.asarray(rows))
    assert n < 500 or abs(keys - 0.5) < 0.05  # each piece has noise of its own


def test_every_method_has_a_validation_loss():
    for name in methods.__all__:
        if hasattr(getattr(methods, name), "resolve"):
            assert hasattr(getattr(methods, name), "validation_loss"), name
