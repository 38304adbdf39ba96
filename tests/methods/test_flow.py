"""Normalizing flows."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxgen
from jaxgen import data, methods, nets
from jaxgen.parallel import Layout

NETWORK = nets.dense_flow(2, depth=4, widths=(16,))
CENTRES = np.array([[-2.0, 0.0], [2.0, 1.0]])


def trained(method, rows, steps=600):
    config = jaxgen.Config(
        method, data.Arrays(rows), steps=steps, batch_size=100, steps_per_call=steps, layout=Layout(devices=1)
    )
    return jaxgen.train(config, progress=False)


@functools.cache
def two_classes():
    generator = np.random.default_rng(0)
    labels = generator.integers(2, size=2_000)
    x = (CENTRES[labels] + 0.5 * generator.normal(size=(2_000, 2))).astype(np.float32)
    return trained(methods.Flow(NETWORK, classes=2, learning_rate=5e-3), (x, labels))


def test_the_density_of_a_stretched_normal_distribution_is_learned():
    generator = np.random.default_rng(0)
    distribution = stats.multivariate_normal([3, -1], [[4.0, 1.5], [1.5, 1.0]])
    draws = functools.partial(distribution.rvs, random_state=generator)
    result = trained(methods.Flow(NETWORK, learning_rate=5e-3), draws(2_000).astype(np.float32))
    method, state, x = result.config.method, result.state_of(0), jnp.asarray(draws(2_000), jnp.float32)
    gap = distribution.logpdf(x) - np.asarray(jax.jit(method.log_prob)(state, x))
    assert abs(gap.mean()) < 0.05  # the divergence, in nats
    z = np.asarray(jax.jit(method.encode)(state, x))
    np.testing.assert_allclose(jax.jit(method.decode)(state, z), x, atol=1e-4)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.15)
    drawn = np.asarray(result.sample(jax.random.key(1), 4_000))[0]
    np.testing.assert_allclose(np.cov(drawn.T), distribution.cov, atol=0.5)


def test_densities_add_up_to_one():
    result = two_classes()
    grid = np.linspace(-7, 7, 141)
    places = np.float32(np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2))
    log_prob = jax.jit(result.config.method.log_prob)
    for labels in (None, np.zeros(len(places), np.int32), np.ones(len(places), np.int32)):
        density = np.exp(np.asarray(log_prob(result.state_of(0), places, labels), np.float64))
        assert density.sum() * (grid[1] - grid[0]) ** 2 == pytest.approx(1, abs=0.01)


def test_the_units_of_columns_do_not_matter():
    """Log-densities plus the logarithm of the unit, and samples over the unit, are equal from 1e-6 to 1e6."""
    x = 3 + np.random.default_rng(0).normal(size=(200, 2))
    found = []
    for unit in ([1.0, 1.0], [2.0**-20, 2.0**-20], [2.0**20, 2.0**-20], [2.0**-100, 2.0**80]):  # without rounding
        rows = np.float32(x) * np.float32(unit)
        result = trained(methods.Flow(NETWORK, learning_rate=1e-2), rows, steps=30)
        density = result.config.method.log_prob(result.state_of(0), jnp.asarray(rows[:50])) + np.log(unit).sum()
        found.append((np.asarray(density), np.asarray(result.sample(jax.random.key(1), 50)[0]) / unit))
    for others in found[1:]:
        np.testing.assert_allclose(others[0], found[0][0], atol=1e-3)
        np.testing.assert_allclose(others[1], found[0][1], rtol=1e-3, atol=1e-3)


def test_each_class_has_its_own_distribution():
    result = two_classes()
    method, state = result.config.method, result.state_of(0)
    decode, log_prob = jax.jit(method.decode), jax.jit(method.log_prob)
    labels = [np.full(500, label, np.int32) for label in (0, 1)]
    for label, centre in zip(labels, CENTRES, strict=True):
        rows = np.asarray(decode(state, jax.random.normal(jax.random.key(0), (500, 2)), label))
        np.testing.assert_allclose(rows.mean(0), centre, atol=0.2)
    mean = np.logaddexp(*(log_prob(state, rows, label) for label in labels)) - math.log(2)
    np.testing.assert_allclose(log_prob(state, rows), mean, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(result.scores(rows)["nll"])[0], -mean, rtol=1e-5)
    drawn = np.asarray(jax.jit(method.sample, static_argnums=2)(jax.random.key(0), state, 4_000))
    assert np.abs(drawn.mean(0) - CENTRES.mean(0)).max() < 0.2


def test_bits_are_those_of_the_levels():
    """Of a standard normal distribution of numbers between 0 and 1, which the network leaves as they are, by hand."""
    x = jnp.asarray(np.random.default_rng(0).integers(256, size=(500, 2)) / 255, jnp.float32)
    method = methods.Flow(nets.Permutation(0), levels=256).resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    state = method.init(jax.random.key(0), x[:10])
    # The standard normal density of numbers between 0 and 1.
    nll = -stats.norm.logpdf((np.round(255 * np.asarray(x, np.float64)) + 0.5) / 256).sum(1)
    found = method.scores(state, x)
    np.testing.assert_allclose(found["nll"], nll, rtol=1e-5)
    # Uniform noise of a level's width adds its variance, 1 / (12 x 256 ^ 2), to the square: next to nothing.
    bits = nll / (2 * math.log(2)) + 8
    np.testing.assert_allclose(method.bits(jax.random.key(1), state, x).mean(), bits.mean(), rtol=1e-4)
    seen = method.loss(jax.random.key(2), state.params, {}, x)[1][0]["bpd"]
    np.testing.assert_allclose(seen, bits.mean(), rtol=1e-4)
    np.testing.assert_allclose(method.decode(state, method.encode(state, x)), x, atol=1e-5)
    noisy = np.asarray(method.dequantize(jax.random.key(3), x)) * 256
    np.testing.assert_array_equal(np.floor(noisy), np.round(np.asarray(x) * 255))  # each within its own level
    drawn = np.asarray(method.sample(jax.random.key(0), state, 50)) * 255
    np.testing.assert_allclose(drawn, np.round(drawn), atol=1e-3)
    assert drawn.min() >= 0
    assert drawn.max() <= 255


def test_bytes_are_scored_as_in_training_and_refused_where_they_would_wrap_around(unchecked):
    x = np.random.default_rng(0).integers(256, size=(40, 2)).astype(np.uint8)
    config = jaxgen.Config(
        methods.Flow(NETWORK, levels=256),
        data.Arrays(x),
        steps=1,
        batch_size=20,
        steps_per_call=1,
        layout=Layout(devices=1),
    )
    result = jaxgen.train(config, progress=False)
    method, state = result.config.method, result.state_of(0)
    wanted = method.scores(state, data.to_float(jnp.asarray(x)))["nll"]
    np.testing.assert_allclose(result.scores(x)["nll"][0], wanted, rtol=1e-5, atol=1e-6)  # sums of terms near 1
    for ask in (method.log_prob, method.encode):
        with pytest.raises(
            TypeError, match=r"Flow needs floating-point values \(got uint8\); convert bytes with data.to_float"
        ):
            ask(state, x)


def test_noise_is_added_in_training_alone():
    method = methods.Flow(nets.Permutation(0), noise=3.0).resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    x = jnp.zeros((20_000, 2))
    state = method.init(jax.random.key(0), x[:5])
    noisy = method.loss(jax.random.key(1), state.params, {}, x)[1][0]["norm"]
    assert noisy == pytest.approx(9, rel=0.05)
    np.testing.assert_allclose(method.scores(state, x[:3])["nll"], math.log(2 * math.pi), rtol=1e-6)


class Normed(nets.Permutation):
    """A layer with running statistics."""

    @nn.compact
    def __call__(self, x, condition=None):
        return nets.BatchNorm()(x), jnp.zeros(())


@pytest.mark.parametrize(
    ("method", "row", "message"),
    [
        (methods.Flow(), jax.ShapeDtypeStruct((2,), jnp.int32), "floating-point"),
        (methods.Flow(classes=3), jax.ShapeDtypeStruct((2,), jnp.float32), "pairs of rows and labels below 3"),
        (methods.Flow(), jax.ShapeDtypeStruct((2, 2), jnp.float32), "set `network`"),
        (methods.Flow(levels=1), jax.ShapeDtypeStruct((2,), jnp.float32), "got 1 and 0.0"),
        (methods.Flow(nets.Flatten((1, 1))), jax.ShapeDtypeStruct((1, 1, 4), jnp.float32), "vectors of 4 values"),
        (methods.Flow(Normed(0)), jax.ShapeDtypeStruct((2,), jnp.float32), "must have parameters only"),
    ],
)
def test_what_does_not_fit_is_refused(method, row, message):
    with pytest.raises((TypeError, ValueError), match=message):
        method.resolve(row)


def test_tables_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"Flow with levels=256 needs values in \[0, 1\] \(got 0 to 2\)"):
        methods.Flow(levels=256).check(np.array([[0.0, 2.0]]))
    with pytest.raises(ValueError, match=r"for 2 classes \(got 0 to 2\)"):
        methods.Flow(classes=2).check((np.zeros((2, 2)), np.array([0, 2])))
    method = methods.Flow(NETWORK, dimensions=2)
    with pytest.raises(ValueError, match="at least one row"):
        methods.Flow().check(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="classes=0"):
        method.log_prob(method.init(jax.random.key(0), jnp.zeros((2, 2))), jnp.zeros((2, 2)), jnp.zeros(2, int))
    with pytest.raises(ValueError, match="need `levels`"):
        method.bits(jax.random.key(0), method.init(jax.random.key(0), jnp.zeros((2, 2))), jnp.zeros((2, 2)))
