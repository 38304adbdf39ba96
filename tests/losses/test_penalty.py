"""Penalties on gradients: closed forms, finite differences, and their own derivative through convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import losses, nets

PENALTIES = (
    losses.score_penalty,
    losses.pixel_score_penalty,
    losses.gradient_penalty,
    losses.pixel_gradient_penalty,
)
IMAGE = (4, 3, 2)
NETWORKS = {
    "dense": (nets.MLP((5, 5, 1), nets.LeakyReLU(0.2), hidden_kernel_init=nets.torch_uniform), (3,)),
    "convolutions": (nets.ConvTrunk(((3, 5, 2), (4, 3, 1)), activation=jnp.tanh), IMAGE),
}


def by_hand(penalty, slopes):
    """The four penalties from gradients `[n, ...]`, one sample and one pixel at a time."""
    found = []
    for slope in slopes:
        pixels = slope.reshape(-1, slope.shape[-1])
        found.append(
            {
                losses.score_penalty: np.sum(slope**2),
                losses.pixel_score_penalty: np.mean([np.sum(pixel**2) for pixel in pixels]),
                losses.gradient_penalty: (np.sqrt(np.sum(slope**2)) - 1) ** 2,
                losses.pixel_gradient_penalty: np.mean([(np.linalg.norm(pixel) - 1) ** 2 for pixel in pixels]),
            }[penalty]
        )
    return np.array(found)


def field(name):
    network, row = NETWORKS[name]
    params = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, *row)))
    # With the usual initializers the gradients would be negligible compared with the target norm 1.
    params = jax.tree.map(lambda leaf: jnp.asarray(np.random.default_rng(leaf.size).normal(size=leaf.shape)), params)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, *row)))
    return params, x, lambda params: lambda rows: network.apply(params, rows)[..., 0]


def differences(energy, row, step=1e-6):
    """Central differences of the energy by every entry of one row."""
    moves = step * np.eye(row.size).reshape(row.size, *row.shape)
    up, down = (np.asarray(energy(row[None] + sign * moves)) for sign in (1, -1))
    return ((up - down) / (2 * step)).reshape(row.shape)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.__name__)
def test_of_a_quadratic_energy(penalty):
    matrix = np.random.default_rng(0).normal(size=(24, 24))
    x = np.random.default_rng(1).normal(size=(5, *IMAGE))
    energy = lambda x: 0.5 * jnp.sum((x.reshape(-1, 24) @ jnp.float32(matrix)) ** 2, -1)
    slopes = (x.reshape(5, 24) @ matrix @ matrix.T).reshape(x.shape)
    found = jax.jit(lambda x: penalty(energy, x))(np.float32(x))
    np.testing.assert_allclose(found, by_hand(penalty, slopes), rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_against_finite_differences(name):
    with jax.enable_x64(True):
        params, x, of = field(name)
        energy = jax.jit(of(params))
        slopes = np.stack([differences(energy, row) for row in np.asarray(x)])
        for penalty in PENALTIES:
            found = jax.jit(lambda x, penalty=penalty: penalty(energy, x))(x)
            np.testing.assert_allclose(found, by_hand(penalty, slopes), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("penalty", [losses.score_penalty, losses.pixel_gradient_penalty], ids=["score", "gradient"])
def test_training_differentiates_it_again(name, penalty):
    with jax.enable_x64(True):
        params, x, of = field(name)
        loss = jax.jit(lambda params: jnp.mean(penalty(of(params), x)))
        slope = jax.jit(jax.grad(loss))(params)
        direction = jax.tree.map(lambda leaf: np.cos(np.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape), slope)
        move = lambda step: jax.tree.map(lambda leaf, way: np.asarray(leaf) + step * way, params, direction)
        along = sum(np.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (slope, direction)), strict=True))
        np.testing.assert_allclose(along, (loss(move(1e-6)) - loss(move(-1e-6))) / 2e-6, rtol=1e-4)


def test_released_form_is_divided_by_pixels_on_images_and_equal_on_vectors():
    energy = lambda x: jnp.sum(jnp.sin(x.reshape(2, -1)), -1)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 24)), jnp.float32)
    image = x.reshape(2, *IMAGE)
    every = jax.jit(lambda rows: [penalty(energy, rows) for penalty in PENALTIES])
    score, pixel_score, gradient, pixel_gradient = map(np.asarray, every(image))
    np.testing.assert_allclose(score, 12 * pixel_score, rtol=1e-5)
    assert not np.allclose(gradient, pixel_gradient)
    score, pixel_score, gradient, pixel_gradient = every(x)
    np.testing.assert_allclose(score, pixel_score, rtol=1e-5)
    np.testing.assert_allclose(gradient, pixel_gradient, rtol=1e-5)


def test_zero_gradients():
    """The derivative of the square root is infinite at zero; that of the penalty is taken as zero."""
    slope = jax.grad(lambda w: jnp.mean(losses.gradient_penalty(lambda x: w * jnp.sum(x**2, -1), jnp.zeros((2, 3)))))
    assert slope(1.0) == 0
    np.testing.assert_allclose(losses.gradient_penalty(lambda x: 0 * x[:, 0], jnp.ones((2, 3))), 1)


def test_a_mapped_function_of_one_sample():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), jnp.float32)
    found = losses.score_penalty(jax.vmap(lambda row: jnp.prod(row)), x)
    np.testing.assert_allclose(found, by_hand(losses.score_penalty, np.prod(x, 1)[:, None] / np.asarray(x)), rtol=1e-5)


@pytest.mark.parametrize("penalty", PENALTIES, ids=lambda penalty: penalty.__name__)
def test_functions_with_other_outputs_raise(penalty):
    for wrong in (lambda x: jnp.sum(x**2), lambda x: x):
        with pytest.raises(ValueError, match=r"one value per sample .* jax\.vmap"):
            penalty(wrong, jnp.ones((2, 3)))
