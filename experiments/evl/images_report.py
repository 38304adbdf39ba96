"""Tables and figure of the extreme value networks of images."""

import base64
import dataclasses
import pathlib
from typing import Any

import numpy as np

from experiments.common import image_classifier, report
from experiments.common.experiment import Results
from experiments.evl import grid_metrics, images_models

DRAWS = 10_000  # by weight, for the frequencies of the digits; their number is that of the test images
ROW_TITLES = {
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
DIGIT_COLUMNS = [
    report.Column("variation", "total variation"),
    *(report.Column(f"share_{digit}", str(digit)) for digit in range(10)),
    report.Column("confidence", "confidence", 2),
    report.Column("ess", "ESS share", 2),
]


def nearest(experiment: Any, by_set: dict[str, Results]) -> report.Table:
    """Return the table of distances of test images to the nearest of n guesses."""
    rows = []
    for name, kinds in by_set.items():
        for row, cells in kinds.items():
            line = report.Row.of(f"{name}: {ROW_TITLES[row]}", cells, COLUMNS)
            rows.append(dataclasses.replace(line, note=_note(experiment, row, name)))
    remarks = [
        f"Mean squared error per pixel of {images_models.TARGETS:,} test images to the nearest of n; its root for all;",
        f"pixels lie between 0 and 1. CE: cross-entropy at the end of training; ln 512 = {np.log(512):.2f} is chance.",
        "The paper prints no number.",
    ]
    title = "Figures 4 and 5: distance of a test image to the nearest of n guesses"
    return report.Table("images", title, COLUMNS, rows, [" ".join(remarks)])


def _note(experiment: Any, row: str, name: str) -> str:
    count = len(images_models.IMAGE_SETS[name].train.labels())
    if row == "training" and count < experiment.guesses:
        return f"there are {count:,}, so the last column has those."
    if row == "ours":
        widths, epochs = images_models.WIDTHS, images_models.BATCH * experiment.steps / count
        return f"widths {widths} instead of {images_models.PAPER_WIDTHS}, {epochs:.1f} epochs instead of 20."
    return f"{experiment.paper_epochs} of 20 epochs." if row == "paper" else ""


def digits(experiment: Any, by_set: dict[str, Results]) -> report.Table | None:
    """Return the table of the frequencies of digits; None where no set has digits."""
    rows, remarks = [], []
    for name, kinds in by_set.items():
        truth = image_classifier.classes(images_models.IMAGE_SETS[name].test.labels(), 10)
        for label, shares in (("test labels", truth), ("uniform (chance)", np.full(10, 0.1))):
            values = {f"share_{digit}": [float(share)] for digit, share in enumerate(shares)}
            variation = float(np.abs(shares - truth).sum() / 2)
            rows.append(report.Row(f"{name}: {label}", {"variation": [variation], **values}))
        for row, cells in kinds.items():
            for kind in cells[0].get("digits", {}):
                measured = [cell["digits"][kind] for cell in cells]
                values = {c.name: [m[c.name] for m in measured if c.name in m] for c in DIGIT_COLUMNS}
                some = min(DRAWS, experiment.guesses)
                label = f"{some:,} training images (floor)" if row == "training" else f"{ROW_TITLES[row]}, {kind}"
                rows.append(report.Row(f"{name}: {label}", values))
            if row == "training":
                accuracy = f"{cells[0]['accuracy']:.2%} of the test images after {experiment.classifier_steps:,} steps"
                remarks.append(f"{name}: the classifier is right on {accuracy}.")
    if not rows:
        return None
    remarks += [
        "Total variation: half the sum of absolute differences of the shares from those of the test labels.",
        "Weighted: sampled by weight; unweighted: all guesses. Confidence: the classifier's mean largest probability.",
    ]
    title = f"Digits according to a classifier: weighted, of {DRAWS:,} samples; unweighted, of all guesses"
    return report.Table("images_digits", title, DIGIT_COLUMNS, rows, [" ".join(remarks)])


def draw(path: pathlib.Path, name: str, results: Results) -> None:
    """Draw the latent map and its probabilities for each network, and the distances against n."""
    shown: list[str] = [row for row in ("paper", "ours") if row in results]
    images = images_models.IMAGE_SETS[name]
    with report.figure(path, len(shown) + 1, 2, size=6.0) as axes:
        for (left, right), row in zip(axes, shown, strict=False):
            kept = results[row][0]["map"]
            times = np.array(kept["times"]).reshape(images_models.SIDE, images_models.SIDE)
            pixels = np.frombuffer(base64.b64decode(kept["pixels"]), np.uint8).reshape(kept["shape"]) / 255
            left.imshow(images_models.mosaic(pixels, times), extent=(-2, 2, 2, -2), interpolation="nearest")
            image = right.imshow(times, cmap="coolwarm_r", vmin=0, vmax=2, extent=(-2, 2, 2, -2))
            left.figure.colorbar(image, ax=right, label="probability, in shares of 1/256")
            left.set(title=f"{ROW_TITLES[row]}: map of the latent space", xlabel="$z_1$", ylabel="$z_2$")
            right.set(title="probability of each place: blue high, red low", xlabel="$z_1$", ylabel="$z_2$")
        left, right = axes[-1]
        for row, cells in results.items():
            sizes = [n for n in images_models.SIZES if f"nearest_{n}" in cells[0]]
            curves = np.array([[cell[f"nearest_{n}"] for n in sizes] for cell in cells])
            if row == "mean":
                left.axhline(curves[0, 0], color="grey", linestyle=":", label=ROW_TITLES[row])
                continue
            left.plot(sizes, curves.mean(0), "o-", label=ROW_TITLES[row])
            if "digits" in cells[0]:
                shares = np.mean([[c["digits"]["weighted"][f"share_{d}"] for d in range(10)] for c in cells], 0)
                right.plot(range(10), shares, "o-", label=ROW_TITLES[row])
        left.set(xscale="log", xlabel="n", title="MSE of a test image to the nearest of n")
        left.legend()
        if images.digits:
            right.plot(range(10), image_classifier.classes(images.test.labels(), 10), "k--", label="test labels")
            right.set(title="share of each digit, drawn by weight", xlabel="digit", ylim=(0, None))
            right.legend()
