"""What judges images: it takes images between 0 and 1, and returns their features and the probabilities of classes."""

import functools
import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import jaxgen
from experiments.common import image_classifier
from jaxgen import methods

__all__ = ["Extractor", "find"]

Extractor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@functools.cache
def find(named: str, train: Any, test: Any, steps: int, runs: pathlib.Path) -> tuple[Extractor, str]:
    """Return what judges images, and how a table calls it.

    Args:
        named: `package.module:function`, or the folder of a saved classifier; empty trains a small one.
        train: what that one learns.
        test: what it is judged on.
        steps: of its training.
        runs: where it is kept.

    Returns:
        The extractor, and its name.

    Raises:
        SystemExit: if what was named cannot be found, or is no classifier.
    """
    if not named:
        look = image_classifier.train(train, test, steps, runs)
        return _logits(look), f"a small classifier trained here, which has {look.accuracy:.1%} of the test images right"
    if pathlib.Path(named).is_dir():
        result = jaxgen.load(named)
        if not isinstance(result.config.method, methods.Classifier):
            raise SystemExit(f"{named} holds a {type(result.config.method).__name__}; name a saved Classifier.")
        return _logits(image_classifier.Judge(result, np.nan)), f"the classifier in {named}"
    module, _, function = named.partition(":")
    try:
        return getattr(importlib.import_module(module), function), named
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(
            f"there is no folder and no function {named} ({error}); name a saved classifier or package.module:function."
        ) from error


def _logits(look: image_classifier.Judge) -> Extractor:
    """Take the logarithms of a classifier's probabilities for its features."""

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = look(images)
        return found, np.exp(found)

    return extract
