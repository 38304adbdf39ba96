"""Figures of OOD detection: samples, reconstructions, scores, and latent means of inliers and outliers."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import anomaly_metrics, experiment, report, training
from experiments.negvae import ood_evaluation
from jaxgen import data

ACROSS = 8  # images in a line


def draw(
    path: pathlib.Path,
    models: Sequence[ood_evaluation.OODModel],
    outlier: str,
    table: experiment.Experiment,
    count: int,
    seed: int,
) -> None:
    """Draw two rows of three panels for each model: of `count` images of its inliers, and of an OOD set."""
    with report.figure(path, 2 * len(models), 3) as axes:
        for number, model in enumerate(models):
            config = model.resolved(seed)
            result, _ = training.timed(config, table.training_directory(config), train=model.train)
            method, state = training.first_model(result)
            panels = axes[2 * number : 2 * number + 2].ravel()
            sets = model.inlier, model.outliers[outlier]
            inliers, outliers = (ood_evaluation.tested(images, count) for images in sets)
            samples = np.asarray(method.sample(training.fresh_key(seed), state, ACROSS * ACROSS))
            _tile(panels[0], samples, f"{model.title}: samples")
            _tile(panels[1], _with_reconstructions(method, state, inliers), "inliers and reconstructions")
            _tile(panels[2], _with_reconstructions(method, state, outliers), f"{outlier} and reconstructions")
            scores = [anomaly_metrics.scores(result, x, ood_evaluation.ROWS) for x in (inliers, outliers)]
            for axis, score, title in zip(panels[3:5], ("bpd", "kl"), ("bits per dimension", "KL, nats"), strict=True):
                values = [np.log10(np.maximum(each[score], 1e-2)) for each in scores]
                edges = np.linspace(min(map(np.min, values)), max(map(np.max, values)), 50)
                for value, label in zip(values, ("inliers", outlier), strict=True):
                    axis.hist(value, edges, alpha=0.6, label=label)
                axis.set(title=f"log10 of {title}", yticks=[])
            for x, label in ((inliers, "inliers"), (outliers, outlier)):
                mean = method.encode(state, data.to_float(jnp.asarray(x))).mean
                panels[5].scatter(mean[:, 0], mean[:, 1], s=2, label=label)
            panels[5].set(title="first two latent means")
            panels[5].legend(loc="best")


def _with_reconstructions(method: Any, state: Any, x: np.ndarray) -> np.ndarray:
    """Images in every other line, and below each its reconstruction from the latent mean."""
    lines = min(ACROSS // 2, len(x) // ACROSS)
    rows = data.to_float(jnp.asarray(x[: lines * ACROSS]))
    decoded = method.decode(state, method.encode(state, rows).mean)
    pair = [np.asarray(images).reshape(lines, ACROSS, *images.shape[1:]) for images in (rows, decoded)]
    return np.stack(pair, 1).reshape(-1, *rows.shape[1:])


def _tile(axis: Any, images: np.ndarray, title: str) -> None:
    shown = report.tiled(np.round(np.clip(images, 0, 1) * 255).astype(np.uint8), ACROSS)
    axis.imshow(shown, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title)
    axis.axis("off")
