"""Table 3 of Csiszarik, Benko and Varga (2019): sources of negatives, Fashion-MNIST against MNIST.

    python -m experiments.negvae.negatives                       # an epoch each, a narrow decoder: half an hour a seed
    python -m experiments.negvae.negatives --num-seeds 5 --paper --output-dir experiments/results/negvae   # for a GPU
    python -m experiments.negvae.negatives --quick               # a few steps each

Models that Table 1 has too are read from its cache.
"""

import dataclasses
import functools
from collections.abc import Iterator

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Results
from experiments.negvae import grayscale, ood_evaluation, ood_table
from jaxgen import data, methods

TITLE = "Table 3: sources of negatives; Fashion-MNIST, Bernoulli"
KMNIST = data.Images("kmnist")
SOURCES: dict[str, tuple[methods.negative_samples.NegativeSource, data.Images | None]] = {
    "uniform": (methods.Uniform(), None),
    "noisy": (methods.NoisyData(0.25), None),
    "kmnist": (methods.Auxiliary(), KMNIST),
}
TITLES = {"uniform": "uniform noise", "noisy": "the data with noise of 0.25", "kmnist": "KMNIST"}
MEANS = {  # in addition to what Table 1 has of the same models
    "fashion-bernoulli-none": {"own_bpd": 0.44, "other_bpd": 0.45},
    "fashion-bernoulli-auxiliary-letters": {"own_bpd": 0.44, "other_bpd": 2.09},
    "fashion-bernoulli-adversarial": {"own_bpd": 0.68, "other_bpd": 1e18},
}
PUBLISHED = {
    "uniform": {"bpd": 0.47, "kl": 0.56, "own_bpd": 0.44, "other_bpd": 0.46},
    "noisy": {"bpd": 0.44, "kl": 0.70},
    "kmnist": {"bpd": 1.0, "kl": 1.0, "own_bpd": 0.44, "other_bpd": 1.63},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ood_table.Experiment):
    """Number of seeds and size."""

    name = "negvae/negatives"

    def models(self) -> Iterator[ood_evaluation.OODModel]:
        """The models of Table 1 that are evaluated on MNIST, and those with other negatives."""
        shared = {field.name: getattr(self, field.name) for field in dataclasses.fields(ood_table.Experiment)}
        table_1 = grayscale.Experiment(**{**shared, "inliers": ("fashion",), "noises": ("bernoulli",)})
        for model in table_1.models():
            if "MNIST" in model.outliers:  # but not where it gives the negatives
                printed = {"MNIST": {**model.paper.get("MNIST", {}), **MEANS.get(model.name, {})}}
                yield dataclasses.replace(model, paper={**model.paper, **printed})
        inlier = grayscale.TITLES["fashion"]
        for source in SOURCES:
            yield ood_evaluation.OODModel(
                f"{inlier}, bernoulli, {TITLES[source]}",
                f"fashion-bernoulli-{source}",
                functools.partial(self.config, source),
                table_1.images("fashion", "test"),
                table_1.images("fashion", "train"),
                {grayscale.TITLES[name]: table_1.images(name, "test") for name in ("mnist", "letters")},
                {"MNIST": PUBLISHED[source]},
            )

    def config(self, source: str, seed: int) -> jaxgen.Config:
        """A training with negatives that Table 1 does not have."""
        negatives, others = SOURCES[source]
        method = ood_evaluation.grayscale(ood_evaluation.NOISES["bernoulli"], negatives, self.features())
        return ood_evaluation.configure(method, data.Images("fashion_mnist"), seed, self.length(), others)

    def tables(self, results: Results) -> list[report.Table]:
        """One table."""
        count = len(KMNIST.tables()[0])
        remarks = [self.size(), f"KMNIST gives {count:,} negatives{' of 60,000' * (count < 60_000)}."]
        return [self.table("negatives", TITLE, list(self.models()), results, remarks)]


if __name__ == "__main__":
    experiment.main(Experiment)
