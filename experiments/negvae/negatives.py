"""Table 3 of Csiszarik, Benko and Varga (2019): where negatives come from, Fashion-MNIST against MNIST.

    python -m experiments.negvae.negatives                       # an epoch each, a narrow decoder: half an hour a seed
    python -m experiments.negvae.negatives --num-seeds 5 --paper --output-dir experiments/results     # meant for a GPU
    python -m experiments.negvae.negatives --quick               # a few steps each

Those of Table 1 are taken from there, where they were trained with the same `--cache-dir`.
"""

import dataclasses
import functools
from collections.abc import Iterator

import tyro

import jaxgen
from experiments.common import report
from experiments.negvae import grayscale, ood_evaluation, ood_table
from experiments.negvae.ood_table import Experiment
from jaxgen import data, methods

TITLE = "Table 3: sources of negatives; Fashion-MNIST, Bernoulli"
KMNIST = data.Images("kmnist")
SOURCES: dict[str, tuple[methods.negative_samples.Negatives, data.Images | None]] = {
    "uniform": (methods.Uniform(), None),
    "noisy": (methods.NoisyData(0.25), None),
    "kmnist": (methods.Auxiliary(), KMNIST),
}
TITLES = {"uniform": "uniform noise", "noisy": "the data with noise of 0.25", "kmnist": "KMNIST"}
MEANS = {  # beside what Table 1 has of the same models
    "fashion-bernoulli-none": {"own_bpd": 0.44, "other_bpd": 0.45},
    "fashion-bernoulli-auxiliary-letters": {"own_bpd": 0.44, "other_bpd": 2.09},
    "fashion-bernoulli-adversarial": {"own_bpd": 0.68, "other_bpd": 1e18},
}
PUBLISHED = {
    "uniform": {"bpd": 0.47, "kl": 0.56, "own_bpd": 0.44, "other_bpd": 0.46},
    "noisy": {"bpd": 0.44, "kl": 0.70},
    "kmnist": {"bpd": 1.0, "kl": 1.0, "own_bpd": 0.44, "other_bpd": 1.63},
}


def models(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """Return what is asked about MNIST and Letters: the models of Table 1, and those with other negatives."""
    shared = {field: getattr(experiment, field) for field in Experiment.__dataclass_fields__}
    first = grayscale.Experiment(**{**shared, "inliers": ("fashion",), "noises": ("bernoulli",)})
    for asked in grayscale.models(first):
        if "MNIST" in asked.strangers:  # but not where it gives the negatives
            printed = {"MNIST": {**asked.paper.get("MNIST", {}), **MEANS.get(asked.name, {})}}
            yield dataclasses.replace(asked, paper={**asked.paper, **printed})
    inlier = grayscale.TITLES["fashion"]
    for source in SOURCES:
        yield ood_evaluation.Asked(
            f"{inlier}, bernoulli, {TITLES[source]}",
            f"fashion-bernoulli-{source}",
            functools.partial(configure, experiment, source),
            first.images("fashion", "test"),
            first.images("fashion", "train"),
            {grayscale.TITLES[name]: first.images(name, "test") for name in ("mnist", "letters")},
            {"MNIST": PUBLISHED[source]},
        )


def configure(experiment: Experiment, source: str, seed: int) -> jaxgen.Config:
    """Return what is trained with negatives that Table 1 does not have."""
    negatives, others = SOURCES[source]
    method = ood_evaluation.grayscale(ood_evaluation.NOISES["bernoulli"], negatives, experiment.features())
    return ood_evaluation.configure(method, data.Images("fashion_mnist"), seed, experiment.length(), others)


def run(experiment: Experiment) -> report.Table:
    """Train and measure every cell, print the table, and write it."""
    if experiment.quick:
        experiment = experiment.hurried()
    count = len(KMNIST.tables()[0])
    remarks = [experiment.size(), f"KMNIST gives {count:,} negatives{' of 60,000' * (count < 60_000)}."]
    return ood_table.tabulated("negvae_negatives", TITLE, list(models(experiment)), experiment, remarks)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
