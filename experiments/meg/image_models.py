"""Energies and generators of images: the configurations that several experiments train, and their draws."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import training
from jaxgen import losses, methods, nets
from jaxgen.scan import keys

__all__ = ["PAPER", "PENALTIES", "VARIANTS", "Experiment", "Size", "configure", "draws", "networks", "pixels"]

BLOCK = 500  # images drawn at a time


@dataclasses.dataclass(frozen=True)
class Size:
    """How large networks are, and how long they are trained.

    Attributes:
        width: features of the smallest images; the paper has 512.
        steps: of five updates of the energy and one of the generator; the paper has 100,000.
        rate: learning rate; the paper has 1e-4.
        rows: for each update, as in the paper.
    """

    width: int = 32
    steps: int = 1_000
    rate: float = 1e-3
    rows: int = 64

    def told(self) -> str:
        """Return the size in words."""
        return (
            f"networks {self.width} wide, trained {self.steps:,} steps at a rate of {self.rate:g} (the paper's: 512, "
            "100,000 and 0.0001)"
        )


PAPER = Size(512, 100_000, 1e-4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """How many seeds, how large."""

    num_seeds: int = 1
    """How many seeds."""
    first_seed: int = 0
    """The first of them."""
    width: int = 32
    """Features of the smallest images; the paper has 512."""
    steps: int = 1_000
    """Of five updates of the energy and one of the generator; the paper has 100,000."""
    rate: float = 1e-3
    """Learning rate; the paper has 1e-4, at which small networks draw a single image for thousands of steps."""
    paper: bool = False
    """The paper's width, steps and learning rate."""

    def size(self) -> Size:
        """Return how large the networks are, and how they are trained."""
        return PAPER if self.paper else Size(self.width, self.steps, self.rate)


Drawn = dict[str, Any]  # the networks, as fields of a method
VARIANTS: dict[str, tuple[str, Callable[[Drawn, float], Any]]] = {
    "meg": ("MEG", lambda drawn, penalty: methods.MEG(**drawn, penalty=penalty)),
    "meg_released": (
        "MEG, its penalty as released",
        lambda drawn, penalty: methods.MEG(**drawn, penalty=penalty, regularizer=losses.pixel_score_penalty),
    ),
    "wgan": ("WGAN-GP", lambda drawn, penalty: methods.WGANGP(**_pair(drawn), penalty=penalty)),
    "wgan_released": (
        "WGAN-GP as released",
        lambda drawn, penalty: methods.WGANGP(
            **_pair(drawn),
            penalty=penalty,
            regularizer=losses.pixel_gradient_penalty,
            between=methods.within_boxes,
        ),
    ),
}


PENALTIES = {"meg": 0.1, "meg_released": 10.0, "wgan": 10.0, "wgan_released": 10.0}


def configure(
    variant: str, images: Any, shape: tuple[int, ...], seed: int, size: Size, *, penalty: float | None = None
) -> jaxgen.Config:
    """Return what is trained.

    Args:
        variant: one of `VARIANTS`.
        images: a dataset of images between -1 and 1.
        shape: height, width and channels of an image.
        seed: of the training.
        size: of the networks and the training.
        penalty: weight of the regulariser; None is the variant's on stacked digits and photographs.

    Returns:
        The configuration.
    """
    made = networks(shape, size.width)
    drawn = {"critic": made.energy, "generator": made.generator, "statistic": made.statistic, "latent_dim": 128}
    method = VARIANTS[variant][1](drawn, PENALTIES[variant] if penalty is None else penalty)
    method = dataclasses.replace(method, learning_rate=size.rate)
    return jaxgen.Config(
        method,
        images,
        steps=size.steps,
        batch_size=method.n_critic * size.rows,
        steps_per_call=training.segment(size.steps),
        seed=seed,
    )


def networks(shape: tuple[int, ...], width: int) -> nets.MEGNetworks:
    """Return the paper's networks for images of a shape, at a width of the smallest of them."""
    side, _, channels = shape
    if side == 28:
        return nets.digit_meg_networks(channels, width=width)
    return nets.photo_meg_networks(side, width=width)


def draws(method: Any, state: Any, count: int, *, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw images from the generator, blocks `[at most 500, h, w, c]` between 0 and 1."""
    draw = jax.jit(lambda key, state: pixels(method.sample(key, state, BLOCK)))
    for at, key in enumerate(keys(training.fresh_key(seed), -(-count // BLOCK))):
        yield np.asarray(draw(key, state))[: count - at * BLOCK]


def pixels(x: jax.Array) -> jax.Array:
    """Bring images from between -1 and 1 to between 0 and 1."""
    return jnp.clip((x + 1) / 2, 0, 1)


def _pair(drawn: Drawn) -> Drawn:
    return {name: network for name, network in drawn.items() if name != "statistic"}
