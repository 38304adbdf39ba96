"""Feature extractors: functions of images between 0 and 1 that return features and class probabilities."""

import functools
import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

import jaxgen
from experiments.common import image_classifier
from jaxgen import methods

Extractor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@functools.cache
def find(name: str, train: Any, test: Any, steps: int, runs: pathlib.Path) -> tuple[Extractor, str]:
    """Import or load a feature extractor, or train a small classifier as one; return it and its title.

    `name` is `package.module:function`, or the directory of a saved classifier; empty trains a small classifier.
    """
    if not name:
        classifier = image_classifier.train(train, test, steps, runs)
        return _logits(classifier), f"a small classifier trained here (test accuracy {classifier.accuracy:.1%})"
    if pathlib.Path(name).is_dir():
        result = jaxgen.load(name, trusted=("experiments",))
        if not isinstance(result.config.method, methods.Classifier):
            method = type(result.config.method).__name__
            raise SystemExit(f"extractor must be a saved Classifier (got a {method} in {name}).")
        return _logits(image_classifier.ImageClassifier(result, np.nan)), f"the classifier in {name}"
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function), name
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(
            f"extractor must be package.module:function or the directory of a saved classifier (got {name}: {error})."
        ) from error


def _logits(classifier: image_classifier.ImageClassifier) -> Extractor:
    """Use a classifier's log-probabilities as features."""

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_p = classifier(images)
        return log_p, np.exp(log_p)

    return extract
