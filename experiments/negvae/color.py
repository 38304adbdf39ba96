"""Table 2 of Csiszarik, Benko and Varga (2019): CIFAR-10 and SVHN, and two harder OOD sets.

    python -m experiments.negvae.color                           # 400 steps each: an hour a seed on one CPU core
    python -m experiments.negvae.color --num-seeds 5 --paper --output-dir experiments/results/negvae   # for a GPU
    python -m experiments.negvae.color --quick                   # the first observation model, a few steps each

The paper's auxiliary images are ImageNet's at 32 by 32. Here they are CIFAR-100's, which come from the same collection
as CIFAR-10 and are closer to it. Models of CIFAR-10 that did not train on CIFAR-100 are evaluated on it too. All models
are evaluated on mirrored test images, and on their training images: an AUROC other than 0.5 there means memorization.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Results
from experiments.negvae import ood_evaluation, ood_table
from experiments.negvae.grayscale import NEGATIVES, SOURCES
from jaxgen import data, methods
from jaxgen.optim import Cosine

TITLE = "Table 2: OOD color images of 32 by 32 pixels"
SETS = {"cifar10": "cifar10", "svhn": "svhn_cropped", "cifar100": "cifar100"}
TITLES = {"cifar10": "CIFAR-10", "svhn": "SVHN", "cifar100": "CIFAR-100"}
NOISES = {**ood_evaluation.NOISES, "quantized": methods.DequantizedGaussian()}
# By inlier set and observation model: bits and KL without negatives, with auxiliary and with adversarial ones.
PUBLISHED = {
    ("cifar10", "bernoulli"): ((0.59, 0.29), (0.90, 0.90), (0.81, 0.81)),
    ("cifar10", "gaussian"): ((0.25, 0.25), (0.93, 0.93), (0.84, 0.84)),
    ("cifar10", "quantized"): ((0.19, 0.28), (0.92, 0.92), (0.82, 0.82)),
    ("svhn", "bernoulli"): ((0.51, 0.87), (1.00, 1.00), (None, 0.70)),
    ("svhn", "gaussian"): ((0.92, 0.74), (1.00, 1.00), (None, 0.74)),
}
EPOCHS = {"adversarial": 300}  # the paper's, where not 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ood_table.Experiment):
    """Sets, observation models, sources of negatives, and size."""

    inliers: tuple[str, ...] = ("cifar10", "svhn")  # sets to learn
    noises: tuple[str, ...] = tuple(NOISES)  # observation models; the paper has the quantized one for CIFAR-10 alone
    sources: tuple[str, ...] = tuple(SOURCES)  # sources of negatives, and untrained networks
    steps: int = 400  # of 50 images and 50 negatives
    # First learning rate, which falls to zero along half a cosine; by default 1e-4 throughout, as in the paper.
    rate: float | None = None
    fitted: int = 50  # test images to which a posterior is fitted in a hundred steps, for likelihood regret

    name = "negvae/color"
    choices = {"inliers": ("cifar10", "svhn"), "noises": NOISES, "sources": SOURCES}
    small = {"noises": slice(1)}

    def __post_init__(self) -> None:
        """Check that the paper has one of the combinations."""
        super().__post_init__()
        if not any(pair in PUBLISHED for pair in itertools.product(self.inliers, self.noises)):
            raise SystemExit("the quantized observation model needs the inlier set cifar10; add it, or another model.")

    def config(self, inlier: str, noise: str, source: str, seed: int) -> jaxgen.Config:
        """A row's training: the released networks, and Adam."""
        steps = self.length(EPOCHS.get(source, 100), ood_table.COLOR_EPOCH)
        method = methods.NegativeSamplingVAE(
            observation_model=NOISES[noise],
            negatives=NEGATIVES.get(source),
            num_importance_samples=ood_evaluation.IMPORTANCE,
            learning_rate=1e-4 if self.rate is None else Cosine(self.rate, steps),
        )
        others = data.Images("cifar100") if source == "auxiliary" else None
        return ood_evaluation.configure(method, data.Images(SETS[inlier]), seed, steps, others)

    def models(self) -> Iterator[ood_evaluation.OODModel]:
        """Every combination that the paper has."""
        for inlier, noise, source in itertools.product(self.inliers, self.noises, self.sources):
            if (inlier, noise) not in PUBLISHED:
                continue
            test, train = data.Images(SETS[inlier], "test"), data.Images(SETS[inlier])
            other = "svhn" if inlier == "cifar10" else "cifar10"
            outliers = {TITLES[other]: data.Images(SETS[other], "test")}
            if source != "auxiliary" and inlier == "cifar10":  # that of SVHN is kept for `negvae.ablations`
                outliers["CIFAR-100"] = data.Images("cifar100", "test")
            column = list(SOURCES).index(source)
            printed = PUBLISHED[inlier, noise][column] if column < 3 else ()
            yield ood_evaluation.OODModel(
                f"{TITLES[inlier]}, {noise}, {SOURCES[source]}",
                f"{inlier}-{noise}-{source}",
                functools.partial(self.config, inlier, noise, source),
                test,
                train,
                {
                    **outliers,
                    "its mirror image": ood_evaluation.Turned(test, ood_evaluation.mirrored),
                    "its training images": train,
                },
                {TITLES[other]: {name: number for name, number in zip(("bpd", "kl"), printed, strict=False) if number}},
                train=source != "untrained",
            )

    def tables(self, results: Results) -> list[report.Table]:
        """One table."""
        size = lambda name, split: len(data.Images(SETS[name], split).tables()[0])
        sizes = {name: (size(name, "train"), size(name, "test")) for name in SETS}
        bytes_of = lambda split: {image.tobytes() for image in data.Images("cifar100", split).tables()[0]}
        common = bytes_of("train") & bytes_of("test")
        listed = "; ".join(f"{TITLES[name]} {train:,} and {test:,}" for name, (train, test) in sizes.items())
        steps = self.length(epoch=ood_table.COLOR_EPOCH)
        rate = "" if self.rate is None else f" at a rate that falls from {self.rate:g} (the paper's: 0.0001)"
        remark = (
            f"Trained {steps:,} steps of 50 images (the paper: 100,000, and 300,000 with adversarial negatives){rate}. "
            f"Training and test images: {listed} (whole: 50,000 and 10,000; SVHN 73,257 and 26,032). "
            "CIFAR-100 gives auxiliary negatives in place of ImageNet; its two sets have "
            f"{len(common):,} images in common."
        )
        return [self.table("color", TITLE, list(self.models()), results, [remark])]

    def figures(self, results: Results) -> None:
        """A figure for each inlier set and observation model."""
        for inlier, noise in itertools.product(self.inliers, self.noises):
            if (inlier, noise) in PUBLISHED:
                listed = dataclasses.replace(self, inliers=(inlier,), noises=(noise,)).models()
                self.draw(f"color-{inlier}-{noise}", [model for model in listed if model.train])


if __name__ == "__main__":
    experiment.main(Experiment)
