"""Energy-based models of images: the configurations that several experiments train, and their samples."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, training
from jaxgen import losses, methods, nets
from jaxgen.scan import keys

__all__ = ["PENALTIES", "VARIANTS", "Experiment", "Size", "as_bytes", "networks", "pixels", "samples"]

BATCH_SIZE = 64  # images in each update, as in the paper
BLOCK = 500  # images that are generated at a time
Networks = dict[str, Any]  # networks by the name of the method's field
VARIANTS: dict[str, tuple[str, Callable[[Networks, float], Any]]] = {
    "meg": ("MEG", lambda fields, penalty: methods.MEG(**fields, penalty=penalty)),
    "meg_released": (
        "MEG, its penalty as released",
        lambda fields, penalty: methods.MEG(**fields, penalty=penalty, regularizer=losses.pixel_score_penalty),
    ),
    "wgan": ("WGAN-GP", lambda fields, penalty: methods.WGANGP(**_without_statistic(fields), penalty=penalty)),
    "wgan_released": (
        "WGAN-GP as released",
        lambda fields, penalty: methods.WGANGP(
            **_without_statistic(fields),
            penalty=penalty,
            regularizer=losses.pixel_gradient_penalty,
            between=methods.interpolate_pixels,
        ),
    ),
}
PENALTIES = {"meg": 0.1, "meg_released": 10.0, "wgan": 10.0, "wgan_released": 10.0}  # on stacked digits and photographs


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

    width: int = 32
    """Features of the smallest images; the paper has 512."""
    steps: int = 1_000
    """Generator steps, of five energy updates each; the paper has 100,000."""
    rate: float = 1e-3
    """Learning rate; the paper has 1e-4, at which small networks generate a single image for thousands of steps."""
    paper: bool = False
    """The paper's width, steps and learning rate."""

    def size(self) -> Size:
        """Return width, steps and learning rate."""
        return Size(512, 100_000, 1e-4) if self.paper else Size(self.width, self.steps, self.rate)

    def reduced(self) -> Self:
        """One seed, 20 steps."""
        return dataclasses.replace(self, num_seeds=1, steps=min(self.steps, 20), paper=False)

    def image_config(
        self, variant: str, images: Any, shape: tuple[int, ...], seed: int, *, penalty: float | None = None
    ) -> jaxgen.Config:
        """Return the configuration of one of `VARIANTS`, on a dataset of images between -1 and 1.

        `shape` is height, width and channels. By default `penalty`, the weight of the regularizer, is in `PENALTIES`.
        """
        width, steps, rate = self.size()
        made = networks(shape, width)
        fields = {"critic": made.energy, "generator": made.generator, "statistic": made.statistic, "latent_dim": 128}
        method = VARIANTS[variant][1](fields, PENALTIES[variant] if penalty is None else penalty)
        method = dataclasses.replace(method, learning_rate=rate)
        return jaxgen.Config(
            method,
            images,
            steps=steps,
            batch_size=method.n_critic * BATCH_SIZE,
            steps_per_call=training.segment(steps),
            seed=seed,
        )


def networks(shape: tuple[int, ...], width: int) -> nets.MEGNetworks:
    """Return the paper's networks for images of a shape, with `width` features at the smallest resolution."""
    side, _, channels = shape
    if side == 28:
        return nets.digit_meg_networks(channels, width=width)
    return nets.photo_meg_networks(side, width=width)


def samples(method: Any, state: Any, count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Generate `count` images in blocks `[at most 500, h, w, c]`, with pixels between 0 and 1."""
    sample = jax.jit(lambda key, state: pixels(method.sample(key, state, BLOCK)))
    for block, key in enumerate(keys(training.fresh_key(seed), -(-count // BLOCK))):
        yield np.asarray(sample(key, state))[: count - block * BLOCK]


def pixels(x: jax.Array) -> jax.Array:
    """Map pixels from [-1, 1] to [0, 1]."""
    return jnp.clip((x + 1) / 2, 0, 1)


def as_bytes(images: Any) -> list[Any]:
    """Round pixels between 0 and 1 to uint8, as nested lists for JSON."""
    return np.round(np.asarray(images) * 255).astype(np.uint8).tolist()


def _without_statistic(fields: Networks) -> Networks:
    return {name: network for name, network in fields.items() if name != "statistic"}
