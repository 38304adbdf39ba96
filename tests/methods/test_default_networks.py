"""Default networks of images of many sizes and of vectors: shapes by abstract evaluation, and one step at 8 x 8."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import methods, nets
from jaxgen.optim.schedules import with_run_length

IMAGES = [
    (8, 8, 1),
    (8, 8, 3),
    (9, 12, 3),
    (16, 16, 1),
    (17, 8, 2),
    (28, 28, 1),
    (28, 28, 3),
    (31, 31, 1),
    (32, 32, 1),
    (32, 32, 3),
    (8, 64, 1),
    (33, 9, 2),
    (63, 50, 3),
    (64, 64, 1),
    (64, 64, 3),
]
METHODS = {
    "vae": methods.NegativeSamplingVAE,
    "adversarial": functools.partial(methods.NegativeSamplingVAE, negatives=methods.ModelSamples()),
    "meg": methods.MEG,
    "wgan": methods.WGANGP,
    "flow": methods.Flow,
}
shapes = pytest.mark.parametrize("shape", IMAGES, ids=lambda shape: " x ".join(map(str, shape)))


def resolved(name, shape):
    return with_run_length(METHODS[name](), 10).resolve(jax.ShapeDtypeStruct(shape, jnp.float32))


def sides(network, shape):
    """Return the output of a network, and height and width of the outputs of its layers in their order."""
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    output, variables = jax.eval_shape(
        functools.partial(network.init_with_output, capture_intermediates=True, mutable=True), jax.random.key(0), x
    )
    layers = variables["intermediates"].items()
    convolutions = ("Conv", "TransposedConv")
    grids = [leaf["__call__"][0].shape[1:3] for name, leaf in layers if name.startswith(convolutions)]
    return output.shape, grids


@shapes
@pytest.mark.parametrize("name", ["meg", "wgan"])
def test_generator_and_energy_pass_through_the_same_sides(name, shape):
    method = resolved(name, shape)
    made, up = sides(method.generator, (method.latent_dim,))
    energy, down = sides(method.critic, shape)
    assert (made, energy) == ((1, *shape), (1, 1))
    assert method.latent_dim == min(np.prod(shape), 128)
    # The generator starts at the grid at which the energy ends, and returns to the image's own sides.
    assert set(up) <= {*down, shape[:2]}
    assert max(down[-1]) <= 4
    if name == "meg":
        pair = [jax.ShapeDtypeStruct((2, *part), jnp.float32) for part in (shape, (method.latent_dim,))]
        assert nets.output_shape(method.statistic, *pair) == (2, 1)


@shapes
@pytest.mark.parametrize("name", ["vae", "adversarial"])
def test_encoder_and_decoder_pass_through_the_same_sides(name, shape):
    method = resolved(name, shape)
    code, down = sides(method.encoder.clone(spectral=False), shape)  # Flax cannot capture within its SpectralNorm
    image, up = sides(method.decoder, (method.latent_dim,))
    assert (code, image) == ((1, 2 * method.latent_dim), (1, *shape))
    assert set(up) <= {*down, shape[:2]}
    assert max(down[-1]) <= 4
    large = max(shape[:2]) >= 32
    assert (method.latent_dim, method.shift) == ((100, 25.0) if large else (10, 8.0))
    assert isinstance(method.observation_model, methods.Bernoulli)
    assert method.encoder.spectral == (large and name == "adversarial")


@shapes
def test_flows_have_a_latent_value_for_each_of_the_image(shape):
    method = resolved("flow", shape)
    z = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    key = jax.random.key(0)
    (latent, log_det), variables = jax.eval_shape(method.network.init_with_output, key, z)
    again, _ = jax.eval_shape(functools.partial(method.network.apply, method="inverse"), variables, latent)
    assert latent.shape == (2, np.prod(shape))
    assert again.shape == (2, *shape)
    assert log_det.shape in ((), (2,))


@pytest.mark.parametrize("columns", [1, 2, 9, 100])
def test_vectors_have_dense_networks_and_an_unbounded_mean(columns):
    method = resolved("vae", (columns,))
    assert method.latent_dim == min(max(columns // 2, 1), 10)
    x, z = (jax.ShapeDtypeStruct((2, width), jnp.float32) for width in (columns, method.latent_dim))
    assert nets.output_shape(method.encoder, x) == (2, 2 * method.latent_dim)
    assert nets.output_shape(method.decoder, z) == (2, columns)
    assert method.observation_model == methods.UnboundedGaussian()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shape", [(7, 8, 1), (8, 65, 1), (8, 8), (28, 28, 0)])
def test_images_out_of_range_are_refused_with_what_to_do(name, shape):
    remedy = "resize the images, or set" if len(shape) == 3 else r"\(8, 8\)\); set"
    with pytest.raises(ValueError, match=rf"sides of 8 to 64 pixels .*{remedy}"):
        resolved(name, shape)


@pytest.mark.parametrize("name", METHODS)
def test_one_step_at_8_by_8_moves_every_network(name):
    method = resolved(name, (8, 8, 1))
    x = jax.random.uniform(jax.random.key(0), (10, 8, 8, 1))
    state = jax.jit(method.init)(jax.random.key(1), x)
    after, metrics = jax.jit(method.step)(jax.random.key(2), state, x)
    assert all(np.isfinite(value) for value in jax.tree.leaves(metrics))
    kernels = [leaf for leaf in jax.tree.leaves(jax.tree.map(jnp.subtract, after, state)) if jnp.ndim(leaf) > 1]
    assert all(jnp.isfinite(leaf).all() for leaf in kernels)
    assert sum(jnp.abs(leaf).max() > 0 for leaf in kernels) > len(kernels) / 2
