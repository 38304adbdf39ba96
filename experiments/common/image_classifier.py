"""Image classifier that is trained here, and the class frequencies of generated images according to it."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, training
from jaxgen import data, methods
from jaxgen.optim import Cosine
from jaxgen.training.batching import score_in_pieces

BATCH_SIZE = 512  # images that are classified at a time


class ImageClassifier(NamedTuple):
    """A trained image classifier."""

    result: jaxgen.Result
    accuracy: float  # on the test images

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Log-probabilities of the classes, `[n, classes]`, of images `[n, h, w, c]` between 0 and 1."""
        return log_probabilities(self.result, images)


def log_probabilities(result: jaxgen.Result, x: np.ndarray) -> np.ndarray:
    """Log-probabilities `[n, classes]` of samples `[n, ...]`, by the first seed's classifier."""
    method, state = training.first_model(result)
    return score_in_pieces(lambda piece: _log_probabilities(method, state, piece)[None], x, BATCH_SIZE)[0]


@functools.partial(jax.jit, static_argnums=0)  # compiled once for each method
def _log_probabilities(method: Any, state: Any, x: Any) -> Any:
    return method.log_probabilities(state, x)


@functools.cache
def train(train: Any, test: Any, steps: int, runs: pathlib.Path) -> ImageClassifier:
    """Train a classifier on 100 labeled images a step and measure its accuracy, or load it from `runs`."""
    method = methods.Classifier(learning_rate=Cosine(2e-3, steps))
    config = jaxgen.Config(method, data.Labeled(train), steps=steps, batch_size=100, steps_per_call=steps)
    place = runs / f"classifier-{cache.digest(jaxgen.to_json(config))}"
    classifier = ImageClassifier(jaxgen.train(config, checkpoint_dir=place), np.nan)
    labels = test.labels()
    log_p = classifier(pixels(test, np.arange(len(labels))))
    return classifier._replace(accuracy=float((log_p.argmax(1) == labels).mean()))


def measure_accuracy(classifier: tuple[Any, Any, int, pathlib.Path], directory: pathlib.Path) -> dict[str, float]:
    """Measurement of a cell: the accuracy of the classifier with these arguments of `train`."""
    return {"accuracy": train(*classifier).accuracy}


def pixels(images: Any, rows: np.ndarray) -> np.ndarray:
    """Return the images of an image set at the indices `rows`, between 0 and 1, `[len(rows), h, w, c]`."""
    return np.asarray(data.take(jnp.asarray(images.tables()[0]), jnp.asarray(rows)))


def frequencies(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compare the frequencies of predicted classes, `share_0` and so on, with those of labels.

    `variation` is their total variation distance, and `confidence` the mean max softmax probability.
    """
    count = log_probabilities.shape[1]
    predicted, expected = classes(log_probabilities.argmax(1), count), classes(labels, count)
    return {
        "variation": float(np.abs(predicted - expected).sum() / 2),
        "confidence": float(np.exp(log_probabilities.max(1)).mean()),
        **{f"share_{number}": float(share) for number, share in enumerate(predicted)},
    }


def classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Frequency of each class among labels, `[count]`."""
    return np.bincount(labels, minlength=count) / len(labels)
