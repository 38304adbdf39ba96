"""Table 1 of Csiszarik, Benko and Varga, Negative sampling in variational autoencoders (2019): 28 by 28 pixels.

    python -m experiments.negvae_grayscale                                # one seed, 300 steps: hours on two CPU cores
    python -m experiments.negvae_grayscale --seeds 5 --paper --out experiments/results    # meant for a GPU
    python -m experiments.negvae_grayscale --quick                        # one pair, a few steps

Of three sets one is learned, and the test images of another are to be told from its own; the third gives auxiliary
negatives. The letters stand as TensorFlow Datasets has them, transposed, as in the paper, and `--upright` turns them;
all 124,800 are learned from, where the paper draws 60,000 anew for every epoch.
The paper's two scores are the bits for each dimension and the divergence of the latent law from the prior. Of the
others, `bits less complexity` is the one that is named beforehand as the best that needs no negatives.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import tyro

from experiments import report, strangers
from jaxgen import data, methods

TITLE = "Table 1: strangers among images of 28 by 28 pixels"
SETS = {"fashion": "fashion_mnist", "mnist": "mnist", "letters": "emnist/letters"}
TITLES = {"fashion": "Fashion-MNIST", "mnist": "MNIST", "letters": "Letters"}
SOURCES = {"none": "no negatives", "auxiliary": "auxiliary", "adversarial": "adversarial", "untrained": "untrained"}
NEGATIVES: dict[str, methods.negatives.Negatives] = {
    "auxiliary": methods.Auxiliary(),
    "adversarial": methods.Generated(),
}  # of other rows there are none
# By inlier, stranger and noise model: bits and KL without negatives, with auxiliary and with adversarial ones.
PUBLISHED = {
    ("fashion", "mnist", "bernoulli"): ((0.46, 0.61), (1.00, 1.00), (0.70, 0.88)),
    ("fashion", "mnist", "gaussian"): ((0.98, 0.26), (1.00, 1.00), (0.80, 0.74)),
    ("fashion", "letters", "bernoulli"): ((0.61, 0.68), (0.99, 1.00), (0.78, 0.84)),
    ("fashion", "letters", "gaussian"): ((0.97, 0.38), (1.00, 0.99), (0.85, 0.79)),
    ("mnist", "fashion", "bernoulli"): ((1.00, 0.73), (1.00, 1.00), (1.00, 0.94)),
    ("mnist", "fashion", "gaussian"): ((0.97, 0.71), (1.00, 1.00), (0.98, 0.98)),
    ("mnist", "letters", "bernoulli"): ((0.99, 0.64), (0.99, 0.76), (0.98, 0.89)),
    ("mnist", "letters", "gaussian"): ((0.78, 0.54), (0.93, 0.75), (0.79, 0.74)),
    ("letters", "fashion", "bernoulli"): ((0.98, 0.66), (0.98, 0.54), (0.99, 0.98)),
    ("letters", "fashion", "gaussian"): ((0.80, 0.54), (0.76, 0.49), (0.93, 0.91)),
    ("letters", "mnist", "bernoulli"): ((0.58, 0.37), (0.58, 0.45), (0.73, 0.75)),
    ("letters", "mnist", "gaussian"): ((0.67, 0.36), (0.58, 0.43), (0.65, 0.64)),
}
EPOCHS, EPOCH, TESTED = 100, 1_200, 10_000  # the paper's, of 60,000 images; and test images of each set


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which sets, how many seeds, how long."""

    inliers: tuple[str, ...] = tuple(SETS)
    """Sets to learn."""
    noises: tuple[str, ...] = tuple(strangers.NOISES)
    """Noise models."""
    sources: tuple[str, ...] = tuple(SOURCES)
    """Sources of negatives, and untrained networks."""
    seeds: int = 1
    """How many seeds."""
    first: int = 1
    """The first of them."""
    steps: int = 300
    """Of 50 images and 50 negatives."""
    tested: int = 2_000
    """Test images of each set; the paper has 10,000."""
    upright: bool = False
    """Letters as they are read."""
    paper: bool = False
    """A hundred epochs, 10,000 test images."""
    quick: bool = False
    """A few minutes: Fashion-MNIST, Bernoulli, 20 steps, 200 test images."""
    runs: pathlib.Path = pathlib.Path("runs/negvae_grayscale")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path = pathlib.Path("runs/negvae_grayscale")
    """Where the table goes."""

    def length(self) -> int:
        """Return how many steps are trained."""
        return EPOCHS * EPOCH if self.paper else self.steps

    def asked(self) -> int:
        """Return how many test images of each set are asked about."""
        return TESTED if self.paper else self.tested

    def images(self, name: str, split: str) -> Any:
        """Return a set."""
        images = data.Images(SETS[name], split)
        return strangers.Upright(images) if self.upright and name == "letters" else images


def measured(experiment: Experiment, inlier: str, noise: str, source: str, seed: int) -> dict[str, Any]:
    """Train and ask about every other set; one with auxiliary negatives is asked about the third alone."""
    others = [name for name in SETS if name != inlier]
    found: dict[str, Any] = {}
    # With auxiliary negatives there are two trainings, each asked about the set that it has not seen.
    trained: list[tuple[str, list[str]]] = [("", others)]
    if source == "auxiliary":
        trained = [(auxiliary, [asked]) for auxiliary, asked in itertools.permutations(others)]
    for auxiliary, asked in trained:
        config = strangers.configure(
            experiment.images(inlier, "train"),
            strangers.NOISES[noise],
            NEGATIVES.get(source),
            experiment.images(auxiliary, "train") if auxiliary else None,
            seed,
            experiment.length(),
        )
        cell = strangers.cell(
            config,
            experiment.images(inlier, "test"),
            experiment.images(inlier, "train"),
            {name: experiment.images(name, "test") for name in asked},
            experiment.runs,
            "-".join(filter(None, (inlier, noise, source, auxiliary, str(seed)))),
            experiment.asked(),
            train=source != "untrained",
        )
        found |= {name: cell[name] for name in asked}
    return found


def run(experiment: Experiment) -> report.Table:
    """Train and measure every cell, print the table, and write it."""
    unknown = set(experiment.inliers) - set(SETS) | set(experiment.noises) - set(strangers.NOISES)
    if unknown | (set(experiment.sources) - set(SOURCES)):
        raise SystemExit(
            f"there are only the sets {', '.join(SETS)}, noises {', '.join(strangers.NOISES)} and sources "
            f"{', '.join(SOURCES)}."
        )
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            inliers=experiment.inliers[:1],
            noises=experiment.noises[:1],
            seeds=1,
            paper=False,
            steps=min(experiment.steps, 20),
            tested=min(experiment.tested, 200),
            runs=runs,
            out=runs,
        )
    rows, kept = [], {}
    for inlier, noise in itertools.product(experiment.inliers, experiment.noises):
        for source in experiment.sources:
            cells = []
            for seed in range(experiment.first, experiment.first + experiment.seeds):
                print(f"{TITLES[inlier]}, {noise}, {SOURCES[source]}, seed {seed}", flush=True)
                cells.append(measured(experiment, inlier, noise, source, seed))
            for stranger in cells[0]:
                line = f"{TITLES[inlier]} / {TITLES[stranger]}, {noise}: {SOURCES[source]}"
                place = list(SOURCES).index(source)
                known = PUBLISHED[inlier, stranger, noise]
                paper = dict(zip(("bpd", "kl"), known[place], strict=True)) if place < 3 else {}
                rows.append(report.Row.of(line, [cell[stranger]["auroc"] for cell in cells], strangers.COLUMNS, paper))
                kept[line] = [cell[stranger] for cell in cells]
    steps = experiment.length()
    remark = (
        f"Trained {steps:,} steps of 50 images (the paper: {EPOCHS * EPOCH:,}); {experiment.asked():,} test images of "
        "each set; chance is 0.5. The third set gives auxiliary negatives."
    )
    table = report.Table("negvae_grayscale", TITLE, strangers.COLUMNS, rows, [remark])
    print(f"\n{table}\n")
    table.write(experiment.out, {"cells": kept, "upright": experiment.upright, "steps": steps})
    print(f"written: {experiment.out / 'negvae_grayscale'}.{{json,md}}")
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
