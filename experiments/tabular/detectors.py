"""Outlier scores of table rows by detectors trained on inliers: this library's methods, and scikit-learn's."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

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

__all__ = ["CLASSICAL", "GROUPS", "UNTRAINED", "Group"]

MEMBERS, BATCH = 3, 128  # networks of an ensemble, trained side by side; batch size
AT_ONCE = 4_096  # rows scored at a time
NEIGHBORS = 5  # the distance is that to the last one
ONE = Layout(devices=1)  # the networks are too small to distribute
UNTRAINED = ", untrained"  # suffix of the name of a control
Scores: TypeAlias = dict[str, Float[np.ndarray, " m"]]  # higher for outliers


class Group(NamedTuple):
    """Methods that are trained together.

    Attributes:
        config: `config(split, steps)` returns the configuration of the first training, or None.
        scores: `scores(config, split, seed, directory)` returns scores of the test rows by method.
    """

    config: Callable[[Split, int], jaxgen.Config | None]
    scores: Callable[[Any, Split, int, pathlib.Path], Scores]


def _config(method: Any, rows: Any, n: int, steps: int) -> jaxgen.Config:
    # Splits differ in their rows and in the order of columns: with one root seed, a dataset's program is compiled once.
    size = min(BATCH, n)
    return jaxgen.Config(
        method, rows, steps=steps, batch_size=size, steps_per_call=steps, num_seeds=MEMBERS, layout=ONE
    )


def _trained(
    name: str, score: str, config: jaxgen.Config, test: np.ndarray, directory: pathlib.Path | None = None
) -> tuple[jaxgen.Result, Scores]:
    """Train, and score test rows by the mean of all members, and by one untrained network."""
    result = jaxgen.train(config, progress=False, checkpoint_dir=directory)
    states = [result.state_of(member) for member in range(config.num_seeds)]
    members = [_scored(result.config.method, state, test)[score] for state in states]
    return result, {name: np.mean(members, 0), name + UNTRAINED: _scored(*training.untrained(config), test)[score]}


def _scored(method: Any, state: Any, test: np.ndarray) -> Scores:
    scores = anomaly_metrics.scores(method, state, test, AT_ONCE)
    # A score overflows to NaN only far away from the training rows: such a row is an outlier.
    return {name: np.where(np.isnan(values), np.inf, values.astype(np.float64)) for name, values in scores.items()}


def _flow_config(split: Split, steps: int) -> jaxgen.Config:
    n, d = split.train.shape
    return _config(one_class_models.flow(n, d, steps), data.Arrays(split.train), n, steps)


def _flow(config: jaxgen.Config, split: Split, seed: int, directory: pathlib.Path) -> Scores:
    """Score by a flow's density, and by a discriminator of inliers and outliers that the flow generates."""
    result, scores = _trained("flow", "nll", config, split.test, directory)
    outliers = data.Arrays(one_class_models.outliers(result, split.train, seed))
    discriminator = one_class_models.discriminator(config.steps)
    both = _config(discriminator, data.Zip((config.data, outliers)), len(split.train), config.steps)
    return scores | _trained("discriminator", "logit", both, split.test)[1]


def _energy_config(split: Split, steps: int) -> jaxgen.Config:
    n, d = split.train.shape
    return _config(one_class_models.energy(d, steps), data.Arrays(split.train), n, steps)


def _energy(config: jaxgen.Config, split: Split, seed: int, directory: pathlib.Path) -> Scores:
    return _trained("energy", "score_norm", config, split.test, directory)[1]


def _autoencoder_config(split: Split, steps: int) -> jaxgen.Config:
    n, d = split.train.shape
    rows = data.Arrays(one_class_models.unit_scaled(split.train))
    return _config(one_class_models.autoencoder(d, steps), rows, n, steps)


def _autoencoder(config: jaxgen.Config, split: Split, seed: int, directory: pathlib.Path) -> Scores:
    return _trained("autoencoder", "bpd", config, one_class_models.unit_scaled(split.test), directory)[1]


def _support(random: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return -OneClassSVM().fit(x).decision_function(test)


def _local(random: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return -LocalOutlierFactor(n_neighbors=min(20, len(x) - 1), novelty=True).fit(x).decision_function(test)


def _neighbor(random: np.random.RandomState, x: np.ndarray, test: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    return NearestNeighbors(n_neighbors=NEIGHBORS).fit(x).kneighbors(test)[0][:, -1]


CLASSICAL = {
    "forest": anomaly_metrics.DETECTORS["forest"],
    "support": anomaly_metrics.Detector("one-class SVM", _support),
    "local": anomaly_metrics.Detector("local outlier factor", _local),
    "neighbour": anomaly_metrics.Detector(f"distance of neighbour {NEIGHBORS}", _neighbor),
}


def _classical(config: None, split: Split, seed: int, directory: pathlib.Path) -> Scores:
    return {name: kind.score(np.random.RandomState(seed), *split) for name, kind in CLASSICAL.items()}


def _untrained(split: Split, steps: int) -> None:
    """No configuration: nothing is trained by this library."""


GROUPS = {
    "densities": Group(_flow_config, _flow),
    "energies": Group(_energy_config, _energy),
    "bounds": Group(_autoencoder_config, _autoencoder),
    "classical": Group(_untrained, _classical),
}
