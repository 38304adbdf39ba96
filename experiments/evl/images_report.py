"""Tables and figure of the extreme value networks of images."""

import base64
import pathlib
from typing import Any

import numpy as np

from experiments.common import image_classifier, report
from experiments.evl import grid_metrics, images_models

__all__ = ["DRAWS", "ROWS", "digits", "draw", "nearest"]

DRAWS = 10_000  # by weight, for the frequencies of the digits: as many as there are test images
ROWS = {
    "mean": "the mean training image (chance)",
    "training": "n training images",
    "untrained": "EVL, untrained",
    "ours": "EVL, ours",
    "paper": "EVL, the paper's protocol",
}
COLUMNS = [
    *(report.Column(f"nearest_{n}", f"MSE, n = {n}", 4) for n in images_models.SIZES),
    report.Column("rmse", "RMSE, all"),
    report.Column("cross_entropy", "CE, nats", 2),
    grid_metrics.SECONDS,
]
DIGITS = [
    report.Column("variation", "total variation"),
    *(report.Column(f"share_{digit}", str(digit)) for digit in range(10)),
    report.Column("confidence", "confidence", 2),
    report.Column("ess", "ESS share", 2),
]


def nearest(experiment: Any, found: dict[str, dict[str, list[dict[str, Any]]]]) -> report.Table:
    """Return how far a test image is from the nearest of n guesses."""
    rows = []
    for name, kinds in found.items():
        for row, cells in kinds.items():
            values = {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in COLUMNS}
            rows.append(report.Row(f"{name}: {ROWS[row]}", values, {}, _note(experiment, row, name)))
    remarks = [
        f"Mean squared error per pixel of {images_models.TARGETS:,} test images to the nearest of n; its root for all;",
        f"pixels lie between 0 and 1. CE: cross-entropy at the end of training; ln 512 = {np.log(512):.2f} is chance.",
        "The paper prints no number.",
    ]
    title = "Figures 4 and 5: distance of a test image to the nearest of n guesses"
    return report.Table("evl_images", title, COLUMNS, rows, [" ".join(remarks)])


def _note(experiment: Any, row: str, name: str) -> str:
    count = len(images_models.SETS[name].train.labels())
    if row == "training" and count < experiment.guesses:
        return f"there are {count:,}, so the last column has those."
    if row == "ours":
        epochs = images_models.BATCH * experiment.steps / count
        return (
            f"widths {images_models.WIDTHS} instead of {images_models.PAPER_WIDTHS}, {epochs:.1f} epochs instead of 20."
        )
    return f"{experiment.paper_epochs} of 20 epochs." if row == "paper" else ""


def digits(experiment: Any, found: dict[str, dict[str, list[dict[str, Any]]]]) -> report.Table | None:
    """How often each digit is drawn; None where no set has digits."""
    rows, remarks = [], []
    for name, kinds in found.items():
        truth = image_classifier.classes(images_models.SETS[name].test.labels(), 10)
        for told, shares in (("test labels", truth), ("uniform (chance)", np.full(10, 0.1))):
            known = {f"share_{digit}": [float(share)] for digit, share in enumerate(shares)}
            rows.append(
                report.Row(f"{name}: {told}", {"variation": [float(np.abs(shares - truth).sum() / 2)], **known})
            )
        for row, cells in kinds.items():
            for kind in cells[0].get("digits", {}):
                measured = [cell["digits"][kind] for cell in cells]
                values = {c.name: [m[c.name] for m in measured if c.name in m] for c in DIGITS}
                some = min(DRAWS, experiment.guesses)
                told = f"{some:,} training images (floor)" if row == "training" else f"{ROWS[row]}, {kind}"
                rows.append(report.Row(f"{name}: {told}", values))
            if row == "training":
                accuracy = f"{cells[0]['accuracy']:.2%} of the test images after {experiment.judge_steps:,} steps"
                remarks.append(f"{name}: the classifier that judges is right on {accuracy}.")
    if not rows:
        return None
    remarks += [
        "Total variation: half the sum of absolute differences of the shares from those of the test labels.",
        "Weighted: drawn by weight; unweighted: as guessed. Confidence: the classifier's mean largest probability.",
    ]
    title = f"Digits as a classifier sees them: weighted, of {DRAWS:,} draws; unweighted, of all guesses"
    return report.Table("evl_images_digits", title, DIGITS, rows, [" ".join(remarks)])


def draw(path: pathlib.Path, name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Draw the latent map of each network, how probable each place is, and the distances against n."""
    shown: list[str] = [row for row in ("paper", "ours") if row in found]
    with report.figure(path, len(shown) + 1, 2, size=6.0) as axes:
        for (left, right), row in zip(axes, shown, strict=False):
            kept = found[row][0]["map"]
            times = np.array(kept["times"]).reshape(images_models.SIDE, images_models.SIDE)
            pixels = np.frombuffer(base64.b64decode(kept["pixels"]), np.uint8).reshape(kept["shape"]) / 255
            left.imshow(images_models.mosaic(pixels, times), extent=(-2, 2, 2, -2), interpolation="nearest")
            seen = right.imshow(times, cmap="coolwarm_r", vmin=0, vmax=2, extent=(-2, 2, 2, -2))
            left.figure.colorbar(seen, ax=right, label="probability, in shares of 1/256")
            left.set(title=f"{ROWS[row]}: map of the latent space", xlabel="$z_1$", ylabel="$z_2$")
            right.set(title="how probable each place is: blue high, red low", xlabel="$z_1$", ylabel="$z_2$")
        left, right = axes[-1]
        for row, cells in found.items():
            sizes = [n for n in images_models.SIZES if f"nearest_{n}" in cells[0]]
            curves = np.array([[cell[f"nearest_{n}"] for n in sizes] for cell in cells])
            if row == "mean":
                left.axhline(curves[0, 0], color="grey", linestyle=":", label=ROWS[row])
                continue
            left.plot(sizes, curves.mean(0), "o-", label=ROWS[row])
            if "digits" in cells[0]:
                shares = np.mean([[c["digits"]["weighted"][f"share_{d}"] for d in range(10)] for c in cells], 0)
                right.plot(range(10), shares, "o-", label=ROWS[row])
        left.set(xscale="log", xlabel="n", title="MSE of a test image to the nearest of n")
        left.legend()
        if images_models.SETS[name].digits:
            right.plot(
                range(10),
                image_classifier.classes(images_models.SETS[name].test.labels(), 10),
                "k--",
                label="test labels",
            )
            right.set(title="share of each digit, drawn by weight", xlabel="digit", ylim=(0, None))
            right.legend()
        else:
            right.axis("off")
