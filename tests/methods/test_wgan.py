"""Wasserstein generators: where the critic's slope is looked at, and its loss by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import losses, methods, nets

X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2, 2, 3)), jnp.float32)


def wgan(**changes):
    networks = {"critic": Flat(nets.MLP((5, 1), jnp.tanh)), "generator": Image(nets.MLP((12,)))}
    return methods.WGANGP(**{**networks, "latent_dim": 2, "n_critic": 2, **changes})


class Flat(nets.PairNet):
    """Images to one number through a dense network."""

    def __call__(self, x):
        return self.head(x.reshape(*x.shape[:-3], -1))


class Image(nets.PairNet):
    """Noise to images through a dense network."""

    def __call__(self, z):
        return self.head(z).reshape(*z.shape[:-1], 2, 2, 3)


@pytest.mark.parametrize("between", [methods.interpolate_rows, methods.interpolate_pixels])
def test_places_between_rows_and_samples(between):
    made = X + 1 + jnp.abs(X)
    weights = np.asarray((between(jax.random.key(0), X, made) - made) / (X - made))
    assert weights.min() > -1e-5
    assert weights.max() < 1 + 1e-5
    per_row = weights.reshape(6, -1)
    one_for_each = np.ptp(per_row, 1).max() < 1e-4
    assert one_for_each == (between is methods.interpolate_rows)
    assert np.ptp(per_row[:, 0]) > 0.1  # not the same for all rows


@pytest.mark.parametrize(
    ("between", "regularizer"),
    [(methods.interpolate_rows, losses.gradient_penalty), (methods.interpolate_pixels, losses.pixel_gradient_penalty)],
    ids=["as published", "as released"],
)
def test_the_critic_s_loss_by_hand(between, regularizer):
    method = wgan(between=between, regularizer=regularizer)
    state = method.init(jax.random.key(0), X)
    key_samples, key_where = jax.random.split(jax.random.key(1))
    generator = state.generator
    loss = jax.jit(lambda critic: method.critic_loss(jax.random.key(1), critic, {}, X, generator.params, {}))
    value, (seen, _) = loss(state.critic.params)
    made = method.decode(state, jax.random.normal(key_samples, (6, 2)))
    energy = lambda x: method.critic.apply(state.critic.params, x)[..., 0]
    slopes = np.stack([jax.grad(energy)(row) for row in between(key_where, X, made)])
    pixels = slopes.reshape(6, 1 if between is methods.interpolate_rows else 4, -1)
    steepness = np.mean((np.linalg.norm(pixels, axis=-1) - 1) ** 2)
    gap = np.mean(energy(X)) - np.mean(energy(made))
    np.testing.assert_allclose(value, gap + 10 * steepness, rtol=1e-5)
    np.testing.assert_allclose([seen["penalty"], seen["energy_gap"]], [steepness, gap], rtol=1e-4, atol=1e-6)


def test_the_generator_descends_on_the_energy_alone():
    method = wgan()
    state = method.init(jax.random.key(0), X)
    assert list(state.generator.params) == ["generator"]
    value, _ = method.generator_loss(jax.random.key(1), state.generator.params, {}, state.critic.params, 6)
    made = method.decode(state, jax.random.normal(jax.random.key(1), (6, 2)))
    np.testing.assert_allclose(value, np.mean(method.energy(state, made)), rtol=1e-5)
