"""The negative-sampling VAE: a step in NumPy, bounds by double loops, and negatives at the second prior."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from scipy import special, stats

import jaxgen
from jaxgen import data, losses, methods, metrics, nets, scan
from jaxgen.methods import negative_sampling_vae
from jaxgen.methods.negative_sampling_vae import StepSamples
from jaxgen.methods.posterior import bounded

RATE = 0.01


def vae(**changes):
    settings = {
        "encoder": nets.MLP((8, 4)),
        "decoder": nets.MLP((8, 3)),
        "latent_dim": 2,
        "observation_model": methods.Bernoulli(),
        "shift": 8.0,
        "optimizer": optax.sgd,
        "learning_rate": RATE,
    }
    return methods.NegativeSamplingVAE(**{**settings, **changes})


@functools.cache
def started(method, rows=6):
    """Rows and the initial state, compiled once for each method."""
    x = jax.random.uniform(jax.random.key(1), (rows, 3))
    return x, jax.jit(method.init)(jax.random.key(2), x)


SOURCES = {
    "none": {},
    "auxiliary": {"negatives": methods.Auxiliary(), "shift": 3.0, "negative_weight": 0.7},
    "negative_reconstruction_weight": {"negatives": methods.Auxiliary(), "negative_reconstruction_weight": 0.4},
    "generated": {"negatives": methods.ModelSamples(0.0)},
    "adversarial": {"negatives": methods.ModelSamples(0.3)},
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_step_by_hand(source):
    """The encoder first, then the decoder against the encoder's new weights and the rows' old latent vectors."""
    method = vae(**SOURCES[source])
    x, state = started(method)
    others = (jnp.asarray(1 - np.asarray(x)),) if isinstance(method.negatives, methods.Auxiliary) else ()
    key = jax.random.key(3)
    after, found = jax.jit(method.step)(key, state, x, *others)
    keys = jax.random.split(key, 6)
    noise, other, prior = (jax.random.normal(keys[i], (6, 2)) for i in (1, 4, 2))
    net_e, net_d = (
        (lambda p, x: method.encoder.apply({"params": p}, x)),
        lambda p, z: method.decoder.apply({"params": p}, z),
    )

    def encode(p, x):
        made = net_e(p, x)
        return made[:, :2], made[:, 2:]

    def paid(p, z, x):
        q = jax.nn.sigmoid(net_d(p, z))
        return -jnp.mean(jnp.sum(x * jnp.log(q) + (1 - x) * jnp.log(1 - q), -1))

    kl = lambda m, v, c=0.0: jnp.mean(0.5 * jnp.sum(jnp.exp(v) + (m - c) ** 2 - 1 - v, -1))
    at = lambda m, v, e: m + jnp.exp(v / 2) * e
    p_e, p_d = state.encoder.params, state.decoder.params["decoder"]
    negatives = others[0] if others else jax.jit(lambda p: jax.nn.sigmoid(net_d(p, prior)))(p_d)

    def loss_e(p):
        m, v = encode(p, x)
        value = kl(m, v) + paid(p_d, at(m, v, noise), x)
        if method.negatives:
            nm, nv = encode(p, negatives)
            value += method.negative_weight * kl(nm, nv, method.shift)
            value += method.negative_reconstruction_weight * paid(p_d, at(nm, nv, other), negatives)
        return value

    descend = lambda p, g: np.asarray(p) - np.float32(RATE) * np.asarray(g)
    value_e, slope_e = jax.jit(jax.value_and_grad(loss_e))(p_e)
    new_e = jax.tree.map(descend, p_e, slope_e)

    def loss_d(p):
        value = paid(p, at(*encode(p_e, x), noise), x)
        if method.negative_reconstruction_weight:
            value += method.negative_reconstruction_weight * paid(p, at(*encode(p_e, negatives), other), negatives)
        if source == "adversarial":
            value += 0.3 * kl(*encode(new_e, jax.nn.sigmoid(net_d(p, prior))))
        return value

    value_d, slope_d = jax.jit(jax.value_and_grad(loss_d))(p_d)
    new_d = jax.tree.map(descend, p_d, slope_d)
    chex.assert_trees_all_close(after.encoder.params, new_e, rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_close(after.decoder.params["decoder"], new_d, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["loss"], value_e, rtol=1e-5)
    np.testing.assert_allclose(found["decoder_loss"], value_d, rtol=1e-5)
    bpd, kl, reconstruction = (float(found[name]) for name in ("bpd", "kl", "reconstruction"))
    np.testing.assert_allclose(bpd * 3 * np.log(2), kl + reconstruction, rtol=1e-5)
    assert ("negative_kl" in found) == (method.negatives is not None)
    assert ("generated_kl" in found) == (source == "adversarial")


NOISES = [
    methods.Bernoulli(),
    methods.Gaussian(-1.0),
    methods.DequantizedGaussian(),
    methods.DiscretizedGaussian(-2.0),
    methods.UnboundedGaussian(-1.0, learn_scale=False),
]


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)
def test_scores_are_those_of_a_double_loop(noise):
    method = vae(observation_model=noise, num_importance_samples=5)
    x, state = started(method)
    x = jnp.asarray(np.round(np.asarray(x) * 255) / np.float32(255))
    found = jax.jit(method.scores)(state, x)
    decode = jax.jit(method.decoder.apply)
    likelihood = jax.jit(lambda x, made: noise.log_likelihood({}, x, made))
    key_rows, key_latent = jax.random.split(jax.random.key(0))
    seen = np.float64(np.asarray(x) + np.asarray(noise.preprocess(key_rows, jnp.zeros((1, 3)))))
    draws = np.float64(jax.random.normal(key_latent, (5, 2)))
    mean, log_variance = (
        np.float64(jax.jit(method.encoder.apply)({"params": state.encoder.params}, np.float32(seen)))
        .reshape(6, 2, 2)
        .transpose(1, 0, 2)
    )
    for i in range(6):
        q, weights = stats.norm(mean[i], np.exp(log_variance[i] / 2)), []
        for draw in draws:
            z = mean[i] + np.exp(log_variance[i] / 2) * draw
            made = decode({"params": state.decoder.params["decoder"]}, np.float32(z)[None])
            likely = float(np.asarray(likelihood(np.float32(seen[i : i + 1]), made))[0])
            weights.append((likely, likely + stats.norm.logpdf(z).sum() - q.logpdf(z).sum()))
        first, bound = weights[0][0], special.logsumexp([w for _, w in weights]) - np.log(5)
        kl = 0.5 * np.sum(np.exp(log_variance[i]) + mean[i] ** 2 - 1 - log_variance[i])
        bits = 3 * np.log(2)
        np.testing.assert_allclose(found["kl"][i], kl, rtol=1e-4)
        np.testing.assert_allclose(found["reconstruction"][i], -first / bits, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["bpd"][i], (kl - first) / bits, rtol=1e-4)
        np.testing.assert_allclose(found["bound"][i], -bound / bits, rtol=1e-4)


def test_the_first_score_is_the_divergence_with_negatives_and_else_the_bound():
    for negatives, first in ((None, "bound"), (methods.Uniform(), "kl")):
        method, names = vae(negatives=negatives), []
        x, state = started(vae())
        jax.eval_shape(lambda state, x, method=method, names=names: names.extend(method.scores(state, x)), state, x)
        assert names[0] == first
        assert sorted(names) == ["bound", "bpd", "kl", "reconstruction"]


def test_a_row_s_scores_are_its_own():
    method = vae(observation_model=methods.DequantizedGaussian())
    x, state = started(method)
    scores = jax.jit(method.scores)
    whole, alone = scores(state, x), scores(state, np.asarray(x)[2:3])
    chex.assert_trees_all_close(jax.tree.map(lambda leaf: leaf[2:3], whole), alone, rtol=1e-5)


def test_more_latent_vectors_bound_closer():
    """The bound rises with the number of vectors on average, to the likelihood, known where the decoder is deaf."""
    method = vae(observation_model=methods.Gaussian(), num_importance_samples=1)
    x, state = started(method, 2_000)
    bound = lambda k, state, x: jax.jit(dataclasses.replace(method, num_importance_samples=k).scores)(state, x)["bound"]
    one, many = (np.mean(bound(k, state, x)) for k in (1, 256))
    assert many < one
    deaf = jax.tree.map(np.zeros_like, state.decoder.params)
    known = state._replace(decoder=state.decoder._replace(params={**state.decoder.params, **deaf}))
    x = np.asarray(x)[:20]
    far = bound(4_096, known, x)
    exact = -np.sum(stats.norm(0.5).logpdf(x), 1) / (3 * np.log(2))
    np.testing.assert_allclose(far, exact, atol=0.03)


def blobs(centre, n=400, seed=0):
    return np.clip(np.random.default_rng(seed).normal(centre, 0.05, (n, 3)), 0, 1).astype(np.float32)


def test_negatives_and_similar_outliers_are_encoded_at_the_second_prior():
    found = {}
    for source in (methods.Auxiliary(), None):
        tables = (blobs(0.4), blobs(0.6, seed=1))[: 2 if source else 1]
        method = vae(
            observation_model=methods.Gaussian(-2.0),
            optimizer=optax.adam,
            learning_rate=5e-3,
            negatives=source,
            shift=4.0,
        )
        config = jaxgen.Config(method, data.Arrays(*tables), steps=600, batch_size=48, steps_per_call=600)
        result = jaxgen.train(config, progress=False)
        found[source] = [result.scores(blobs(centre, seed=2))["kl"][0] for centre in (0.4, 0.6)]
        history = result.history
        if source:
            assert history["negative_kl"][0, -1] < 0.2 * history["negative_kl"][0, 0]
    (inliers, outliers), (_, plain) = found.values()
    assert metrics.detection(inliers, outliers).auroc > 0.99
    assert plain.mean() < 8 < outliers.mean()  # the priors are 16 nats apart


def test_log_variances_stay_where_likelihoods_are_finite():
    method = vae()
    x, state = started(method)
    params = jax.tree.map(lambda p: np.asarray(p) * np.float32(1e3), state.encoder.params)
    loud = state._replace(encoder=state.encoder._replace(params=params))
    assert np.abs(jax.jit(method.encode)(loud, x).log_variance).max() == 10
    cost = jax.jit(jax.grad(lambda v: losses.gaussian_kl(jnp.zeros((1, 4)), bounded(v)).sum()))
    slope = np.asarray(cost(jnp.array([[12.0, 5, -5, -12]])))
    assert slope[0, 0] > 1e4  # too large a variance falls
    assert slope[0, 3] < 0  # too small a one rises
    assert jax.jit(jax.grad(lambda v: -bounded(v).sum()))(jnp.array([[12.0]])) == 0
    assert all(np.isfinite(score).all() for score in jax.jit(method.scores)(loud, x).values())


@pytest.mark.slow
def test_images_train_with_running_statistics_and_a_spectral_norm():
    encoder = nets.ConvEncoder(((4, 3, 2),), 2, nets.glorot, None, nets.BatchNorm, spectral=True)
    decoder = nets.UpsamplingDecoder((8, 8, 1), (4, 4), norm=nets.BatchNorm)
    method = vae(encoder=encoder, decoder=decoder, negatives=methods.ModelSamples())
    result = jaxgen.train(jaxgen.Config(method, data.Digits(), steps=4, batch_size=8, steps_per_call=4), progress=False)
    state = result.state_of(0)
    fresh = result.config.method.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    means = lambda part: [
        np.abs(leaf).max() for path, leaf in jax.tree.leaves_with_path(part.model_state) if "mean" in str(path)
    ]
    for part, before in zip(state, fresh, strict=True):
        assert max(means(before)) == 0 < min(means(part))
    x = jnp.float32(data.Digits().tables()[0][:5])
    whole, alone = (
        method.resolve(jax.ShapeDtypeStruct((8, 8, 1), jnp.float32)).scores(state, x),
        method.scores(state, x[:1]),
    )
    np.testing.assert_allclose(whole["bpd"][:1], alone["bpd"], rtol=1e-5)
    assert result.sample(jax.random.key(0), 3).shape == (1, 3, 8, 8, 1)


def test_every_pass_of_a_step_sees_its_own_batch():
    """Encoder and decoder meet the same reconstruction of rows and of negatives, which running statistics would not."""
    method = vae(
        encoder=tiny.Normed(4),
        decoder=tiny.Normed(3),
        negatives=methods.Auxiliary(),
        negative_reconstruction_weight=0.5,
    )
    x, state = started(method)
    noise, other = jax.random.normal(jax.random.key(4), (2, 6, 2))
    (encoder, decoder) = ((part.params, part.model_state) for part in state)

    @jax.jit
    def paid(x):
        drawn = StepSamples(x, noise, noise, 1 - x, other)
        apart, (found, _) = method.encoder_loss(jax.random.key(0), *encoder, drawn, decoder)
        away = found["kl"] + method.negative_weight * found["negative_kl"]
        return apart - away, method.decoder_loss(jax.random.key(0), *decoder, drawn, encoder, encoder)[0]

    np.testing.assert_allclose(*paid(x), rtol=1e-5)


def test_samples_are_generated_and_encoded_with_their_own_batch_statistics():
    """As negatives of the encoder and as what the decoder pays for, by the networks' own `apply` in training."""
    method = vae(encoder=tiny.Normed(4), decoder=tiny.Normed(3), negatives=methods.ModelSamples(0.3), learning_rate=0.0)
    x, state = started(method)
    apply = lambda network, params, part, x: network.apply(
        {"params": params, **part.model_state}, x, mutable=["batch_stats"]
    )[0]
    prior = jax.random.normal(jax.random.split(jax.random.key(3), 6)[2], (6, 2))
    after, found = jax.jit(method.step)(jax.random.key(3), state, x)

    @jax.jit
    def expected(before, after):
        samples = jax.nn.sigmoid(apply(method.decoder, before.decoder.params["decoder"], before.decoder, prior))
        moments = jnp.split(apply(method.encoder, before.encoder.params, after.encoder, samples), 2, -1)
        return losses.gaussian_kl(*moments).mean(), losses.negative_prior_kl(*moments, shift=8.0).mean()

    generated_kl, negative_kl = expected(state, after)
    np.testing.assert_allclose(found["generated_kl"], generated_kl, rtol=1e-5)
    np.testing.assert_allclose(found["negative_kl"], negative_kl, rtol=1e-5)


def test_the_fit_and_the_evaluation_use_different_noise(monkeypatch):
    """Whatever the caller's key: also the one that scores have for themselves."""
    seen = []

    def looked(key, likelihood, posterior, noise, **others):
        seen.append((key, noise))
        return jnp.zeros(len(posterior.mean))

    monkeypatch.setattr(negative_sampling_vae, "regret", looked)
    method = vae()
    x, state = started(method)
    method.regret(jax.random.key(0), state, x)
    ((key, noise),) = seen
    climb = jax.vmap(lambda key: jax.random.normal(key, noise.shape[1:]))(scan.keys(key, 100))
    assert np.abs(climb[:, None] - noise[None]).max(-1).min() > 1e-3


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_the_shift_is_finite(wrong):
    with pytest.raises(ValueError, match=f"`shift` must be finite .got {wrong}"):
        vae(shift=wrong).resolve(jax.ShapeDtypeStruct((3,), jnp.float32))
    assert vae(shift=-8.0).resolve(jax.ShapeDtypeStruct((3,), jnp.float32)).shift == -8  # the mirror image of 8


def test_the_adversarial_weight_is_not_negative():
    with pytest.raises(ValueError, match=r"`adversarial` must be finite and at least 0 \(got -1\.0\)"):
        vae(negatives=methods.ModelSamples(-1.0)).resolve(jax.ShapeDtypeStruct((3,), jnp.float32))


def test_negatives_between_0_and_1_need_data_in_that_range():
    method = vae(observation_model=methods.Gaussian(), negatives=methods.NoisyData())
    method.check(np.float32([[0.0, 0.5, 1.0]]))
    vae(observation_model=methods.Gaussian(), negatives=methods.Uniform()).check(
        np.float32([[-0.1, 0.5, 1.1]])
    )  # fills a range
    with pytest.raises(ValueError, match=r"NoisyData needs values in \[0, 1\] \(got -1 to 2\)"):
        method.check(np.float32([[-1.0, 0.5, 2.0]]))


def test_defaults_are_those_of_the_paper():
    resolved_for = lambda side, **how: vae(encoder=None, decoder=None, latent_dim=None, shift=None, **how).resolve(
        jax.ShapeDtypeStruct((side, side, 1), jnp.float32)
    )
    small, plain, adversarial = resolved_for(28), resolved_for(32), resolved_for(32, negatives=methods.ModelSamples())
    assert (small.latent_dim, small.shift, small.encoder) == (10, 8.0, nets.ConvEncoder(latent_dim=10))
    for method in (plain, adversarial):
        assert (method.latent_dim, method.shift) == (100, 25.0)
    assert [(m.encoder.norm, m.decoder.norm, m.encoder.spectral) for m in (plain, adversarial)] == [
        (nets.Affine, nets.Affine, False),
        (None, None, True),
    ]


def test_auxiliary_rows_are_observed_as_the_data_are():
    """Otherwise the noise would distinguish negatives from data."""
    method = vae(observation_model=methods.DequantizedGaussian(), negatives=methods.Auxiliary(), shift=3.0)
    seen = []
    source = dataclasses.replace(method.negatives)
    object.__setattr__(source, "draw", lambda key, x, generate, other: seen.extend([x, other]) or other)
    x, state = started(method)
    grid = jnp.round(x * 255) / 255
    dataclasses.replace(method, negatives=source).step(jax.random.key(0), state, grid, grid)
    off = [np.asarray(rows - grid) * 255 for rows in seen]
    assert all(((noise > -1e-3) & (noise < 1 + 1e-3)).all() and noise.std() > 0.1 for noise in off)
    assert not np.allclose(*off)


def test_bad_choices_are_refused():
    row = jax.ShapeDtypeStruct((3,), jnp.float32)
    with pytest.raises(TypeError, match=r"learns 2 table\(s\)"):
        vae(negatives=methods.Auxiliary()).resolve(row)
    with pytest.raises(TypeError, match=r"learns 1 table\(s\)"):
        vae().resolve(row, row)
    with pytest.raises(TypeError, match="of one shape"):
        vae(negatives=methods.Auxiliary()).resolve(row, jax.ShapeDtypeStruct((4,), jnp.float32))
    with pytest.raises(ValueError, match="the encoder must return 6 numbers per row, a mean"):
        vae(latent_dim=3).resolve(row)
    with pytest.raises(ValueError, match=r"decoder must return rows of the data's shape \(3,\) \(got \(5,\)\)"):
        vae(decoder=nets.MLP((5,))).resolve(row)
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        vae(num_importance_samples=0).resolve(row)
    with pytest.raises(ValueError, match=r"sides of 8 to 64 pixels .* set `encoder` and `decoder`"):
        methods.NegativeSamplingVAE().resolve(jax.ShapeDtypeStruct((7, 8, 1), jnp.float32))
    with pytest.raises(ValueError, match="call resolve"):
        methods.NegativeSamplingVAE().sample(jax.random.key(0), started(vae())[1], 1)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)
def test_rows_outside_of_0_and_1_are_refused(noise):
    method, good, bytes_ = vae(observation_model=noise), np.array([[0.0, 1.0]]), np.array([[0, 255]], np.uint8)
    method.check(good)
    method.check(bytes_)
    bad = [(good - 0.1,), (good, good + 1), (bytes_.astype(np.int8)[None],), (bytes_.astype(float),)]
    for tables in bad:
        if type(noise) in (methods.Gaussian, methods.UnboundedGaussian):
            method.check(*tables)
        else:
            with pytest.raises(ValueError, match=rf"{type(noise).__name__} needs values in \[0, 1\]"):
                method.check(*tables)


def test_it_is_among_the_methods_of_the_common_tests():
    assert isinstance(tiny.METHODS["vae"], methods.NegativeSamplingVAE)
