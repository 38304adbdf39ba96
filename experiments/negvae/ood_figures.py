"""What autoencoders make of images, and where they see those of another set: the pictures beside the tables."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import anomaly_metrics, report, training
from experiments.negvae import ood_evaluation
from jaxgen import data

__all__ = ["drawn"]

ACROSS = 8  # images in a line


def drawn(
    path: pathlib.Path, models: Sequence[ood_evaluation.Asked], stranger: str, runs: pathlib.Path, count: int, seed: int
) -> None:
    """Draw a line for each model: samples, reconstructions, how its two scores lie, and two latent coordinates.

    Args:
        path: a PNG file.
        models: trained or not.
        stranger: the set that is drawn beside the inliers.
        runs: where checkpoints are kept.
        count: images of each set that are scored and mapped.
        seed: of the training.
    """
    with report.figure(path, len(models), 6, size=2.6) as axes:
        for line, asked in zip(axes, models, strict=True):
            method, state, _ = ood_evaluation.model(asked, runs, seed)
            own, other = (ood_evaluation.tested(images, count) for images in (asked.inlier, asked.strangers[stranger]))
            samples = np.asarray(method.sample(training.fresh_key(seed), state, ACROSS * ACROSS))
            _tile(line[0], samples, f"{asked.title}\nsamples")
            _tile(line[1], _reconstructed(method, state, own), "inliers, and what is made of them")
            _tile(line[2], _reconstructed(method, state, other), f"{stranger}, and what is made of it")
            found = [anomaly_metrics.scores(method, state, x, ood_evaluation.ROWS) for x in (own, other)]
            for axis, (score, told) in zip(
                line[3:5], (("bpd", "bits for each dimension"), ("kl", "KL, nats")), strict=True
            ):
                values = [np.log10(np.maximum(scores[score], 1e-2)) for scores in found]
                edges = np.linspace(min(map(np.min, values)), max(map(np.max, values)), 50)
                for value, label in zip(values, ("inliers", stranger), strict=True):
                    axis.hist(value, edges, alpha=0.6, label=label)
                axis.set_title(f"log10 of {told}", fontsize=7)
                axis.set_yticks([])
            for x, label in ((own, "inliers"), (other, stranger)):
                mean = method.encode(state, data.to_float(jnp.asarray(x))).mean
                line[5].scatter(mean[:, 0], mean[:, 1], s=2, label=label)
            line[5].set_title("first two latent means", fontsize=7)
            line[5].legend(loc="best", fontsize=6)


def _reconstructed(method: Any, state: Any, x: np.ndarray) -> np.ndarray:
    """Images in every other line, and below each what is decoded of its latent mean."""
    lines = min(ACROSS // 2, len(x) // ACROSS)
    rows = data.to_float(jnp.asarray(x[: lines * ACROSS]))
    made = method.decode(state, method.encode(state, rows).mean)
    pair = [np.asarray(images).reshape(lines, ACROSS, *images.shape[1:]) for images in (rows, made)]
    return np.stack(pair, 1).reshape(-1, *rows.shape[1:])


def _tile(axis: Any, images: np.ndarray, title: str) -> None:
    shown = report.tiled(np.round(np.clip(images, 0, 1) * 255).astype(np.uint8), ACROSS)
    axis.imshow(shown, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title, fontsize=7)
    axis.axis("off")
