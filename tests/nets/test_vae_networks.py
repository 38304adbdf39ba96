"""Networks of the negative sampling VAE: parameter counts, initialization and spectral normalization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nets


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def both(shape, **how):
    """Return the networks, and the shapes of their variables."""
    found, key = nets.autoencoder(shape, **how), jax.random.key(0)
    encoder = jax.eval_shape(found.encoder.init, key, jnp.zeros((1, *shape)))
    decoder = jax.eval_shape(found.decoder.init, key, jnp.zeros((1, how["latent_dim"])))
    return found, encoder, decoder


def test_the_networks_for_28_by_28_have_the_paper_s_sizes():
    found, encoder, decoder = both((28, 28, 1), latent_dim=10)
    # Convolutions, then 1,024 features to 10 means and 10 log-variances; a dense layer to 7 x 7 x 64, convolutions.
    assert count(encoder) == 208 + 3_216 + 12_832 + 51_264 + 102_464 + 20_500
    assert count(decoder) == 34_496 + 51_232 + 25_632 + 205_056 + 6_401
    x, z = jnp.zeros((2, 3, 28, 28, 1)), jnp.zeros((2, 3, 10))
    assert jax.eval_shape(found.encoder.apply, encoder, x).shape == (2, 3, 20)
    assert jax.eval_shape(found.decoder.apply, decoder, z).shape == (2, 3, 28, 28, 1)


def test_kernels_and_biases_have_variance_002():
    params = jax.jit(nets.ConvEncoder().init)(jax.random.key(0), jnp.zeros((1, 28, 28, 1)))["params"]
    drawn = [leaf for leaf in jax.tree.leaves({**params, "Dense_0": {}}) if leaf.size > 5_000]
    np.testing.assert_allclose([leaf.std() for leaf in drawn], 0.02**0.5, rtol=0.05)
    assert params["Conv_4"]["bias"].std() > 0.1


@pytest.mark.parametrize("norm", [None, nets.Affine])
def test_the_networks_for_32_by_32_have_the_paper_s_sizes(norm):
    _, encoder, decoder = both((32, 32, 3), latent_dim=100, norm=norm)
    features = (32 + 64 + 128 + 256, 128 + 64 + 32) if norm else (0, 0)
    kernels = 16 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    assert count(encoder) == kernels + 4_096 * 200 + 200 + 2 * features[0]
    assert count(decoder) == 101 * 4_096 + 16 * (256 * 128 + 128 * 64 + 64 * 32 + 32 * 3) + 2 * features[1]


def test_affine_equals_batch_norm_with_initial_statistics():
    x = jax.random.normal(jax.random.key(0), (4, 3))
    params = {"params": {"scale": jnp.array([1.0, 2.0, 3.0]), "bias": jnp.array([0.0, 1.0, 2.0])}}
    seen = {"batch_stats": {"BatchNorm_0": {"mean": jnp.zeros(3), "var": jnp.full(3, 1 - 1e-5)}}}
    expected = nets.BatchNorm().apply({"params": {"BatchNorm_0": params["params"]}, **seen}, x)
    np.testing.assert_allclose(nets.Affine().apply(params, x), expected, rtol=1e-6)


def test_spectral_norm_converges_and_updates_in_training_only():
    net = nets.ConvEncoder(((4, 3, 2),), 2, spectral=True)
    x = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    variables = jax.jit(net.init)(jax.random.key(1), x)
    params, stats = variables["params"], {"batch_stats": variables["batch_stats"]}
    move = jax.jit(lambda stats: net.apply({"params": params, **stats}, x, mutable=["batch_stats"])[1])
    for _ in range(30):
        stats = move(stats)
    kernel = np.asarray(params["Conv_0"]["kernel"]).reshape(-1, 4)
    sigma = [leaf for leaf in jax.tree.leaves(stats) if leaf.ndim == 0 or leaf.size == 1]
    np.testing.assert_allclose(sigma[0], np.linalg.svd(kernel)[1][0], rtol=1e-3)
    plain = net.clone(spectral=False)
    used = jax.tree.map(jnp.asarray, params)
    used["Conv_0"]["kernel"] = np.asarray(params["Conv_0"]["kernel"]) / np.linalg.svd(kernel)[1][0]
    normalized, after = jax.jit(lambda x: net.apply({"params": params, **stats}, x, mutable=[]))(x)
    by_hand = jax.jit(lambda x: plain.apply({"params": used}, x))(x)
    np.testing.assert_allclose(normalized, by_hand, rtol=1e-3, atol=1e-5)
    assert after == {}


def test_what_has_no_networks_is_refused():
    with pytest.raises(ValueError, match=r"must be height, width and channels .* use `dense_autoencoder`"):
        nets.autoencoder((8,), latent_dim=2)
    with pytest.raises(ValueError, match=r"`norm` needs images with a side of at least 32 \(got \(28, 28, 1\)\)"):
        nets.autoencoder((28, 28, 1), latent_dim=2, norm=nets.Affine)


def test_dense_networks_have_the_sizes_of_their_widths():
    encoder, decoder = nets.dense_autoencoder(5, latent_dim=2, widths=(7, 3))
    shapes = lambda net, d: count(jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, d))))
    assert shapes(encoder, 5) == 6 * 7 + 8 * 3 + 4 * 4
    assert shapes(decoder, 2) == 3 * 3 + 4 * 7 + 8 * 5
