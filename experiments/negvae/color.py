"""Table 2 of Csiszarik, Benko and Varga (2019): CIFAR-10 and SVHN, and two harder strangers.

    python -m experiments.negvae.color                           # 400 steps each: an hour a seed on one CPU core
    python -m experiments.negvae.color --num-seeds 5 --paper --output-dir experiments/results         # meant for a GPU
    python -m experiments.negvae.color --quick                   # the first noise model, a few steps each

The paper's auxiliary images are ImageNet's at 32 by 32; here they are CIFAR-100's, from the collection that CIFAR-10 is
from and so nearer to it. Models of CIFAR-10 that were never shown those are asked about them too, and all models about
their own test images in a mirror and about images they were trained on: who tells these from test images has learned
them by heart.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import tyro

import jaxgen
from experiments.common import report
from experiments.negvae import ood_evaluation, ood_table
from experiments.negvae.grayscale import NEGATIVES, SOURCES
from jaxgen import data, methods
from jaxgen.optim import Cosine

TITLE = "Table 2: strangers among colour images of 32 by 32 pixels"
SETS = {"cifar10": "cifar10", "svhn": "svhn_cropped", "cifar100": "cifar100"}
TITLES = {"cifar10": "CIFAR-10", "svhn": "SVHN", "cifar100": "CIFAR-100"}
NOISES = {**ood_evaluation.NOISES, "quantised": methods.DequantizedGaussian()}
# By inlier and noise model: bits and KL without negatives, with auxiliary and with adversarial ones.
PUBLISHED = {
    ("cifar10", "bernoulli"): ((0.59, 0.29), (0.90, 0.90), (0.81, 0.81)),
    ("cifar10", "gaussian"): ((0.25, 0.25), (0.93, 0.93), (0.84, 0.84)),
    ("cifar10", "quantised"): ((0.19, 0.28), (0.92, 0.92), (0.82, 0.82)),
    ("svhn", "bernoulli"): ((0.51, 0.87), (1.00, 1.00), (None, 0.70)),
    ("svhn", "gaussian"): ((0.92, 0.74), (1.00, 1.00), (None, 0.74)),
}
EPOCHS = {"adversarial": 300}  # the paper's, where not 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ood_table.Experiment):
    """Which sets, and how much of them."""

    inliers: tuple[str, ...] = ("cifar10", "svhn")
    """Sets to learn."""
    noises: tuple[str, ...] = tuple(NOISES)
    """Noise models; the paper has the quantised one for CIFAR-10 alone."""
    sources: tuple[str, ...] = tuple(SOURCES)
    """Sources of negatives, and untrained networks."""
    steps: int = 400
    """Of 50 images and 50 negatives."""
    rate: float | None = None
    """First learning rate, which falls to zero along half a cosine; by default 1e-4 throughout, as in the paper."""
    fitted: int = 50
    """Test images to which latent laws are fitted in a hundred steps, for likelihood regret."""


def models(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """Return what is asked about what."""
    for inlier, noise, source in itertools.product(experiment.inliers, experiment.noises, experiment.sources):
        if (inlier, noise) not in PUBLISHED:
            continue
        test = data.Images(SETS[inlier], "test")
        train = data.Images(SETS[inlier])
        other = "svhn" if inlier == "cifar10" else "cifar10"
        asked = {TITLES[other]: data.Images(SETS[other], "test")}
        if source != "auxiliary" and inlier == "cifar10":  # SVHN's are kept for `negvae.ablations`
            asked["CIFAR-100"] = data.Images("cifar100", "test")
        place = list(SOURCES).index(source)
        printed = PUBLISHED[inlier, noise][place] if place < 3 else ()
        yield ood_evaluation.Asked(
            f"{TITLES[inlier]}, {noise}, {SOURCES[source]}",
            f"{inlier}-{noise}-{source}",
            functools.partial(configure, experiment, inlier, noise, source),
            test,
            train,
            {
                **asked,
                "its mirror image": ood_evaluation.Turned(test, ood_evaluation.mirrored),
                "its training images": train,
            },
            {TITLES[other]: {name: number for name, number in zip(("bpd", "kl"), printed, strict=False) if number}},
            train=source != "untrained",
        )


def configure(experiment: Experiment, inlier: str, noise: str, source: str, seed: int) -> jaxgen.Config:
    """Return what is trained: the released networks, and Adam."""
    steps = experiment.length(EPOCHS.get(source, 100), ood_table.COLOUR_EPOCH)
    method = methods.NegativeSamplingVAE(
        observation_model=NOISES[noise],
        negatives=NEGATIVES.get(source),
        num_importance_samples=ood_evaluation.IMPORTANCE,
        learning_rate=1e-4 if experiment.rate is None else Cosine(experiment.rate, steps),
    )
    others = data.Images("cifar100") if source == "auxiliary" else None
    return ood_evaluation.configure(method, data.Images(SETS[inlier]), seed, steps, others)


def run(experiment: Experiment) -> report.Table:
    """Train and measure every cell, print the table, and write it."""
    for asked, known in (
        (experiment.inliers, ("cifar10", "svhn")),
        (experiment.noises, NOISES),
        (experiment.sources, SOURCES),
    ):
        if unknown := set(asked) - set(known):
            raise SystemExit(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(known)}.")
    if not any(pair in PUBLISHED for pair in itertools.product(experiment.inliers, experiment.noises)):
        raise SystemExit("the quantised noise model is measured for cifar10 alone; ask for another, or for cifar10.")
    if experiment.quick:
        experiment = experiment.hurried(noises=experiment.noises[:1])
    counts = {name: [len(data.Images(SETS[name], split).tables()[0]) for split in ("train", "test")] for name in SETS}
    common = set.intersection(
        *({image.tobytes() for image in data.Images("cifar100", split).tables()[0]} for split in ("train", "test"))
    )
    told = "; ".join(f"{TITLES[name]} {train:,} and {test:,}" for name, (train, test) in counts.items())
    steps = experiment.length(epoch=ood_table.COLOUR_EPOCH)
    rate = "" if experiment.rate is None else f" at a rate that falls from {experiment.rate:g} (the paper's: 0.0001)"
    remarks = [
        f"Trained {steps:,} steps of 50 images (the paper: 100,000, and 300,000 with adversarial negatives){rate}. "
        f"Images to learn from and to test with: {told} (whole: 50,000 and 10,000; SVHN 73,257 and 26,032). "
        "CIFAR-100 gives auxiliary negatives in the place of ImageNet; its two sets have "
        f"{len(common):,} images in common.",
    ]
    pictures = {}
    for inlier, noise in itertools.product(experiment.inliers, experiment.noises):
        listed = models(dataclasses.replace(experiment, inliers=(inlier,), noises=(noise,)))
        pictures[f"{inlier}-{noise}"] = [asked for asked in listed if asked.train]
    return ood_table.tabulated("negvae_color", TITLE, list(models(experiment)), experiment, remarks, pictures)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
