"""How often each class is drawn, as a classifier trained here sees it."""

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
from jaxgen.serialization.config_json import to_json

__all__ = ["Judge", "classes", "frequencies", "log_probabilities", "pixels", "train"]


class Judge(NamedTuple):
    """A trained classifier of images."""

    result: jaxgen.Result
    accuracy: float  # share of the test images that it has right

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logarithm of each class's probability, `[n, classes]`, for images `[n, h, w, c]`."""
        return np.asarray(in_parts(log_probabilities, self.result.config.method, self.result.state_of(0), images))


@functools.partial(jax.jit, static_argnums=0)
def log_probabilities(method: Any, state: Any, x: Any) -> Any:
    """Return the logarithm of each class's probability, `[n, classes]`."""
    return method.log_probabilities(state, x)


def train(train: Any, test: Any, steps: int, runs: pathlib.Path) -> Judge:
    """Train a classifier, or go on with it where it was trained before.

    Args:
        train: image set to learn from.
        test: image set on which its accuracy is measured.
        steps: of 100 images each.
        runs: where it is kept.

    Returns:
        The classifier.
    """
    method = methods.Classifier(learning_rate=Cosine(2e-3, steps))
    config = jaxgen.Config(method, data.Labelled(train), steps=steps, batch_size=100, steps_per_call=steps)
    judge = Judge(jaxgen.train(config, checkpoint_dir=cache.place(runs, "judge", to_json(config))), np.nan)
    labels = test.labels()
    seen = judge(pixels(test, np.arange(len(labels))))
    return judge._replace(accuracy=float((seen.argmax(1) == labels).mean()))


def pixels(images: Any, rows: np.ndarray) -> np.ndarray:
    """Return some rows of an image set between 0 and 1, `[len(rows), h, w, c]`."""
    return np.asarray(data.take(jnp.asarray(images.tables()[0]), jnp.asarray(rows)))


def frequencies(log_probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Compare how often each class is seen with labels.

    Args:
        log_probabilities: what a judge returned, `[n, classes]`.
        labels: `[m]`.

    Returns:
        `variation`, half the sum of absolute differences of the shares; `confidence`, the mean largest probability;
        and `share_0`, ...
    """
    count = log_probabilities.shape[1]
    seen, truth = classes(log_probabilities.argmax(1), count), classes(labels, count)
    return {
        "variation": float(np.abs(seen - truth).sum() / 2),
        "confidence": float(np.exp(log_probabilities.max(1)).mean()),
        **{f"share_{number}": float(share) for number, share in enumerate(seen)},
    }


def classes(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the share of each class among labels, `[count]`."""
    return np.bincount(labels, minlength=count) / len(labels)
