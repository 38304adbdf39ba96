"""Outliers from a flow's latent space, a discriminator of them, and a classifier that is uncertain on them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen import data, methods, nets, samplers
from jaxgen.parallel import Layout


def train(method, tables, **changes):
    settings = {"steps": 400, "batch_size": 100, "steps_per_call": 400, "layout": Layout(devices=1)}
    return jaxgen.train(jaxgen.Config(method, tables, **{**settings, **changes}), progress=False)


def normal(n, seed, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=(n, 2))).astype(np.float32)


def fresh(method, rows):
    """A resolved method, and its state before training."""
    method = method.resolve(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), rows))
    return method, jax.jit(method.init)(jax.random.key(0), rows)


STRETCHED = nets.ComposedBijection((nets.ActNorm(), nets.Permutation(1)))
THIN = lambda key, n, dimensions: jnp.full(n, 3.0)


def test_outliers_lie_at_their_radius_from_the_rows():
    x = jnp.asarray(normal(5_000, 0) * [1, 20] + 5)
    flow, state = fresh(methods.Flow(STRETCHED), x)
    drawn = methods.latent_outliers(jax.random.key(1), state, 300, flow=flow, radii=THIN)
    whitened = jax.jit(lambda x, drawn: samplers.whitening(x).whiten(drawn))(x, drawn)
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 3, rtol=0.05)


def test_latent_distributions_that_are_not_standard_are_whitened():
    flow, state = fresh(methods.Flow(nets.Permutation(0)), jnp.zeros((2, 2)))
    whitening = samplers.Whitening(jnp.array([5.0, 0.0]), jnp.array([[2.0, 0.0], [1.0, 0.5]]))
    drawn = methods.latent_outliers(jax.random.key(1), state, 50, flow=flow, radii=THIN, whitening=whitening)
    # A permutation of two is either of two; both are undone by the flow's own code.
    whitened = jax.jit(lambda drawn: whitening.whiten(flow.encode(state, drawn)))(drawn)
    np.testing.assert_allclose(np.linalg.norm(whitened, axis=1), 3, rtol=1e-4)


def test_radii_are_drawn_for_the_flow_s_own_dimensions():
    flow, state = fresh(methods.Flow(nets.Permutation(0)), jnp.zeros((2, 64)))
    radii = functools.partial(samplers.extreme_radii, draws=1_000)
    drawn = methods.latent_outliers(jax.random.key(1), state, 50, flow=flow, radii=radii)
    assert np.linalg.norm(drawn, axis=1).min() > samplers.chi_radius(0.01, dimensions=64)


def test_likely_rows_are_rejected():
    flow, state = fresh(methods.Flow(nets.Permutation(0)), jnp.zeros((2, 2)))
    radii = functools.partial(samplers.extreme_radii, draws=10)
    bound = -math.log(2 * math.pi) - 0.5 * 3.0**2  # the density at radius 3
    drawn = methods.latent_outliers(jax.random.key(1), state, 500, flow=flow, radii=radii, max_log_prob=bound)
    assert drawn.shape == (500, 2)
    assert np.linalg.norm(drawn, axis=1).min() >= 3
    with pytest.raises(ValueError, match=r"needs 50 samples \(got 0 from 2 times 50 draws below the log-density"):
        methods.latent_outliers(jax.random.key(1), state, 50, flow=flow, radii=radii, max_log_prob=-1e6, max_batches=2)
    nowhere = lambda key, n, dimensions: jnp.full(n, jnp.inf)
    with pytest.raises(
        ValueError, match=r"needs 50 samples \(got 0 from 2 times 50 draws, .*overflows.*; use smaller radii"
    ):
        methods.latent_outliers(jax.random.key(1), state, 50, flow=flow, radii=nowhere, max_batches=2)


def test_a_network_without_a_hash_is_refused_at_once(unchecked):
    flow, state = fresh(methods.Flow(nets.dense_flow(2, depth=1, widths=[4])), jnp.zeros((2, 2)))
    with pytest.raises(
        TypeError, match=r"Flow must be hashable, .*unhashable type: 'list'.*use tuples instead of lists"
    ):
        methods.latent_outliers(jax.random.key(1), state, 50, flow=flow, radii=THIN)


def test_classes_have_shells_of_their_own_which_may_lie_amid_another():
    """Two classes six apart: each one's shell at radius 6 meets the other, unless what is likely is rejected."""
    labels = np.repeat([0, 1], 1_000)
    x = normal(2_000, 0) + np.array([[-3.0, 0.0], [3.0, 0.0]], np.float32)[labels]
    flow = methods.Flow(nets.dense_flow(2, depth=4, widths=(16,)), classes=2, learning_rate=5e-3)
    result = train(flow, data.Arrays((x, labels)))
    flow, state = result.config.method, result.state_of(0)
    far = lambda key, n, dimensions: jnp.full(n, 6.0)
    draw = functools.partial(methods.latent_outliers, jax.random.key(1), state, 1_000, flow=flow, radii=far)
    amid = lambda rows: np.mean(np.min(np.linalg.norm(rows[:, None] - [[-3, 0], [3, 0]], axis=-1), 1) < 2)
    assert amid(np.asarray(draw())) > 0.05
    assert amid(np.asarray(draw(max_log_prob=float(np.quantile(jax.jit(flow.log_prob)(state, x), 0.01))))) < 0.01


@functools.cache
def discriminator():
    outliers = np.asarray(samplers.shell(jax.random.key(0), 2_000, dimensions=2, radius=4.0))
    method = methods.OutlierDiscriminator(nets.MLP((32, 32, 1)))
    return train(method, data.Zip((data.Arrays(normal(2_000, 0)), data.Arrays(outliers))))


def test_the_discriminator_learns_the_shell_from_within():
    result = discriminator()
    inside, outside = (result.scores(x)["logit"][0] for x in (normal(500, 1), normal(500, 2, 20.0)))
    assert np.mean(inside < 0) > 0.95
    assert np.mean(outside > 0) > 0.95
    assert result.history["accuracy"][0, -50:].mean() > 0.95


def test_inliers_and_outliers_count_alike():
    method = methods.OutlierDiscriminator(nets.MLP((1,)))
    params = {"params": {"Dense_0": {"kernel": jnp.array([[1.0], [0.0]]), "bias": jnp.zeros(1)}}}
    inliers, outliers = jnp.array([[-2.0, 0.0]]), jnp.array([[3.0, 0.0], [1.0, 0.0], [-1.0, 5.0]])
    value, (found, _) = jax.jit(method.loss)(jax.random.key(0), params, {}, inliers, outliers)
    expected = 0.5 * (np.log1p(np.exp(-2)) + np.mean(np.log1p(np.exp([-3.0, -1.0, 1.0]))))
    assert value == pytest.approx(expected, rel=1e-5)
    assert found["accuracy"] == pytest.approx(0.5 * (1 + 2 / 3))


def test_a_classifier_is_uncertain_on_outliers():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=2_000)
    x = normal(2_000, 1) + 4 * labels[:, None].astype(np.float32)
    rows, outliers = data.Arrays((x, labels)), data.Arrays(normal(2_000, 2, 20.0))
    network = nets.MLP((64, 64, 2))
    plain = train(methods.Classifier(network, classes=2), rows)
    uncertain = train(methods.Classifier(network, classes=2, uniformity_weight=1.0), data.Zip((rows, outliers)))
    far = normal(500, 3, 20.0)
    entropy = [np.mean(result.scores(far)["entropy"]) for result in (plain, uncertain)]
    assert entropy[0] < 0.2
    assert entropy[1] > 0.8 * math.log(2)
    predicted = jax.jit(uncertain.config.method.predict)(uncertain.state_of(0), x)
    assert np.mean(predicted == labels) > 0.97


def test_divergence_and_scores_by_hand():
    method = methods.Classifier(nets.MLP((2,)), classes=2, uniformity_weight=0.5)
    params = {"params": {"Dense_0": {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}}}
    x = jnp.array([[2.0, 0.0], [0.0, 0.0]])
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    value, (found, _) = jax.jit(method.loss)(jax.random.key(0), params, {}, (x, jnp.array([0, 1])), x)
    away = np.mean([np.sum(0.5 * np.log(0.5 / row)) for row in p])
    assert found["uniformity_divergence"] == pytest.approx(away, rel=1e-5)
    assert value == pytest.approx(-np.mean(np.log([p[0, 0], p[1, 1]])) + 0.5 * away, rel=1e-5)
    scores = jax.jit(method.scores)(method._descent.init(params), x)
    np.testing.assert_allclose(scores["one_minus_max_softmax"], 1 - p.max(1), rtol=1e-5)
    np.testing.assert_allclose(scores["entropy"], -(p * np.log(p)).sum(1), rtol=1e-5)


def test_tables_that_do_not_belong_together_are_refused():
    two, three, whole = (jax.ShapeDtypeStruct(s, d) for s, d in (((2,), "float32"), ((3,), "float32"), ((2,), "int32")))
    for rows in ((two,), (two, three), (two, whole), ((two, whole), two)):
        with pytest.raises(TypeError, match="inliers and outliers"):
            methods.OutlierDiscriminator().resolve(*rows)
    label = jax.ShapeDtypeStruct((), "int32")
    with pytest.raises(TypeError, match="one of outliers"):
        methods.Classifier(classes=2, uniformity_weight=1.0).resolve((two, label))
    with pytest.raises(TypeError, match=r"outliers must be floating-point rows of shape \(2,\)"):
        methods.Classifier(classes=2, uniformity_weight=1.0).resolve((two, label), three)
    with pytest.raises(ValueError, match="must return one number per sample, the logit"):
        methods.OutlierDiscriminator(nets.MLP((2,))).resolve(two, two)
