"""Energy-based models of images: the configurations that several experiments train, and their samples."""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, training
from jaxgen import losses, methods, nets
from jaxgen.scan import keys

BATCH_SIZE = 64  # images in each update, as in the paper
BLOCK = 500  # images that are generated at a time


class Variant(NamedTuple):
    """A training method of the tables."""

    title: str
    method: type[methods.MEG] | type[methods.WGANGP]
    penalty: float  # weight of the regularizer, on stacked digits and photographs
    settings: dict[str, Any] = {}  # other fields of the method


VARIANTS = {
    "meg": Variant("MEG", methods.MEG, 0.1),
    "meg_released": Variant(
        "MEG, its penalty as released", methods.MEG, 10.0, {"regularizer": losses.pixel_score_penalty}
    ),
    "wgan": Variant("WGAN-GP", methods.WGANGP, 10.0),
    "wgan_released": Variant(
        "WGAN-GP as released",
        methods.WGANGP,
        10.0,
        {"regularizer": losses.pixel_gradient_penalty, "between": methods.interpolate_pixels},
    ),
}


class Size(NamedTuple):
    """Width of the networks at the lowest resolution, generator steps, and learning rate."""

    width: int
    steps: int
    rate: float

    def __str__(self) -> str:
        """Return the size in words, for a remark below a table."""
        return (
            f"networks {self.width} wide, trained {self.steps:,} steps at a rate of {self.rate:g} (the paper's: 512, "
            "100,000 and 0.0001)"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Seeds and size of an experiment on images."""

    width: int = 32  # features of the smallest images; the paper has 512
    steps: int = 1_000  # generator steps, of five energy updates each; the paper has 100,000
    # Learning rate; the paper has 1e-4, at which small networks generate a single image for thousands of steps.
    rate: float = 1e-3
    paper: bool = False  # the paper's width, steps and learning rate

    small = {"steps": 20, "paper": False}

    def size(self) -> Size:
        """Return width, steps and learning rate."""
        return Size(512, 100_000, 1e-4) if self.paper else Size(self.width, self.steps, self.rate)

    def image_config(
        self, variant: str, images: Any, shape: tuple[int, ...], seed: int, *, penalty: float | None = None
    ) -> jaxgen.Config:
        """Return the configuration of one of `VARIANTS`, on a dataset of images between -1 and 1.

        `shape` is height, width and channels. The weight of the regularizer is the variant's own unless it is given.
        """
        (width, steps, rate), kind = self.size(), VARIANTS[variant]
        generator, energy, statistic = networks(shape, width)
        method = kind.method(
            critic=energy,
            generator=generator,
            latent_dim=128,
            penalty=kind.penalty if penalty is None else penalty,
            learning_rate=rate,
            **({"statistic": statistic} if kind.method is methods.MEG else {}),
            **kind.settings,
        )
        return training.configure(method, images, steps=steps, batch_size=method.n_critic * BATCH_SIZE, seed=seed)


def networks(shape: tuple[int, ...], width: int) -> nets.MEGNetworks:
    """Return the paper's networks for images of a shape, with `width` features at the smallest resolution."""
    side, _, channels = shape
    if side == 28:
        return nets.digit_meg_networks(channels, width=width)
    return nets.photo_meg_networks(side, width=width)


def samples(result: jaxgen.Result, count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Generate `count` images in blocks `[at most 500, h, w, c]`, with pixels between 0 and 1."""
    for block, key in enumerate(keys(training.fresh_key(seed), -(-count // BLOCK))):
        yield np.asarray(pixels(result.sample(key, BLOCK)[0]))[: count - block * BLOCK]


def pixels(x: jax.Array) -> jax.Array:
    """Map pixels from [-1, 1] to [0, 1]."""
    return jnp.clip((x + 1) / 2, 0, 1)


def as_bytes(images: Any) -> list[Any]:
    """Round pixels between 0 and 1 to uint8, as nested lists for JSON."""
    return np.round(np.asarray(images) * 255).astype(np.uint8).tolist()
