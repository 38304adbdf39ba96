"""Flows of images and deep archetypes: their configurations, training, and samples."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, training
from experiments.common.batching import in_parts
from jaxgen import data, methods, nets, optim, samplers
from jaxgen.numerics import simplex

__all__ = ["Faces", "Models", "Size", "beyond", "encoded", "shelled", "trained"]


@dataclasses.dataclass(frozen=True)
class Size:
    """Size of the networks, and length of the training.

    Attributes:
        depth: couplings at each of the two resolutions.
        features: channels of the hidden layers of a coupling.
        steps: training steps of the flow, of 100 images each.
        deep_steps: training steps of the deep archetypes; each runs the flow in both directions.
        archetypes: number of archetypes.
        rate: initial learning rate, which decays along half a cosine.
    """

    depth: int = 4
    features: int = 16
    steps: int = 800
    deep_steps: int = 600
    archetypes: int = 10
    rate: float = 1e-3

    def flow(self, shape: tuple[int, int, int], steps: int) -> methods.Flow:
        """Flow of images `[height, width, channels]`, with the thesis' training noise."""
        network = nets.image_flow(shape, depth=self.depth, features=(self.features, self.features))
        return methods.Flow(network, noise=0.15, learning_rate=optim.Cosine(self.rate, steps), ema_decay=None)

    def flow_config(self, images: data.Dataset, seed: int) -> jaxgen.Config:
        """Configuration of the flow."""
        return _config(self.flow(_shape(images), self.steps), images, self.steps, seed)

    def deep_config(self, images: data.Dataset, seed: int) -> jaxgen.Config:
        """Configuration of the deep archetypes."""
        flow, schedule = self.flow(_shape(images), self.deep_steps), optim.Cosine(self.rate, self.deep_steps)
        method = methods.DeepArchetypes(self.archetypes, flow, learning_rate=schedule)
        return _config(method, images, self.deep_steps, seed)


def _config(method: Any, images: data.Dataset, steps: int, seed: int) -> jaxgen.Config:
    calls = training.segment(steps, 10)
    return jaxgen.Config(method, images, steps=steps, batch_size=100, steps_per_call=calls, seed=seed)


def _shape(images: data.Dataset) -> tuple[int, int, int]:
    return images.tables()[0].shape[1:]


@dataclasses.dataclass(frozen=True)
class Faces:
    """Gray faces at half the resolution, 32 by 32 pixels.

    Attributes:
        whole: a dataset of images of 64 by 64 pixels in int8, such as `experiments.common.olivetti.Olivetti`.
    """

    whole: Any

    def tables(self) -> tuple[np.ndarray]:
        """Return the faces `[n, 32, 32, 1]` between 0 and 1 as the one table."""
        gray = (self.whole.tables()[0][..., :1].astype(np.float32) + 128) / 255
        return (gray.reshape(len(gray), 32, 2, 32, 2, 1).mean((2, 4)),)


class Models(NamedTuple):
    """A flow and deep archetypes of the same images.

    Attributes:
        flow: method and state.
        deep: method and state.
        latents: mean and covariance of the flow's latent vectors.
        seconds: training time of both; None if a run was resumed or loaded, or for untrained networks.
    """

    flow: tuple[methods.Flow, Any]
    deep: tuple[methods.DeepArchetypes, Any]
    latents: samplers.Whitening
    seconds: float | None


def trained(size: Size, images: Any, seed: int, directory: pathlib.Path, *, train: bool = True) -> Models:
    """Train a flow and deep archetypes, or load them from checkpoints.

    Args:
        size: size of the networks.
        images: a dataset of one table.
        seed: seed of both.
        directory: directory of checkpoints, each in a folder that depends on its config.
        train: whether to train; untrained networks are the control.

    Returns:
        The models.
    """
    (x,) = images.tables()
    models: list[tuple[Any, Any]] = []
    times: list[float] = []
    for config in (size.flow_config(images, seed), size.deep_config(images, seed)):
        place = cache.place(directory, type(config.method).__name__, {"config": jaxgen.to_json(config)})
        method, state, measured = training.networks(config, place, train=train)
        models.append((method, state))
        times += [measured["seconds"]] if "seconds" in measured else []
    flow, deep = models
    subset = np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:5_000]])
    latents = samplers.whitening(jnp.asarray(encoded(flow, subset)), ridge=1e-3)
    return Models(flow, deep, latents, sum(times) if len(times) == len(models) else None)


def encoded(flow: tuple[methods.Flow, Any], x: np.ndarray) -> np.ndarray:
    """Encode images `[n, h, w, c]`, in uint8 or between 0 and 1, as latent vectors `[n, d]`."""
    return np.asarray(in_parts(_encode, *flow, x))


@functools.partial(jax.jit, static_argnums=0)
def _encode(method: Any, state: Any, x: Any) -> Any:
    return method.encode(state, data.to_float(x))


def shelled(key: jax.Array, models: Models, n: int, radii: Callable[..., jax.Array] | None) -> np.ndarray:
    """Draw images whose latent vectors are normally distributed, or lie in a shell around that distribution.

    Args:
        key: random key.
        models: trained models.
        n: number of images, a multiple of 500.
        radii: `radii(key, n, dimensions=d)` draws Mahalanobis distances `[n]`; None draws those of the normal
            distribution itself.

    Returns:
        Images `[n, h, w, c]`, clipped to [0, 1].
    """
    flow, state = models.flow
    radii = radii or samplers.chi_radii
    draw = lambda key: methods.latent_outliers(key, state, 500, flow=flow, radii=radii, whitening=models.latents)
    parts = [np.asarray(draw(jax.random.fold_in(key, part))) for part in range(n // 500)]
    return np.clip(np.concatenate(parts), 0, 1)


def beyond(key: jax.Array, models: Models, n: int, *, concentration: float, stretch: float) -> np.ndarray:
    """Draw images of mixtures of deep archetypes, or of weights outside the simplex.

    Args:
        key: random key.
        models: trained models.
        n: number of images, a multiple of 500.
        concentration: parameter of the symmetric Dirichlet distribution of the weights.
        stretch: factor on the distance of the weights from the center of the simplex; 1 for mixtures.

    Returns:
        Images `[n, h, w, c]`, clipped to [0, 1].
    """
    deep, state = models.deep

    @jax.jit
    def draw(key: jax.Array) -> jax.Array:
        weights = simplex.dirichlet_weights(key, 500, count=deep.count, concentration=concentration)
        center = 1 / deep.count
        return jnp.clip(deep.mixture(state, center + stretch * (weights - center)), 0, 1)

    return np.concatenate([np.asarray(draw(jax.random.fold_in(key, part))) for part in range(n // 500)])
