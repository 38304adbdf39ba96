"""Image classifier that is trained here, and the class frequencies of generated images according to it."""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache
from experiments.common.batching import in_parts
from jaxgen import data, methods
from jaxgen.optim import Cosine

__all__ = ["Judge", "classes", "frequencies", "log_probabilities", "pixels", "train"]


class Judge(NamedTuple):
    """A trained image classifier."""

    result: jaxgen.Result
    accuracy: float  # on the test images

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Log-probabilities of the classes, `[n, classes]`, of images `[n, h, w, c]` between 0 and 1."""
        return np.asarray(in_parts(log_probabilities, self.result.config.method, self.result.state_of(0), images))


@functools.partial(jax.jit, static_argnums=0)
def log_probabilities(method: Any, state: Any, x: Any) -> Any:
    """Log-probabilities of the classes, `[n, classes]`; compiled once for each method."""
    return method.log_probabilities(state, x)


def train(train: Any, test: Any, steps: int, runs: pathlib.Path) -> Judge:
    """Train a classifier, or load or resume it from an earlier run.

    Args:
        train: labeled image set to train on.
        test: labeled image set to measure the accuracy on.
        steps: training steps, of 100 images each.
        runs: directory of checkpoints.

    Returns:
        The classifier and its accuracy.
    """
    method = methods.Classifier(learning_rate=Cosine(2e-3, steps))
    config = jaxgen.Config(method, data.Labeled(train), steps=steps, batch_size=100, steps_per_call=steps)
    place = cache.place(runs, "classifier", jaxgen.to_json(config))
    classifier = Judge(jaxgen.train(config, checkpoint_dir=place), np.nan)
    labels = test.labels()
    log_p = classifier(pixels(test, np.arange(len(labels))))
    return classifier._replace(accuracy=float((log_p.argmax(1) == labels).mean()))


def pixels(images: Any, rows: np.ndarray) -> np.ndarray:
    """Return the images of an image set at the indices `rows`, between 0 and 1, `[len(rows), h, w, c]`."""
    return np.asarray(data.take(jnp.asarray(images.tables()[0]), jnp.asarray(rows)))


def frequencies(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compare the frequencies of predicted classes with those of labels.

    Args:
        log_probabilities: a classifier's output, `[n, classes]`.
        labels: `[m]`.

    Returns:
        `variation`, the total variation distance of the frequencies; `confidence`, the mean max softmax probability;
        and `share_0`, `share_1`, ..., the frequencies of predicted classes.
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
