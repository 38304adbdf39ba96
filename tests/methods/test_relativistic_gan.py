"""Unrolled relativistic networks: the virtual descents by hand, which layers move, and that samples follow data."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny

import jaxgen
from jaxgen import data, losses, methods, nets
from jaxgen.scan import keys

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 2)), jnp.float32)
ROW = jax.ShapeDtypeStruct((2,), jnp.float32)


def gan(**changes):
    settings = {"generator": nets.MLP((6, 6, 2)), "discriminator": nets.MLP((6, 6, 1)), "latent_dim": 3}
    return methods.RelativisticGAN(**{**settings, **changes})


@functools.cache
def networks(generator, discriminator):
    """Initial state, compiled once for all methods with these networks and the default optimizers."""
    return jax.jit(gan(generator=generator, discriminator=discriminator).init)(jax.random.key(0), X)


def start(method):
    return networks(method.generator, method.discriminator)


def slope(method, state, seed=1):
    loss = lambda params: method.generator_loss(jax.random.key(seed), params, {}, X, state.discriminator.params)[0]
    return jax.jit(jax.grad(loss))(state.generator.params)


def by_hand(method, state, seed=1):
    """The same gradient by a plain loop: descend on the discriminator, then differentiate through what was reached."""
    makes, judges = method.generator, method.discriminator
    noise = lambda key: jax.random.normal(key, (8, 3))

    def score(judge, generator, key):
        made = makes.apply(generator, noise(key))
        return losses.relativistic_average(judges.apply(judge, X)[:, 0], judges.apply(judge, made)[:, 0])

    key_ahead, key_loss = jax.random.split(jax.random.key(seed))

    stays = ("Dense_0", "Dense_1") if method.unrolled is methods.last_layer else ()

    def led(judge, gradient):
        rates = {name: 0.0 if name in stays else method.unroll_rate for name in judge["params"]}
        move = lambda name: jax.tree.map(
            lambda leaf, g: leaf - rates[name] * g, judge["params"][name], gradient["params"][name]
        )
        return {"params": {name: move(name) for name in rates}}

    def loss(generator):
        judge = state.discriminator.params
        for key in keys(key_ahead, method.unroll):
            gradient = jax.grad(score)(judge, generator, key)
            judge = led(judge, gradient if method.second_order else jax.lax.stop_gradient(gradient))
        return -score(judge, generator, key_loss)

    return jax.jit(jax.grad(loss))(state.generator.params)


@pytest.mark.parametrize(
    "unroll", [0, pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(5, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("unrolled", [methods.all_layers, methods.last_layer])
@pytest.mark.parametrize("second_order", [False, True])
def test_unrolling_by_hand(unroll, unrolled, second_order):
    method = gan(unroll=unroll, unrolled=unrolled, second_order=second_order, unroll_rate=0.5)
    state = start(method)
    for a, b in zip(jax.tree.leaves(slope(method, state)), jax.tree.leaves(by_hand(method, state)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_variants_differ():
    """Else the test above would compare nothing: each choice changes the gradient."""
    variants = [
        gan(unroll=0),
        gan(unroll_rate=0.5),
        gan(unroll_rate=0.5, unrolled=methods.last_layer),
        gan(unroll_rate=0.5, second_order=True),
        gan(unroll_rate=0.5, unroll=4),
    ]
    state = start(variants[0])
    found = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(slope(method, state))]) for method in variants]
    apart = [np.abs(a - b).max() for i, a in enumerate(found) for b in found[:i]]
    assert min(apart) > 1e-4


def test_the_default_networks_are_the_papers():
    method = methods.RelativisticGAN().resolve(ROW)
    assert method.generator.widths == (32,) * 5 + (2,)
    assert method.discriminator == nets.MLP((32,) * 5 + (1,), last_kernel_init=nets.orthogonal)
    state = start(method)
    kernel = state.discriminator.params["params"]["Dense_5"]["kernel"]
    np.testing.assert_allclose(np.sum(np.square(kernel)), 2, rtol=1e-5)


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="the generator must return rows of the data's shape"):
        gan(generator=nets.MLP((3,))).resolve(ROW)
    with pytest.raises(ValueError, match="must return one number per sample, the score"):
        gan(discriminator=nets.MLP((2,))).resolve(ROW)
    with pytest.raises(ValueError, match="RelativisticGAN has a field that is still None"):
        methods.RelativisticGAN().init(jax.random.key(0), X)
    with pytest.raises(TypeError, match="one table of floating-point rows"):
        gan().resolve(ROW, ROW)
    for wrong in ({"latent_dim": 0}, {"unroll": -1}):
        with pytest.raises(ValueError, match=r"`(latent_dim|unroll)` must be a whole number"):
            gan(**wrong).resolve(ROW)
    with pytest.raises(ValueError, match="set both networks"):
        methods.RelativisticGAN().resolve(jax.ShapeDtypeStruct((4, 4, 1), jnp.float32))


@pytest.mark.slow
def test_samples_follow_the_data():
    """A Gaussian at (3, -2): over 20 seeds of another root means missed by 0.04 at most, deviations by 0.05."""
    x = np.random.default_rng(0).normal([3.0, -2.0], [1.0, 0.5], size=(4000, 2)).astype(np.float32)
    method = methods.RelativisticGAN(ema_decay=0.99)
    config = jaxgen.Config(method, data.Arrays(x), steps=400, steps_per_call=400, batch_size=100, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    made = np.asarray(result.sample(jax.random.key(0), 4000))[0]
    assert np.abs(made.mean(0) - [3.0, -2.0]).max() < 0.12
    assert np.abs(made.std(0) - [1.0, 0.5]).max() < 0.12


@pytest.mark.parametrize("second_order", [False, True])
def test_four_devices_take_the_step_of_one(second_order):
    """With the same noise everywhere, four shares of the rows move both networks as the whole minibatch does."""
    method = gan(second_order=second_order, unroll=2, unroll_rate=0.5, optimizer=optax.sgd, generator_rate=0.1)
    state = jax.jit(method.init)(jax.random.key(0), X)
    # One row a device, and one draw of noise for all of them: the whole minibatch has that draw eight times.
    noise = jax.random.normal(jax.random.key(9), (1, 3))

    def step(axis_name, rows):
        alone = dataclasses.replace(method, axis_name=axis_name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "normal", lambda key, shape, dtype=float: jnp.broadcast_to(noise, shape))
            return alone.step(jax.random.key(1), state, rows)[0]

    whole = jax.jit(lambda rows: step(None, rows))(X)
    shares = jax.jit(jax.vmap(lambda rows: step("devices", rows), axis_name="devices"))(X.reshape(4, 2, 2))
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: np.asarray(leaf)[0], shares), whole, rtol=1e-4, atol=1e-6)


def test_the_last_layer_of_other_networks_is_not_guessed():
    with pytest.raises(ValueError, match="set `unrolled` to a function for your layers"):
        methods.last_layer({"params": {"Conv_0": {}, "Dense_0": {}}})
