"""Flows of images and deep archetypes: their configurations, training, and samples."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, training
from jaxgen import data, methods, nets, optim, samplers
from jaxgen.numerics import simplex
from jaxgen.training.batching import score_in_pieces

BLOCK = 500  # images that are encoded or drawn at a time


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of the networks, and length of the training."""

    depth: int = 4  # couplings at each of the two resolutions
    features: int = 16  # channels of the hidden layers of a coupling
    steps: int = 800  # training steps of the flow, of 100 images each
    deep_steps: int = 600  # training steps of the deep archetypes; each runs the flow in both directions
    archetypes: int = 10  # number of archetypes
    rate: float = 1e-3  # initial learning rate, which decays along half a cosine

    def flow(self, images: data.Dataset, steps: int) -> methods.Flow:
        """Flow of images, with the thesis' training noise."""
        network = nets.image_flow(
            images.tables()[0].shape[1:], depth=self.depth, features=(self.features, self.features)
        )
        return methods.Flow(network, noise=0.15, learning_rate=optim.Cosine(self.rate, steps), ema_decay=None)

    def flow_config(self, images: data.Dataset, seed: int) -> jaxgen.Config:
        """Configuration of the flow."""
        return _config(self.flow(images, self.steps), images, self.steps, seed)

    def deep_config(self, images: data.Dataset, seed: int) -> jaxgen.Config:
        """Configuration of the deep archetypes."""
        flow, schedule = self.flow(images, self.deep_steps), optim.Cosine(self.rate, self.deep_steps)
        method = methods.DeepArchetypes(self.archetypes, flow, learning_rate=schedule)
        return _config(method, images, self.deep_steps, seed)


def _config(method: Any, images: data.Dataset, steps: int, seed: int) -> jaxgen.Config:
    return training.configure(method, images, steps=steps, batch_size=100, seed=seed, calls=10)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Gray faces at half the resolution, 32 by 32 pixels."""

    whole: Any  # a dataset of images of 64 by 64 pixels in int8, such as `experiments.common.olivetti.Olivetti`

    def tables(self) -> tuple[np.ndarray]:
        """Return the faces `[n, 32, 32, 1]` between 0 and 1 as the one table."""
        gray = (self.whole.tables()[0][..., :1].astype(np.float32) + 128) / 255
        return (gray.reshape(len(gray), 32, 2, 32, 2, 1).mean((2, 4)),)


class Models(NamedTuple):
    """A flow and deep archetypes of the same images."""

    flow: jaxgen.Result[methods.Flow]
    deep: jaxgen.Result[methods.DeepArchetypes]
    latents: samplers.Whitening  # mean and covariance of the flow's latent vectors
    seconds: float | None  # of both trainings; None if one was resumed or loaded, and for untrained networks


def trained(size: Size, images: Any, seed: int, directory: pathlib.Path, *, train: bool = True) -> Models:
    """Train a flow and deep archetypes, load them from checkpoints, or leave them untrained as a control."""
    configs = size.flow_config(images, seed), size.deep_config(images, seed)
    places = [f"{type(config.method).__name__}-{cache.digest(jaxgen.to_json(config))}" for config in configs]
    runs = [
        training.timed(config, directory / place, train=train) for config, place in zip(configs, places, strict=True)
    ]
    (flow, flow_times), (deep, deep_times) = runs
    (x,) = images.tables()
    subset = np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:5_000]])
    latents = samplers.whitening(jnp.asarray(encoded(flow, subset)), ridge=1e-3)
    times = [*flow_times.values(), *deep_times.values()]
    return Models(flow, deep, latents, sum(times) if len(times) == len(runs) else None)


def encoded(flow: jaxgen.Result[methods.Flow], x: np.ndarray) -> np.ndarray:
    """Encode images `[n, h, w, c]`, in uint8 or between 0 and 1, as latent vectors `[n, d]`."""
    method, state = training.first_model(flow)
    encode = jax.jit(lambda part: method.encode(state, data.to_float(part))[None])
    return score_in_pieces(encode, x, BLOCK)[0]


def archetypes(z: Any, count: int, *, sweeps: int, seed: int, **settings: Any) -> jaxgen.Result[methods.Archetypes]:
    """Find archetypes of vectors `[n, d]` by the classical analysis, whose every sweep sees all of them."""
    method, rows = methods.Archetypes(count, **settings), data.Arrays(np.asarray(z))
    one = jaxgen.Layout(devices=1)  # any number of rows divides over it
    config = training.configure(
        method, rows, steps=sweeps, batch_size=len(z), seed=seed, calls=1, shuffle=False, layout=one
    )
    return jaxgen.train(config, progress=False)


def shelled(key: jax.Array, models: Models, n: int, radii: Callable[..., jax.Array] | None) -> np.ndarray:
    """Draw images, a multiple of 500, whose latent vectors lie in a shell around their normal distribution.

    `radii(key, n, dimensions=d)` draws Mahalanobis distances `[n]`; None draws those of the distribution itself.
    """
    flow, state = training.first_model(models.flow)
    settings = {"flow": flow, "radii": radii or samplers.chi_radii, "whitening": models.latents}
    return _in_blocks(lambda key: methods.latent_outliers(key, state, BLOCK, **settings), key, n)


def beyond(key: jax.Array, models: Models, n: int, *, concentration: float, stretch: float) -> np.ndarray:
    """Draw images, a multiple of 500, of mixtures of deep archetypes with symmetric Dirichlet weights.

    A `stretch` above 1 moves the weights away from the center of the simplex, and so beyond the archetypes.
    """
    deep, state = training.first_model(models.deep)

    @jax.jit
    def draw(key: jax.Array) -> jax.Array:
        weights = simplex.dirichlet_weights(key, BLOCK, count=deep.num_archetypes, concentration=concentration)
        center = 1 / deep.num_archetypes
        return deep.mixture(state, center + stretch * (weights - center))

    return _in_blocks(draw, key, n)


def _in_blocks(draw: Callable[[jax.Array], Any], key: jax.Array, n: int) -> np.ndarray:
    """Join images that are drawn `BLOCK` at a time, clipped to [0, 1]."""
    parts = [np.asarray(draw(jax.random.fold_in(key, part))) for part in range(n // BLOCK)]
    return np.clip(np.concatenate(parts), 0, 1)
