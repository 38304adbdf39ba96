"""Scores of a table's rows by what learned from inliers alone: this library's methods, and scikit-learn's detectors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

import jaxgen
from experiments.common import anomaly_metrics, training
from experiments.tabular import one_class_models
from experiments.tabular.adbench_data import Split
from jaxgen import data
from jaxgen.parallel import Layout
from jaxgen.serialization.config_json import to_json

__all__ = ["CLASSICAL", "GROUPS", "UNTRAINED", "Group"]

MEMBERS, BATCH = 3, 128  # networks that are trained side by side, whose mean scores; rows of a minibatch
AT_ONCE = 4_096  # rows that are scored together
NEIGHBOURS = 5  # the last of which tells a distance
ONE = Layout(devices=1)  # the networks are small
UNTRAINED = ", untrained"  # behind the name of a method, its control
Scores = dict[str, Float[np.ndarray, " m"]]


class Group(NamedTuple):
    """Methods that are trained together.

    Attributes:
        settings: takes numbers of rows and of dimensions, and steps; returns what the scores depend on besides.
        scores: takes a split, a seed and steps; returns scores of the test rows by method, higher for outliers.
    """

    settings: Callable[[int, int, int], list[Any]]
    scores: Callable[[Split, int, int], Scores]


def _config(method: Any, rows: Any, n: int, steps: int) -> jaxgen.Config:
    # Seeds differ in their rows and in the order of columns: with one root for all, a set's program is compiled once.
    size = min(BATCH, n)
    return jaxgen.Config(
        method, rows, steps=steps, batch_size=size, steps_per_call=steps, num_seeds=MEMBERS, layout=ONE
    )


def _learned(name: str, score: str, config: jaxgen.Config, test: np.ndarray) -> tuple[jaxgen.Result, Scores]:
    """Train, and score test rows by the mean of all members, and by one that is untrained."""
    result = jaxgen.train(config, progress=False)
    states = [result.state_of(member) for member in range(config.num_seeds)]
    each = [_counted(result.config.method, state, test)[score] for state in states]
    return result, {name: np.mean(each, 0), name + UNTRAINED: _counted(*training.untrained(config), test)[score]}


def _counted(method: Any, state: Any, test: np.ndarray) -> Scores:
    found = anomaly_metrics.scores(method, state, test, AT_ONCE)
    # So far out that a score overflowed, a row is an outlier.
    return {name: np.where(np.isnan(scores), np.inf, scores.astype(np.float64)) for name, scores in found.items()}


def _densities(split: Split, seed: int, steps: int) -> Scores:
    x, rows = split.train, data.Arrays(split.train)
    flow = one_class_models.flow(len(x), x.shape[1], steps)
    result, scores = _learned("flow", "nll", _config(flow, rows, len(x), steps), split.test)
    drawn = data.Zip((rows, data.Arrays(one_class_models.outliers(result, x, seed))))
    config = _config(one_class_models.discriminator(steps), drawn, len(x), steps)
    return scores | _learned("discriminator", "logit", config, split.test)[1]


def _energies(split: Split, seed: int, steps: int) -> Scores:
    n, d = split.train.shape
    config = _config(one_class_models.energy(d, steps), data.Arrays(split.train), n, steps)
    return _learned("energy", "score_norm", config, split.test)[1]


def _bounds(split: Split, seed: int, steps: int) -> Scores:
    n, d = split.train.shape
    rows = data.Arrays(one_class_models.ranged(split.train))
    config = _config(one_class_models.autoencoder(d, steps), rows, n, steps)
    return _learned("autoencoder", "bpd", config, one_class_models.ranged(split.test))[1]


def _support(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return -OneClassSVM().fit(x).decision_function(test)


def _local(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return -LocalOutlierFactor(n_neighbors=min(20, len(x) - 1), novelty=True).fit(x).decision_function(test)


def _neighbour(chance: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return NearestNeighbors(n_neighbors=NEIGHBOURS).fit(x).kneighbors(test)[0][:, -1]


CLASSICAL = {
    "forest": anomaly_metrics.DETECTORS["forest"],
    "support": anomaly_metrics.Detector("one-class SVM", _support),
    "local": anomaly_metrics.Detector("local outlier factor", _local),
    "neighbour": anomaly_metrics.Detector(f"distance of neighbour {NEIGHBOURS}", _neighbour),
}


def _classical(split: Split, seed: int, steps: int) -> Scores:
    return {name: kind.score(np.random.RandomState(seed), *split) for name, kind in CLASSICAL.items()}


def _settings(*made: Any) -> list[Any]:
    return [MEMBERS, BATCH, *map(to_json, made)]


GROUPS = {
    "densities": Group(
        lambda n, d, steps: [
            *_settings(
                one_class_models.flow(n, d, steps), one_class_models.discriminator(steps), one_class_models.radii
            ),
            *(one_class_models.OUTLIERS, one_class_models.BEYOND, one_class_models.WIDE, one_class_models.FARTHEST),
        ],
        _densities,
    ),
    "energies": Group(lambda n, d, steps: ["score_norm", *_settings(one_class_models.energy(d, steps))], _energies),
    "bounds": Group(
        lambda n, d, steps: _settings(one_class_models.autoencoder(d, steps), one_class_models.WIDTH), _bounds
    ),
    "classical": Group(lambda n, d, steps: [NEIGHBOURS], _classical),
}
