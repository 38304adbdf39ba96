"""Flows of images and deep archetypes, as the experiments on pictures train them, and what is drawn from both."""

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
from jaxgen.serialization.config_json import to_json

__all__ = ["Faces", "Models", "Size", "beyond", "encoded", "shelled", "trained"]


@dataclasses.dataclass(frozen=True)
class Size:
    """How large the networks of images are, and how long they learn.

    Attributes:
        depth: couplings at each of two sizes of an image.
        features: of a coupling's hidden layers.
        steps: of the flow, a hundred images each.
        deep_steps: of the deep archetypes, each of which takes the flow both ways.
        archetypes: how many.
        rate: the first learning rate, which falls along half a cosine.
    """

    depth: int = 4
    features: int = 16
    steps: int = 800
    deep_steps: int = 600
    archetypes: int = 10
    rate: float = 1e-3

    def flow(self, shape: tuple[int, int, int], steps: int) -> methods.Flow:
        """Return a flow of images; the noise in training is the thesis' own."""
        network = nets.image_flow(shape, depth=self.depth, features=(self.features, self.features))
        return methods.Flow(network, noise=0.15, learning_rate=optim.Cosine(self.rate, steps))


@dataclasses.dataclass(frozen=True)
class Faces:
    """Grey faces of half the side, 32 by 32 pixels.

    Attributes:
        whole: an image set of 64 by 64 pixels in bytes with a sign, such as `experiments.common.olivetti.Olivetti`.
    """

    whole: Any

    def tables(self) -> tuple[np.ndarray]:
        """Return the faces `[n, 32, 32, 1]` between 0 and 1 as the one table."""
        grey = (self.whole.tables()[0][..., :1].astype(np.float32) + 128) / 255
        return (grey.reshape(len(grey), 32, 2, 32, 2, 1).mean((2, 4)),)


class Models(NamedTuple):
    """A flow and deep archetypes of the same images, each with one seed's state, and the law of the flow's vectors."""

    flow: tuple[methods.Flow, Any]
    deep: tuple[methods.DeepArchetypes, Any]
    law: samplers.Whitening
    seconds: float | None  # that both trained; None where one was cut off, or kept from before


def trained(size: Size, images: Any, seed: int, runs: pathlib.Path, *, batch: int = 100, train: bool = True) -> Models:
    """Train both on images, load them where they are kept, or leave them as they are drawn.

    Args:
        size: of the networks.
        images: a dataset of one table.
        seed: of both.
        runs: where they are kept.
        batch: images in a step.
        train: whether they learn; if not, they are the control of those that do.

    Returns:
        The models.
    """
    (x,) = images.tables()
    found: list[tuple[Any, Any]] = []
    times: list[float] = []
    deep = methods.DeepArchetypes(
        size.archetypes,
        size.flow(x.shape[1:], size.deep_steps),
        learning_rate=optim.Cosine(size.rate, size.deep_steps),
    )
    for method, steps in ((size.flow(x.shape[1:], size.steps), size.steps), (deep, size.deep_steps)):
        config = jaxgen.Config(
            method, images, steps=steps, batch_size=batch, steps_per_call=training.segment(steps, 10), seed=seed
        )
        name = f"{type(method).__name__}-{seed}"
        where = cache.place(runs, name, {"config": to_json(config)})
        made, state, time = training.networks(config, where, train=train)
        found.append((made, state))
        times += [time["seconds"]] if "seconds" in time else []
    flow: Any = found[0]
    some = np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:5_000]])
    law = samplers.whitening(jnp.asarray(encoded(flow, some)), ridge=1e-3)
    return Models(flow, found[1], law, sum(times) if len(times) == len(found) else None)


def encoded(flow: tuple[methods.Flow, Any], x: np.ndarray) -> np.ndarray:
    """Return a flow's latent vectors `[n, d]` of images `[n, h, w, c]`, in bytes or between 0 and 1."""
    return np.asarray(in_parts(_encode, *flow, x))


@functools.partial(jax.jit, static_argnums=0)
def _encode(method: Any, state: Any, x: Any) -> Any:
    return method.encode(state, data.to_float(x))


def shelled(key: jax.Array, models: Models, n: int, radii: Callable[..., jax.Array] | None) -> np.ndarray:
    """Draw images from the law of the flow's latent vectors, or from a shell about it.

    Args:
        key: of the draws.
        models: trained.
        n: how many, a multiple of 500.
        radii: draws Mahalanobis distances, `radii(key, n, dimensions=d) -> [n]`; None draws from the law itself.

    Returns:
        Images `[n, h, w, c]`, cut to lie between 0 and 1.
    """
    flow, state = models.flow
    radii = radii or samplers.chi_radii
    draw = lambda key: methods.latent_outliers(key, state, 500, flow=flow, radii=radii, law=models.law)
    parts = [np.asarray(draw(jax.random.fold_in(key, part))) for part in range(n // 500)]
    return np.clip(np.concatenate(parts), 0, 1)


def beyond(key: jax.Array, models: Models, n: int, *, concentration: float, stretch: float) -> np.ndarray:
    """Draw images of mixtures of deep archetypes, or of weights that go on beyond them.

    Args:
        key: of the draws.
        models: trained.
        n: how many, a multiple of 500.
        concentration: of the weights' Dirichlet law.
        stretch: how far from the middle of the simplex, 1 for mixtures.

    Returns:
        Images `[n, h, w, c]`, cut to lie between 0 and 1.
    """
    deep, state = models.deep

    @jax.jit
    def draw(key: jax.Array) -> jax.Array:
        weights = simplex.weights(key, 500, count=deep.count, concentration=concentration)
        middle = 1 / deep.count
        return jnp.clip(deep.mixture(state, middle + stretch * (weights - middle)), 0, 1)

    return np.concatenate([np.asarray(draw(jax.random.fold_in(key, part))) for part in range(n // 500)])
