"""Mixture density networks: the likelihood of known mixtures is reached, with a condition and without."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

import jaxgen
from jaxgen import data, losses, methods, nets
from jaxgen.optim import Cosine

ROW = jax.ShapeDtypeStruct((2,), jnp.float32)


def train(method, *tables, steps=1500, batch_size=200):
    method = jaxgen.Config(
        method, data.Arrays(*tables), steps=steps, steps_per_call=steps, batch_size=batch_size, layout=tiny.ONE
    )
    return jaxgen.train(method, progress=False)


def test_it_finds_the_mixture():
    """Two correlated Gaussians: the likelihood of fresh data comes within 0.02 nats of the truth's."""
    generator = np.random.default_rng(0)
    root = np.array([[1.0, 0.0], [0.8, 0.3]])

    def draw(n):
        left = generator.uniform(size=(n, 1)) < 0.25
        return np.where(left, [-3.0, 0.0], [2.0, 1.0]) + generator.normal(size=(n, 2)) @ root.T

    method = methods.MixtureDensity(components=4, learning_rate=Cosine(2e-2, 1500), ema_decay=None)
    result = train(method, draw(20_000).astype(np.float32))
    fresh = np.float32(draw(20_000))
    truth = losses.GaussianMixture(
        jnp.float32(np.log([0.25, 0.75])),
        jnp.array([[-3.0, 0.0], [2.0, 1.0]]),
        jnp.float32(np.linalg.inv([root, root])),
    )
    found = np.mean(jax.jit(result.config.method.log_prob)(result.state_of(0), fresh))
    wanted = np.mean(jax.jit(losses.mixture_log_density)(fresh, truth))
    assert wanted - 0.02 < found < wanted + 0.01
    drawn = np.asarray(result.sample(jax.random.key(0), 20_000))[0]
    np.testing.assert_allclose(drawn.mean(0), fresh.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(fresh.T), atol=0.2)


def test_a_condition_moves_the_mixture():
    """y is near x or near -x: at every input both branches are found, each half of the time, and as wide as it is."""
    generator = np.random.default_rng(0)
    x = generator.uniform(1, 3, size=(8000, 1))
    y = generator.choice([-1, 1], size=(8000, 1)) * x + 0.1 * generator.normal(size=(8000, 1))
    method = methods.MixtureDensity(nets.MLP((32, 32, 6)), components=2, learning_rate=Cosine(1e-2, 1500))
    result = train(method, (jnp.float32(x), jnp.float32(y)))
    method, state = result.config.method, result.state_of(0)
    condition = np.float32([[1.2], [2.0], [2.8]])
    drawn = np.asarray(jax.jit(method.sample_given, static_argnums=3)(jax.random.key(0), state, condition, 4000))
    assert drawn.shape == (3, 4000, 1)
    for at, found in zip(condition[:, 0], drawn[..., 0], strict=True):
        up = found > 0
        assert 0.4 < up.mean() < 0.6
        assert abs(found[up].mean() - at) < 0.1
        assert abs(found[~up].mean() + at) < 0.1
        assert 0.07 < found[up].std() < 0.15
    rows = (jnp.float32(x), jnp.float32(y))
    truth = np.mean(
        np.log(0.5 * (np.exp(-50 * (y - x) ** 2) + np.exp(-50 * (y + x) ** 2)) / (0.1 * np.sqrt(2 * np.pi)))
    )
    assert abs(np.mean(jax.jit(method.log_prob)(state, rows)) - truth) < 0.1


def test_the_density_and_the_draws_are_the_same_mixture():
    method = methods.MixtureDensity(components=3)
    x = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    state = jax.jit(method.init)(jax.random.key(0), jnp.asarray(x))
    drawn = np.asarray(jax.jit(method.sample, static_argnums=2)(jax.random.key(1), state, 40_000))
    mixture = jax.jit(method.mixture)(state, np.zeros((1, 0), np.float32))
    mixture = jax.tree.map(lambda leaf: np.asarray(leaf)[0], mixture)
    weights = np.exp(mixture.logits) / np.exp(mixture.logits).sum()
    covariances = [np.linalg.inv(factor.T @ factor) for factor in mixture.factors]
    mean = weights @ mixture.means
    spread = [c + np.outer(m - mean, m - mean) for c, m in zip(covariances, mixture.means, strict=True)]
    np.testing.assert_allclose(drawn.mean(0), mean, atol=4 * drawn.std() / 200)
    np.testing.assert_allclose(np.cov(drawn.T), sum(w * s for w, s in zip(weights, spread, strict=True)), atol=0.1)


def test_no_component_shrinks_to_a_point():
    x = jnp.zeros((40, 1))
    result = train(methods.MixtureDensity(components=2, min_scale=0.1, learning_rate=0.1), x, steps=200, batch_size=20)
    factors = jax.jit(result.config.method.mixture)(result.state_of(0), np.zeros((1, 0), np.float32)).factors
    assert np.max(factors) <= 10


def test_components_at_equal_rows_are_initialized_apart():
    x = np.float32([[1, 0], [2, 5], [1, 0], [2, 5], [2, 5], [0, 5]])
    method = methods.MixtureDensity(components=6)
    initial = jax.jit(lambda key, x: method.mixture(method.init(key, x), jnp.zeros((1, 0))))
    means = np.asarray(initial(jax.random.key(0), x).means)[0]
    np.testing.assert_array_equal(means[[0, 1, 5]], x[np.array([0, 1, 5])])  # the first of each, as it is
    assert len(np.unique(means, axis=0)) == 6
    np.testing.assert_allclose(means, x, atol=0.1)


def test_conditions_of_the_wrong_width_are_refused():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(20, 2)), jnp.float32)
    rows = {0: x, 1: (jnp.asarray(np.asarray(x)[:, :1]), jnp.asarray(np.asarray(x)[:, 1:]))}
    for width, batch in rows.items():
        spec = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), batch)
        method = methods.MixtureDensity(components=3).resolve(spec)
        state = jax.jit(method.init)(jax.random.key(0), batch)
        sample = jax.jit(lambda condition: method.sample_given(jax.random.key(0), state, condition, 4))  # noqa: B023
        assert sample(jnp.zeros((5, width))).shape == (5, 4, 2 - width)
        with pytest.raises(ValueError, match="call sample for a model without conditions, sample_given for one with"):
            sample(jnp.zeros((5, 1 - width)))
        if width:
            with pytest.raises(ValueError, match=r"got shape \(\d+, 0\)"):
                method.sample(jax.random.key(0), state, 4)


def test_data_and_networks_that_do_not_fit_are_refused():
    with pytest.raises(TypeError, match=r"use data.Arrays\(y\) or data.Arrays\(\(x, y\)\)"):
        methods.MixtureDensity().resolve(ROW, ROW)
    with pytest.raises(TypeError, match="pairs of a condition vector"):
        methods.MixtureDensity().resolve((ROW, jax.ShapeDtypeStruct((), jnp.int32)))
    with pytest.raises(ValueError, match="flatten them"):
        methods.MixtureDensity().resolve(jax.ShapeDtypeStruct((4, 4), jnp.float32))
    with pytest.raises(ValueError, match="must return 60 parameters for 10 components in 2 dimensions"):
        methods.MixtureDensity(nets.MLP((5,))).resolve((ROW, ROW))
    with pytest.raises(ValueError, match=r"use network=None, or data.Arrays"):
        methods.MixtureDensity(nets.MLP((60,))).resolve(ROW)
    with pytest.raises(ValueError, match="use a larger batch_size"):
        methods.MixtureDensity(components=9).init(jax.random.key(0), jnp.zeros((8, 2)))


@pytest.mark.parametrize("conditional", [False, True])
def test_the_units_of_columns_do_not_matter(conditional):
    """Log-densities plus the logarithm of the unit, and samples over the unit, are equal from 1e-6 to 1e6."""
    generator = np.random.default_rng(0)
    outcome, condition = generator.normal(size=(2, 200, 2))
    method = methods.MixtureDensity(
        nets.MLP((8, 12)) if conditional else None, components=2, learning_rate=1e-2, ema_decay=None
    )
    found = []
    for unit in (np.array([1.0, 1.0]), np.array([2.0**-20, 2.0**-20]), np.array([2.0**20, 2.0**-20])):  # no rounding
        x = np.float32(3 + outcome) * np.float32(unit)
        rows = (np.float32(condition) * np.float32(unit[::-1]), x) if conditional else x
        result = train(method, rows, steps=20, batch_size=100)
        state, held_out = result.state_of(0), jax.tree.map(lambda leaf: jnp.asarray(leaf[:50]), rows)
        density = np.asarray(jax.jit(result.config.method.log_prob)(state, held_out)) + np.log(unit).sum()
        given = held_out[0] if conditional else jnp.zeros((1, 0))
        samples = jax.jit(result.config.method.sample_given, static_argnums=3)(jax.random.key(1), state, given, 5)
        found.append((np.asarray(density), np.asarray(samples) / unit))
    for others in found[1:]:
        np.testing.assert_allclose(others[0], found[0][0], atol=1e-3)
        np.testing.assert_allclose(others[1], found[0][1], rtol=1e-3, atol=1e-3)
