"""Autoencoders that are asked about images of other sets: what is trained, and how well each score tells them."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

import jaxgen
from experiments import anomalies, report, trials
from jaxgen import data, methods, metrics
from jaxgen.descent import tensorflow_rmsprop
from jaxgen.description import describe

__all__ = ["COLUMNS", "NOISES", "SCORES", "Upright", "cell", "configure"]

TRAINING = 5_000  # images of typicality at most
IMPORTANCE = 4  # latent vectors of the bound: decoding an image takes 25 times as long as encoding it
BATCH, ROWS = 50, 200  # images in a step; scored at a time
SCORES = {
    "bpd": "bits",
    "kl": "KL",
    "bound": "importance weighted bits",
    "reconstruction": "reconstruction",
    "corrected": "bits less complexity",
    "typicality": "typicality",
}
COLUMNS = [report.Column(name, f"AUROC by {told}") for name, told in SCORES.items()]
NOISES: dict[str, methods.noise.Noise] = {"bernoulli": methods.Bernoulli(), "gaussian": methods.Gaussian()}


@dataclasses.dataclass(frozen=True)
class Upright:
    """Images of `emnist/letters` as they are read: TensorFlow Datasets has them transposed.

    Attributes:
        images: the set.
    """

    images: data.Images

    def tables(self) -> tuple[np.ndarray]:
        """Return the images with rows and columns exchanged, as the one table."""
        return (np.ascontiguousarray(self.images.tables()[0].swapaxes(1, 2)),)


def configure(
    inlier: Any,
    noise: methods.noise.Noise,
    source: methods.negatives.Negatives | None,
    auxiliary: Any,
    seed: int,
    steps: int,
) -> jaxgen.Config:
    """Return what is trained: the released optimiser and networks.

    Args:
        inlier: the set to learn.
        noise: a noise model.
        source: of negatives.
        auxiliary: the set that `methods.Auxiliary()` takes them from; None for other sources.
        seed: of the training.
        steps: of 50 images, and as many negatives.

    Returns:
        The configuration.
    """
    tables = inlier if auxiliary is None else data.Together((inlier, auxiliary))
    method = methods.NegativeSamplingVAE(
        noise=noise, negatives=source, optimiser=tensorflow_rmsprop, importance=IMPORTANCE
    )
    return jaxgen.Config(method, tables, steps=steps, batch_size=BATCH, every=trials.segment(steps), seed=seed)


@functools.cache
def tested(images: Any, count: int) -> np.ndarray:
    """Return the first so many images of a set, in its own bytes."""
    return np.asarray(images.tables()[0][:count])


@functools.cache
def _complexity(images: Any, count: int) -> np.ndarray:
    return metrics.complexity(tested(images, count))


def cell(
    config: jaxgen.Config,
    inlier: Any,
    known: Any,
    strangers: dict[str, Any],
    runs: pathlib.Path,
    name: str,
    count: int,
    *,
    train: bool = True,
) -> dict[str, Any]:
    """Train, or leave untrained, and tell test images of other sets from those of its own.

    Args:
        config: what is trained.
        inlier: its test set.
        known: its training set, from which typicality is counted.
        strangers: other test sets by name.
        runs: where cells and checkpoints are kept.
        name: of the cell.
        count: test images of each set.
        train: whether it is.

    Returns:
        By stranger, the AUROC by each score, with its bootstrap interval; mean `bpd` and `kl` of the inliers and of
        each stranger; the training's history and seconds.
    """
    identity = {
        "config": describe(config),
        "trained": train,
        "inlier": describe(inlier),
        "known": describe(known),
        "strangers": {title: describe(images) for title, images in strangers.items()},
        "count": [count, TRAINING],
    }
    where = trials.place(runs, name, describe(config))

    def compute() -> dict[str, Any]:
        method, state, spent = trials.networks(config, where, train=train)
        usual = anomalies.scores(method, state, tested(known, min(count, TRAINING)), ROWS)["bpd"]

        def judged(images: Any) -> dict[str, np.ndarray]:
            found = anomalies.scores(method, state, tested(images, count), ROWS)
            found["corrected"] = found["bpd"] - _complexity(images, count)
            found["typicality"] = metrics.typicality(found["bpd"], usual)
            return found

        own = judged(inlier)
        means = lambda found: {name: float(found[name].mean()) for name in ("bpd", "kl")}
        result: dict[str, Any] = {"inlier": means(own), **spent}
        for title, images in strangers.items():
            other = judged(images)
            result[title] = {
                "auroc": {score: metrics.auroc(own[score], other[score]) for score in SCORES},
                "interval": {score: list(metrics.bootstrap(own[score], other[score], repeats=200)) for score in SCORES},
                **means(other),
            }
        return result

    return trials.remembered(where.with_suffix(".json"), identity, compute)
