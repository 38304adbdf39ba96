"""Extreme value networks: equal losses in all variants, calibrated weights, and coverage of the data."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from scipy import special

import jaxgen
from jaxgen import data, losses, methods, nets, parallel, samplers
from jaxgen.optim import Cosine

X = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)), jnp.float32)
ROW = jax.ShapeDtypeStruct((3,), jnp.float32)


@functools.cache
def start(method):
    """Initial state, compiled once for each method: most programs of these tests would be its single operations."""
    return jax.jit(method.init)(jax.random.key(0), X)


def loss_of(method, seed=1):
    state = start(method)
    return jax.jit(jax.value_and_grad(lambda p: method.loss(jax.random.key(seed), p, {}, X)[0]))(state.params)


@pytest.mark.parametrize("head", [None, nets.MLP((4, 1))], ids=["shared trunk", "head of its own"])
def test_a_chunked_pool_is_the_pool(head):
    generator = nets.MLP((8, 4 if head is None else 3))
    whole = tiny.evl(generator=generator, weight_network=head, candidates=methods.SharedPool(16))
    (a, da) = loss_of(whole)
    for chunk in (1, 4, 16):
        (b, db) = loss_of(dataclasses.replace(whole, candidates=methods.SharedPool(16, chunk)))
        np.testing.assert_allclose(a, b, rtol=1e-5)
        for x, y in zip(jax.tree.leaves(da), jax.tree.leaves(db), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("candidates", [methods.PerTarget(5), methods.SharedPool(16)])
def test_the_loss_is_the_weighted_sum_of_its_parts(candidates):
    method = tiny.evl(candidates=candidates, distance_weight=3.0, probability_weight=0.25)
    state = start(method)
    value, (metrics, _) = jax.jit(method.loss)(jax.random.key(1), state.params, {}, X)
    np.testing.assert_allclose(value, 3 * metrics["distance"] + 0.25 * metrics["cross_entropy"], rtol=1e-6)


def test_own_guesses_by_hand():
    """The paper's protocol: mean over dimensions of the squared error of the best of a target's own guesses."""
    method = tiny.evl(candidates=methods.PerTarget(5))
    state = start(method)
    noise = jax.random.normal(jax.random.key(1), (40, 3))
    made = np.asarray(jax.jit(method.generator.apply)(state.params["generator"], noise)).reshape(8, 5, 4)
    errors = ((made[..., :3] - np.asarray(X)[:, None]) ** 2).mean(-1)
    best = errors.argmin(1)
    surprise = [np.log(np.exp(logits).sum()) - logits[j] for logits, j in zip(made[..., 3], best, strict=True)]
    _, (metrics, _) = jax.jit(method.loss)(jax.random.key(1), state.params, {}, X)
    np.testing.assert_allclose(metrics["distance"], errors.min(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["cross_entropy"], np.mean(surprise), rtol=1e-5)


def test_chunks_of_own_guesses_are_a_mean_of_smaller_minibatches():
    """In double precision: targets with their own guesses are independent."""
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 3)))
        sgd = {"optimizer": optax.sgd, "learning_rate": 1.0, "ema_decay": None}
        whole, chunked = (tiny.evl(candidates=methods.PerTarget(5, chunk), **sgd) for chunk in (None, 2))
        state = jax.tree.map(lambda leaf: np.asarray(leaf, x.dtype), jax.jit(whole.init)(jax.random.key(0), x))
        keys = [jax.random.fold_in(jax.random.key(1), i) for i in range(4)]
        loss = lambda params, key, part: whole.loss(key, params, {}, part)[0]
        gradient = jax.jit(jax.grad(loss))
        gradients = [gradient(state.params, *at) for at in zip(keys, np.split(np.asarray(x), 4), strict=True)]
        mean = jax.tree.map(lambda *g: np.mean(g, 0), *gradients)
        after = jax.jit(chunked.step)(jax.random.key(1), state, x)[0].params
        for p, q, g in zip(*map(jax.tree.leaves, (state.params, after, mean)), strict=True):
            np.testing.assert_allclose(p - q, g, rtol=0, atol=1e-10)


def test_images_need_a_head_and_are_compared_by_pixel():
    class Picture(nets.MLP):
        def __call__(self, z):
            return super().__call__(z).reshape(*z.shape[:-1], 4, 4, 1)

    method = methods.EVL(
        Picture((8, 16)), weight_network=nets.MLP((4, 1)), latent_dim=2, candidates=methods.SharedPool(8, 4)
    )
    x = np.random.default_rng(0).uniform(size=(20, 4, 4, 1)).astype(np.float32)
    config = jaxgen.Config(method, data.Arrays(x), steps=2, steps_per_call=2, batch_size=4, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    assert result.sample(jax.random.key(0), 6).shape == (1, 6, 4, 4, 1)


def test_the_default_fits_the_data():
    method = methods.EVL().resolve(ROW)
    assert method.generator == nets.WeightedGenerator(nets.MLP((256,) * 5 + (3,)), nets.MLP((64, 64, 1)))
    paired = methods.EVL(candidates=methods.PerTarget(4)).resolve((jax.ShapeDtypeStruct((2,), jnp.float32), ROW))
    assert (paired.condition_dim, paired.generator.condition_dim) == (2, 2)
    assert methods.EVL(weight_network=nets.MLP((4, 1))).resolve(ROW).generator.widths[-1] == 3
    with pytest.raises(ValueError, match="EVL has a field that is still None"):
        methods.EVL().init(jax.random.key(0), X)


def test_guesses_weights_and_samples_agree():
    method = tiny.evl()
    state = start(method)
    draw = jax.jit(method.weighted_samples, static_argnums=2)
    guesses = draw(jax.random.key(2), state, 50)
    noise = jax.random.normal(jax.random.key(2), (50, 3))
    np.testing.assert_allclose(jax.jit(method.log_weight)(state, noise), guesses.log_weights, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(method.decode)(state, noise).samples, guesses.samples, rtol=1e-5, atol=1e-6)
    drawn = np.asarray(jax.jit(method.sample, static_argnums=2)(jax.random.key(3), state, 9))
    pool = np.asarray(draw(jax.random.split(jax.random.key(3))[0], state, 4096).samples)
    assert all((np.abs(pool - row).sum(1) < 1e-6).any() for row in drawn)


def test_a_trained_network_covers_a_mixture_and_weighs_its_parts():
    """Three quarters of the data left, one quarter right: guesses lie on both, and their weights count both.

    Over 20 seeds of another root the weighted share on the right was 0.240 with a standard deviation of 0.014, that of
    the draws 0.243 with 0.015, and that of the guesses 0.44 with 0.05: bounds at four deviations.
    """
    generator = np.random.default_rng(0)
    x = np.where(generator.uniform(size=(4000, 1)) < 0.25, 3.0, -3.0) + 0.5 * generator.standard_normal((4000, 1))
    method = methods.EVL(
        nets.MLP((32, 32, 2)),
        latent_dim=4,
        candidates=methods.SharedPool(64),
        learning_rate=Cosine(5e-3, 1500),
        probability_weight=0.5,
    )
    config = jaxgen.Config(method, data.Arrays(x), steps=3000, steps_per_call=3000, batch_size=64, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    guesses = jax.jit(method.weighted_samples, static_argnums=2)(jax.random.key(0), result.state_of(0), 4000)
    weights = special.softmax(np.asarray(guesses.log_weights))
    right = np.asarray(guesses.samples)[:, 0] > 0
    share = np.sum(weights * right)
    assert 0.18 < share < 0.30
    # Unweighted, the quarter is over-represented: the guesses spread over the support, not over the data.
    assert np.mean(right) > share
    drawn = np.asarray(result.sample(jax.random.key(1), 4000))[0]
    assert 0.18 < (drawn > 0).mean() < 0.31
    assert float(samplers.effective_sample_size(guesses.log_weights)) > 1000


def test_networks_that_do_not_fit_are_refused():
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, z):
            return nn.Dense(4)(nn.BatchNorm(use_running_average=True)(z))

    with pytest.raises(ValueError, match=r"has \['batch_stats'\]; leave BatchNorm out"):
        methods.EVL(Normed()).resolve(ROW)
    with pytest.raises(
        ValueError, match=r"the weight_network must return one number per sample, the logit \(got shape \(2,\)\)"
    ):
        methods.EVL(nets.MLP((3,)), weight_network=nets.MLP((2,))).resolve(ROW)
    for wrong in ({"latent_dim": 0}, {"power": 0.0}, {"bandwidth": -1.0}, {"oversampling": 0}):
        name, value = next(iter(wrong.items()))
        with pytest.raises(ValueError, match=rf"`{name}`[^`]*\(got\s{value}\)"):
            methods.EVL(**wrong).resolve(ROW)
    for scheme in (methods.PerTarget, methods.SharedPool):
        with pytest.raises(ValueError, match=r"must be at least 1 \(got 0 and None\)"):
            scheme(0)
        with pytest.raises(ValueError, match=r"must be at least 1 \(got 8 and 0\)"):
            scheme(8, chunk=0)
    with pytest.raises(ValueError, match="set `weight_network`"):
        methods.EVL(nets.MLP((3,))).resolve(jax.ShapeDtypeStruct((4, 4, 1), jnp.float32))


def test_a_bandwidth_spreads_the_guesses_and_nothing_else():
    method, wide = tiny.evl(), tiny.evl(bandwidth=0.5)
    state = start(method)
    a, b = (jax.jit(m.weighted_samples, static_argnums=2)(jax.random.key(2), state, 4000) for m in (method, wide))
    np.testing.assert_array_equal(a.log_weights, b.log_weights)
    spread = np.asarray(b.samples) - np.asarray(a.samples)
    np.testing.assert_allclose(spread.std(), 0.5, rtol=4 / np.sqrt(2 * spread.size))  # four standard errors
    # Of its own noise, and not of what the guesses are made of: four standard errors of no correlation.
    noise = np.asarray(jax.random.normal(jax.random.key(2), spread.shape))
    assert abs(np.corrcoef(spread.ravel(), noise.ravel())[0, 1]) < 4 / np.sqrt(spread.size)
    np.testing.assert_array_equal(*(jax.jit(m.loss)(jax.random.key(1), state.params, {}, X)[0] for m in (method, wide)))


def temporaries(guesses, chunk):
    """Bytes that the compiled step needs in addition to its arguments and results."""
    head = nets.MLP((16, 1))
    method = methods.EVL(
        nets.ConvGenerator((8, 8, 1), (4, 4, 4)), head, 2, methods.SharedPool(guesses, chunk), ema_decay=None
    )
    x = jax.ShapeDtypeStruct((50, 8, 8, 1), jnp.float32)
    state = jax.eval_shape(method.init, jax.random.key(0), x)
    compiled = jax.jit(method.step, donate_argnums=1).lower(jax.random.key(0), state, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
@pytest.mark.optimized
def test_memory_does_not_grow_with_the_pool():
    """Beside vectors of the pool's length, of which the noise is two and its making the others."""
    small, large = temporaries(4096, chunk=512), temporaries(65_536, chunk=512)
    vectors = lambda guesses: 12 * 4 * guesses
    assert large - vectors(65_536) < 1.1 * (small - vectors(4096))
    assert small - vectors(4096) > 0
    assert temporaries(4096, chunk=None) > 5 * small  # what is not chunked does grow


PAIRED = (jax.ShapeDtypeStruct((2,), jnp.float32), ROW)


def conditional(**changes):
    return methods.EVL(**{"candidates": methods.PerTarget(4), "latent_dim": 3, **changes}).resolve(PAIRED)


def test_guesses_for_each_input_by_hand():
    method = conditional(generator=nets.MLP((8, 4)))
    condition = jnp.asarray(np.asarray(X)[:, :2])
    state = jax.jit(method.init)(jax.random.key(0), (condition, X))
    noise = np.asarray(jax.random.normal(jax.random.key(1), (32, 3))).reshape(8, 4, 3)
    distances, surprises, generate = [], [], jax.jit(method.generator.apply)
    for target, at, draws in zip(np.asarray(X), np.asarray(condition), noise, strict=True):
        made = np.array([generate(state.params["generator"], np.append(z, at)) for z in draws])
        errors = ((made[:, :3] - target) ** 2).mean(1)
        distances.append(errors.min())
        surprises.append(np.log(np.exp(made[:, 3]).sum()) - made[errors.argmin(), 3])
    _, (metrics, _) = jax.jit(method.loss)(jax.random.key(1), state.params, {}, (condition, X))
    np.testing.assert_allclose(metrics["distance"], np.mean(distances), rtol=1e-5)
    np.testing.assert_allclose(metrics["cross_entropy"], np.mean(surprises), rtol=1e-5)
    guesses = jax.jit(method.weighted_samples_given, static_argnums=3)(jax.random.key(1), state, condition, 4)
    assert guesses.samples.shape == (8, 4, 3)
    errors = (np.asarray(guesses.samples) - np.asarray(X)[:, None]) ** 2
    np.testing.assert_allclose(errors.mean(-1).min(1), distances, rtol=1e-5)


def test_one_own_guess_is_least_squares():
    """The minimum over one guess is the mean: what is learned is the mean of the outcomes at each input."""
    generator = np.random.default_rng(0)
    x = generator.uniform(-1, 1, size=(4000, 1)).astype(np.float32)
    y = (x**2 + generator.choice([-1, 1], size=x.shape)).astype(np.float32)
    method = methods.EVL(candidates=methods.PerTarget(1), probability_weight=0.0, learning_rate=Cosine(3e-3, 1000))
    method = dataclasses.replace(method, generator=nets.MLP((32, 32, 2)), latent_dim=1)
    config = jaxgen.Config(method, data.Arrays((x, y)), steps=1000, steps_per_call=1000, layout=tiny.ONE)
    result = jaxgen.train(config, progress=False)
    at = jnp.linspace(-0.9, 0.9, 7)[:, None]
    made = result.config.method.weighted_samples_given(jax.random.key(0), result.state_of(0), at, 200).samples
    assert np.abs(made - at[:, None] ** 2).max() < 0.35  # the outcomes lie a whole unit away on either side
    assert (result.history["cross_entropy"] == 0).all()


def test_the_weight_depends_on_the_sample_without_gradient_to_the_generator():
    generator, weight = nets.MLP((8, 3)), nets.MLP((4, 1))
    method = tiny.evl(generator=nets.WeightedGenerator(generator, weight))
    state = start(method)
    parts = state.params["generator"]["params"]
    noise = jax.random.normal(jax.random.key(1), (5, 3))
    guesses = jax.jit(method.decode)(state, noise)
    by_hand = jax.jit(generator.apply)({"params": parts["generator"]}, noise)
    np.testing.assert_allclose(guesses.samples, by_hand, rtol=1e-6)
    logits = np.asarray(jax.jit(weight.apply)({"params": parts["weight"]}, guesses.samples))[:, 0]
    np.testing.assert_allclose(guesses.log_weights, logits, rtol=1e-5, atol=1e-6)
    # A power of two scales every rounding too, so that one slope is the other's multiple to the last bit.
    quiet, loud = (dataclasses.replace(method, probability_weight=weight) for weight in (2.0, 16.0))
    slopes = [
        jax.jit(jax.grad(lambda p, m=m: m.loss(jax.random.key(1), p, {}, X)[0]))(state.params)["generator"]["params"]
        for m in (quiet, loud)
    ]
    for a, b in zip(*(jax.tree.leaves(slope["generator"]) for slope in slopes), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    a, b = (slope["weight"]["Dense_1"]["kernel"] for slope in slopes)
    assert np.abs(a).min() > 0
    np.testing.assert_array_equal(8 * np.asarray(a), b)


def test_conditions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="targets with conditions cannot share a pool"):
        methods.EVL().resolve(PAIRED)
    blind = nets.WeightedGenerator(nets.MLP((8, 3)), nets.MLP((4, 1)))
    with pytest.raises(ValueError, match=r"use WeightedGenerator\(..., condition_dim=2\)"):
        methods.EVL(blind, candidates=methods.PerTarget(4)).resolve(PAIRED)
    method = conditional(generator=nets.MLP((8, 4)))
    state = method.init(jax.random.key(0), (X[:, :2], X))
    with pytest.raises(ValueError, match="needs a model without conditions"):
        method.log_density(state, jnp.zeros((2, 3)))
    with pytest.raises(
        ValueError, match=r"call weighted_samples or sample for a model without .*, weighted_samples_given or"
    ):
        method.sample(jax.random.key(0), state, 3)
    with pytest.raises(TypeError, match=r"use data.Arrays\(y\) or data.Arrays\(\(x, y\)\)"):
        methods.EVL().resolve(ROW, ROW)


def test_closed_form_weights_are_those_of_the_same_guesses():
    """The weights in NumPy: fresh pools, a loop over guesses and pools, and the density formula."""
    method = tiny.evl(power=1.5)
    state = start(method)
    key = jax.random.key(5)
    closed_form = jax.jit(
        method.closed_form_weighted_samples, static_argnums=2, static_argnames=("dimensions", "pools", "size")
    )
    draw = jax.jit(method.weighted_samples, static_argnums=2)
    found = closed_form(key, state, 6, dimensions=2, pools=4, size=7)
    np.testing.assert_array_equal(found.samples, draw(key, state, 6).samples)
    fresh = jax.random.fold_in(key, 2)
    pools = [np.asarray(draw(jax.random.fold_in(fresh, i), state, 7).samples, float) for i in range(4)]
    for x, log_weight in zip(np.asarray(found.samples, float), np.asarray(found.log_weights), strict=True):
        volumes = sum(np.pi * min(np.linalg.norm(x - y) for y in pool) ** 2 for pool in pools)
        np.testing.assert_allclose(log_weight, 1.5 / 2 * np.log(3 / 7 / volumes), rtol=1e-3, atol=1e-4)
    everywhere = closed_form(key, state, 6, pools=4, size=7).log_weights  # in the data's three dimensions
    assert not np.allclose(everywhere, found.log_weights)


def test_closed_form_weights_ignore_the_bandwidth():
    method, wide = tiny.evl(), tiny.evl(bandwidth=0.5)
    state = start(method)
    closed_form = lambda m: jax.jit(lambda key: m.closed_form_weighted_samples(key, state, 20, pools=4))
    a, b = (closed_form(m)(jax.random.key(2)) for m in (method, wide))
    np.testing.assert_allclose(a.log_weights, b.log_weights, rtol=1e-5)
    draw = jax.jit(wide.weighted_samples, static_argnums=2)
    np.testing.assert_array_equal(b.samples, draw(jax.random.key(2), state, 20).samples)


def test_the_density_of_a_linear_generator_is_normal():
    method = tiny.evl(generator=nets.MLP((4,)))
    state = start(method)
    layer = jax.tree.map(lambda leaf: np.asarray(leaf, float), state.params["generator"]["params"]["Dense_0"])
    matrix, shift = layer["kernel"][:, :3].T, layer["bias"][:3]
    noise = np.random.default_rng(0).normal(size=(20, 3))
    residual = np.linalg.solve(matrix, (noise @ matrix.T).T)
    expected = -0.5 * (residual**2).sum(0) - 1.5 * np.log(2 * np.pi) - np.log(abs(np.linalg.det(matrix)))
    guesses = jax.jit(method.decode)(state, np.float32(noise)).samples
    np.testing.assert_allclose(guesses, noise @ matrix.T + shift, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(jax.jit(method.log_density)(state, np.float32(noise)), expected, rtol=1e-4)
    other = tiny.evl(latent_dim=5)
    with pytest.raises(ValueError, match="make them equal"):
        other.log_density(start(other), jnp.zeros((2, 5)))


def test_a_separate_weight_network_does_not_change_the_generator():
    """With or without the cross-entropy the generator takes the same steps; on a shared trunk it does not."""
    own = tiny.evl(generator=nets.MLP((8, 3)), weight_network=nets.MLP((4, 1)))
    for method, alike in ((own, True), (tiny.evl(), False)):
        states = []
        for weight in (0.0, 1.0):
            result = jaxgen.train(
                tiny.config(dataclasses.replace(method, probability_weight=weight), num_seeds=1), progress=False
            )
            states.append(jax.tree.leaves(result.state_of(0).params["generator"]))
        assert alike == all(np.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("chunk", [None, 2])
def test_a_step_with_a_pool_over_devices_is_that_of_one_device_with_all_their_guesses(chunk):
    shared = tiny.evl(
        candidates=methods.SharedPool(16, chunk, over_devices=True), optimizer=optax.sgd, axis_name=parallel.AXIS
    )
    state = start(dataclasses.replace(shared, axis_name=None))
    keys = jax.random.split(jax.random.key(3), 4)
    step = jax.pmap(shared.step, parallel.AXIS, in_axes=(0, None, 0), out_axes=None)
    found, metrics = step(keys, state, X.reshape(4, 2, 3))
    noise = jnp.concatenate([jax.random.normal(key, (4, 3)) for key in keys])  # each device draws its share

    def loss(params):
        parts = losses.extreme_value(X, *shared._generate(params, noise))
        return jnp.mean(parts.distance) / 3 + jnp.mean(parts.cross_entropy)

    value, gradient = jax.jit(jax.value_and_grad(loss))(state.params)
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-6)
    expected = jax.tree.map(lambda leaf, slope: leaf - shared.learning_rate * slope, state.params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), found.params, expected)


def test_devices_share_a_pool_equally():
    method = tiny.evl(candidates=methods.SharedPool(18, over_devices=True), axis_name=parallel.AXIS)
    step = jax.pmap(method.step, parallel.AXIS, in_axes=(None, None, 0), out_axes=None)
    with pytest.raises(ValueError, match=r"must be a multiple of the number of devices \(got 18 and 4\); try .*=20"):
        step(jax.random.key(0), start(dataclasses.replace(method, axis_name=None)), X.reshape(4, 2, 3))
