"""Outlier scores of test rows by detectors with their default settings: this library's, scikit-learn's and PyOD's."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

import jaxgen
from experiments.tabular.adbench_data import Split

NEIGHBORS = 5  # the distance is that to the last one, as in PyOD's KNN
Scores: TypeAlias = dict[str, Float[np.ndarray, " m"]]  # of test rows, by detector; higher for outliers

DETECTORS = {
    "default": "**`Detector()`**",
    "neighbor": f"distance to neighbor {NEIGHBORS}",
    "local": "local outlier factor",
    "forest": "isolation forest",
    "support": "one-class SVM",
    "gaussian": "one Gaussian",
    "ECOD": "PyOD's ECOD",
    "COPOD": "PyOD's COPOD",
    "HBOS": "PyOD's HBOS",
    "PCA": "PyOD's PCA",
    "KNN": "PyOD's KNN",
    "AutoEncoder": "PyOD's AutoEncoder",
    "DeepSVDD": "PyOD's DeepSVDD",
}
CONTROLS = {
    "untrained": "`Detector()` with untrained flows",
    "flows": "its flows alone",
    "neighbors": "its neighbors alone",
}


def default(split: Split, seed: int) -> Scores:
    """Score by `jaxgen.Detector()`, by the same with untrained flows, and by each of its two parts alone."""
    fitted = jaxgen.Detector(random_state=seed).fit(split.train)
    untrained = dataclasses.replace(fitted.result_.config.method, learning_rate=0.0)
    options = {"steps": 1, "num_seeds": fitted.result_.config.num_seeds, "neighbors": fitted.blend_.num_neighbors}
    control = jaxgen.Detector(untrained, random_state=seed, **options).fit(split.train)
    scaled = np.asarray(fitted.scaler_.transform(split.test), np.float32)
    return {
        "default": -fitted.score_samples(split.test),
        "untrained": -control.score_samples(split.test),
        "flows": np.mean(np.asarray(fitted.result_.scores(scaled)["nll"], np.float64), 0),
        "neighbors": fitted.blend_.distances(scaled),
    }


def scikit_learn(split: Split, seed: int) -> Scores:
    """Score by five detectors of scikit-learn, with their defaults except where a detector needs a number of rows."""
    train, test = split.train, split.test
    gaussian = LedoitWolf().fit(train.astype(np.float64))
    local = LocalOutlierFactor(n_neighbors=min(20, len(train) - 1), novelty=True).fit(train)
    return {
        "neighbor": NearestNeighbors(n_neighbors=NEIGHBORS).fit(train).kneighbors(test)[0][:, -1],
        "local": -local.decision_function(test),
        "forest": -IsolationForest(random_state=seed).fit(train).score_samples(test),
        "support": -OneClassSVM().fit(train).decision_function(test),
        "gaussian": gaussian.mahalanobis(test.astype(np.float64)),
    }


def pyod(split: Split, seed: int) -> Scores:
    """Score by seven detectors of PyOD, with their defaults."""
    from pyod.models import auto_encoder, copod, deep_svdd, ecod, hbos, knn, pca

    models: dict[str, Any] = {
        "ECOD": ecod.ECOD(),
        "COPOD": copod.COPOD(),
        "HBOS": hbos.HBOS(),
        "PCA": pca.PCA(random_state=seed),
        "KNN": knn.KNN(),
        "AutoEncoder": auto_encoder.AutoEncoder(random_state=seed, verbose=0),
        "DeepSVDD": deep_svdd.DeepSVDD(split.train.shape[1], random_state=seed, verbose=0),
    }
    train, test = split.train.astype(np.float64), split.test.astype(np.float64)
    return {name: np.asarray(model.fit(train).decision_function(test)) for name, model in models.items()}


Group: TypeAlias = Callable[[Split, int], Scores]
GROUPS: dict[str, Group] = {"PyOD": pyod, "scikit-learn": scikit_learn, "default": default}
