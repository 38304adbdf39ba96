"""Variational autoencoders evaluated on out-of-distribution (OOD) images: configurations, scores and their AUROC."""

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
from experiments.common.experiment import Cell
from jaxgen import data, methods, metrics, nets
from jaxgen.data.validation import row_specs
from jaxgen.optim import tensorflow_rmsprop

TRAINING = 5_000  # most training images for typicality
IMPORTANCE = 4  # latent samples of the bound: decoding an image takes longer than encoding it
BATCH, ROWS = 50, 200  # images in a step; scored at a time
WIDTH = 256  # features of the decoder's last hidden layer, in the paper
NOISES: dict[str, methods.observation_models.ObservationModel] = {
    "bernoulli": methods.Bernoulli(),
    "gaussian": methods.Gaussian(),
}


@dataclasses.dataclass(frozen=True)
class Turned:
    """Images with a transformation."""

    images: Any  # the set
    turn: Callable[[np.ndarray], np.ndarray]  # maps images `[n, h, w, c]` to images, such as `upright` or `mirrored`

    def tables(self) -> tuple[np.ndarray]:
        """One table of transformed images."""
        return (np.ascontiguousarray(self.turn(self.images.tables()[0])),)


def upright(images: np.ndarray) -> np.ndarray:
    """Exchange rows and columns: `emnist/letters` is transposed in TensorFlow Datasets."""
    return images.swapaxes(1, 2)


def mirrored(images: np.ndarray) -> np.ndarray:
    """Exchange left and right."""
    return images[:, :, ::-1]


@dataclasses.dataclass(frozen=True)
class OODModel:
    """A model, and the sets that it is evaluated on."""

    title: str  # first part of its rows in a table
    name: str  # of its cells
    config: Callable[[int], jaxgen.Config]  # what is trained with a seed
    inlier: Any  # test images of the set that it learns
    training_images: Any  # from which typicality is estimated
    outliers: Mapping[str, Any]  # test images of other sets, by title
    # The paper's numbers, by title and measure.
    paper: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    train: bool = True  # False for the untrained control

    def resolved(self, seed: int) -> jaxgen.Config:
        """What is trained, with all networks and widths filled in: equal trainings share their checkpoints."""
        config = self.config(seed)
        return dataclasses.replace(config, method=config.method.resolve(*row_specs(config.data.tables())))

    def cell(self, count: int, fitted: int, seed: int) -> Cell:
        """The evaluation of one seed on `count` test images of each set."""
        config = self.resolved(seed)
        sets = self.inlier, self.training_images, dict(self.outliers)
        measure = functools.partial(evaluated, config, *sets, self.train, count, fitted)
        lengths = cache.table_lengths(config.data, *sets[:2], *self.outliers.values())
        return Cell(self.name, seed, measure, config, {"images": lengths})


def grayscale(
    noise: methods.observation_models.ObservationModel,
    negatives: methods.negative_samples.NegativeSource | None,
    width: int = WIDTH,
    **changes: Any,
) -> methods.NegativeSamplingVAE:
    """Model of images of 28 by 28 with the released optimizer, and `width` features in the decoder's last hidden layer.

    At the paper's width that layer takes nine tenths of the arithmetic.
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
    """Training of a model on a set of images, and on another one as auxiliary negatives."""
    tables = images if others is None else data.Zip((images, others))
    return training.configure(method, tables, steps=steps, batch_size=BATCH, seed=seed)


def evaluated(
    config: jaxgen.Config,
    inlier: Any,
    training_images: Any,
    outliers: Mapping[str, Any],
    train: bool,
    count: int,
    fitted: int,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """Train, or leave untrained, and compare the scores of inliers with those of each OOD set.

    The first `count` images of each set are scored, and a posterior is fitted to `fitted` of them for likelihood
    regret. The measurement has means, the bound of each image in `nats`, and the AUROC by each score with its interval.
    """
    model, times = training.timed(config, directory, train=train)
    known = anomaly_metrics.scores(model, tested(training_images, min(count, TRAINING)), ROWS)["bpd"]

    def scored(images: Any) -> dict[str, np.ndarray]:
        x = tested(images, count)
        scores = anomaly_metrics.scores(model, x, ROWS)
        scores["corrected"] = scores["bpd"] - _complexity(images, count)
        scores["typicality"] = metrics.typicality(scores["bpd"], known)
        if train and config.method.negatives is None:
            scores["regret"] = np.asarray(_regret(*training.first_model(model), jnp.asarray(x[:fitted])))
        return scores

    def summary(scores: dict[str, np.ndarray]) -> dict[str, Any]:
        nats = scores["bound"] * tested(inlier, 1).size * np.log(2)
        means = {name: float(scores[name].mean()) for name in ("bpd", "kl")}
        return {**means, "nats": [round(float(number), 3) for number in nats]}

    own = scored(inlier)
    result: dict[str, Any] = {"inlier": summary(own), **times}
    for title, images in outliers.items():
        other = scored(images)
        result[title] = {
            "auroc": {score: metrics.auroc(own[score], other[score]) for score in own},
            "interval": {score: list(metrics.bootstrap(own[score], other[score], num_resamples=200)) for score in own},
            **summary(other),
        }
    return result


@functools.cache
def tested(images: Any, count: int) -> np.ndarray:
    """The first `count` images of a set, in their own dtype."""
    return np.asarray(images.tables()[0][:count])


@functools.cache
def _complexity(images: Any, count: int) -> np.ndarray:
    return metrics.png_bits_per_dim(tested(images, count))


@functools.partial(jax.jit, static_argnums=0)
def _regret(method: Any, state: Any, x: Any) -> Any:
    return method.regret(jax.random.key(0), state, data.to_float(x))
