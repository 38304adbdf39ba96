"""Autoencoders that are asked about images of other sets: what is trained, and how well each score tells them."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import anomaly_metrics, cache, training
from jaxgen import data, methods, metrics, nets
from jaxgen.data.validation import row_specs
from jaxgen.optim import tensorflow_rmsprop
from jaxgen.serialization.config_json import to_json

__all__ = ["NOISES", "WIDTH", "Asked", "Turned", "answers", "configure", "grayscale", "mirrored", "model", "upright"]

TRAINING = 5_000  # images of typicality at most
IMPORTANCE = 4  # latent vectors of the bound: decoding an image takes longer than encoding it
BATCH, ROWS = 50, 200  # images in a step; scored at a time
WIDTH = 256  # features of the decoder's last hidden layer, in the paper
NOISES: dict[str, methods.observation_models.ObservationModel] = {
    "bernoulli": methods.Bernoulli(),
    "gaussian": methods.Gaussian(),
}


@dataclasses.dataclass(frozen=True)
class Turned:
    """Images that are turned before they are used.

    Attributes:
        images: the set.
        turn: takes images `[n, h, w, c]` to others, such as `upright` or `mirrored`.
    """

    images: Any
    turn: Callable[[np.ndarray], np.ndarray]

    def tables(self) -> tuple[np.ndarray]:
        """Return the turned images as the one table."""
        return (np.ascontiguousarray(self.turn(self.images.tables()[0])),)


def upright(images: np.ndarray) -> np.ndarray:
    """Exchange rows and columns: TensorFlow Datasets has `emnist/letters` transposed."""
    return images.swapaxes(1, 2)


def mirrored(images: np.ndarray) -> np.ndarray:
    """Exchange left and right."""
    return images[:, :, ::-1]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A model, and what it is asked about.

    Attributes:
        title: first part of its lines in a table.
        name: of its cells.
        config: takes a seed to what is trained.
        inlier: its test images.
        known: its training images, from which typicality is counted.
        strangers: test images of other sets, by title.
        paper: what is printed, by title and measure.
        train: whether it is.
    """

    title: str
    name: str
    config: Callable[[int], jaxgen.Config]
    inlier: Any
    known: Any
    strangers: Mapping[str, Any]
    paper: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    train: bool = True

    def resolved(self, seed: int) -> jaxgen.Config:
        """Return what is trained, with everything filled in that a field left open."""
        config = self.config(seed)
        return dataclasses.replace(config, method=config.method.resolve(*row_specs(config.data.tables())))

    def place(self, runs: pathlib.Path, seed: int) -> pathlib.Path:
        """Return where its checkpoints are: one place for the same training, whoever asks for it."""
        return cache.place(runs, f"trained-{seed}", to_json(self.resolved(seed)))


def grayscale(
    noise: methods.observation_models.ObservationModel,
    negatives: methods.negative_samples.Negatives | None,
    width: int = WIDTH,
    **changes: Any,
) -> methods.NegativeSamplingVAE:
    """Return what learns images of 28 by 28 with the released optimiser.

    Args:
        noise: a noise model.
        negatives: their source.
        width: features of the decoder's last hidden layer, where nine tenths of the arithmetic are at the paper's.
        **changes: other fields.

    Returns:
        The method.
    """
    decoder = nets.ConvDecoder(layers=((32, 5, 2), (32, 5, 2), (width, 5, 1)))
    return methods.NegativeSamplingVAE(
        decoder=decoder,
        observation_model=noise,
        negatives=negatives,
        optimizer=tensorflow_rmsprop,
        num_importance_samples=IMPORTANCE,
        **changes,
    )


def configure(
    method: methods.NegativeSamplingVAE, images: Any, seed: int, steps: int, others: Any = None
) -> jaxgen.Config:
    """Return what is trained.

    Args:
        method: learns.
        images: the set to learn.
        seed: of the training.
        steps: of 50 images, and as many negatives.
        others: the set that `methods.Auxiliary()` takes its negatives from; None for other sources.

    Returns:
        The configuration.
    """
    tables = images if others is None else data.Zip((images, others))
    return jaxgen.Config(
        method, tables, steps=steps, batch_size=BATCH, steps_per_call=training.segment(steps), seed=seed
    )


def model(asked: Asked, runs: pathlib.Path, seed: int) -> tuple[Any, Any, dict[str, Any]]:
    """Return method, state, and what `training.networks` tells of the training."""
    return training.networks(asked.resolved(seed), asked.place(runs, seed), train=asked.train)


def answers(asked: Asked, runs: pathlib.Path, count: int, fitted: int, seed: int) -> dict[str, Any]:
    """Train, or leave untrained, and tell test images of other sets from those of its own.

    Args:
        asked: the model, and the sets.
        runs: where cells and checkpoints are kept.
        count: test images of each set.
        fitted: of these, such as get a latent law fitted to them, for likelihood regret.
        seed: of the training.

    Returns:
        By stranger, and for the `inlier`, mean `bpd` and `kl`, and each image's `nats` by the importance weighted
        bound; of strangers the AUROC by each score, with its bootstrap interval; the training's history and seconds.
    """
    identity = {
        "config": to_json(asked.resolved(seed)),
        "trained": asked.train,
        "inlier": to_json(asked.inlier),
        "known": to_json(asked.known),
        "strangers": {title: to_json(images) for title, images in asked.strangers.items()},
        "count": [count, TRAINING, fitted],
        "images": cache.counted(*_sets(asked, seed)),
    }

    def compute() -> dict[str, Any]:
        method, state, spent = model(asked, runs, seed)
        usual = anomaly_metrics.scores(method, state, tested(asked.known, min(count, TRAINING)), ROWS)["bpd"]

        def judged(images: Any) -> dict[str, np.ndarray]:
            x = tested(images, count)
            found = anomaly_metrics.scores(method, state, x, ROWS)
            found["corrected"] = found["bpd"] - _complexity(images, count)
            found["typicality"] = metrics.typicality(found["bpd"], usual)
            if asked.train and method.negatives is None:
                found["regret"] = np.asarray(_regret(method, state, jnp.asarray(x[:fitted])))
            return found

        def told(found: dict[str, np.ndarray]) -> dict[str, Any]:
            nats = found["bound"] * tested(asked.inlier, 1).size * np.log(2)
            means = {name: float(found[name].mean()) for name in ("bpd", "kl")}
            return {**means, "nats": [round(float(number), 3) for number in nats]}

        own = judged(asked.inlier)
        result: dict[str, Any] = {"inlier": told(own), **spent}
        for title, images in asked.strangers.items():
            other = judged(images)
            result[title] = {
                "auroc": {score: metrics.auroc(own[score], other[score]) for score in own},
                "interval": {score: list(metrics.bootstrap(own[score], other[score], repeats=200)) for score in own},
                **told(other),
            }
        return result

    # What is asked has a part in the cell's name, which those who ask otherwise of the same training do not overwrite.
    return cache.remembered(cache.place(runs, f"{asked.name}-{seed}", identity).with_suffix(".json"), identity, compute)


def _sets(asked: Asked, seed: int) -> list[Any]:
    return [asked.config(seed).data, asked.inlier, asked.known, *asked.strangers.values()]


@functools.cache
def tested(images: Any, count: int) -> np.ndarray:
    """Return the first so many images of a set, in its own bytes."""
    return np.asarray(images.tables()[0][:count])


@functools.cache
def _complexity(images: Any, count: int) -> np.ndarray:
    return metrics.png_bits_per_dim(tested(images, count))


@functools.partial(jax.jit, static_argnums=0)
def _regret(method: Any, state: Any, x: Any) -> Any:
    return method.regret(jax.random.key(0), state, data.to_float(x))
