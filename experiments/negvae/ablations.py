"""Parts of negative sampling: Tables 4 and 5 of Csiszarik, Benko and Varga (2019), and ablations beyond the paper.

    python -m experiments.negvae.ablations                      # 600 steps each: hours on one CPU core
    python -m experiments.negvae.ablations --num-seeds 5 --paper --output-dir experiments/results/negvae   # for a GPU
    python -m experiments.negvae.ablations --quick --parts adversary       # one part, a few steps each

Each part has its own table. `reconstructed` is Table 4, the weight of the negatives' reconstruction, and `dimension` is
Table 5, the latent dimension; both for Fashion-MNIST against MNIST. `adversary` removes the decoder's adversarial loss,
or takes the negatives from 10,000 samples of a model without negatives, sampled once (the released code samples them
anew for eleven epochs). `shift` and `color` move the negatives' prior. The paper chose shifts of 8 and 25 on the test
images of Fashion-MNIST and MNIST, and of CIFAR-10 and SVHN. Here they are evaluated on pairs that Tables 1 to 5 do not
have: Fashion-MNIST against KMNIST, and SVHN against CIFAR-100 with the Gaussian observation model.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

from experiments.common import experiment, report, training
from experiments.common.experiment import Results
from experiments.negvae import ood_evaluation, ood_table
from jaxgen import data, methods

ALPHAS, DIMENSIONS = (0.0, 0.1, 0.5, 1.0), (10, 50, 100, 250, 500)
SHIFTS, COLOR_SHIFTS = (2.0, 4.0, 6.0, 8.0, 10.0), (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
# From Table 4 the columns that are legible in print; from Table 5 the measures below.
RECONSTRUCTED = {0.0: (1.00, 1.00, 0.44, 2.09), 1.0: (0.99, 1.00, 0.45, 0.86, 15.86, 321.9)}
DIMENSIONAL = {
    10: (0.46, 0.61, 0.44, 0.45, 15.61, 31.91),
    50: (0.35, 0.76, 0.45, 0.38, 16.06, 19.37),
    100: (0.35, 0.73, 0.46, 0.39, 16.14, 18.70),
    250: (0.39, 0.42, 0.47, 0.42, 18.02, 17.43),
    500: (0.34, 0.64, 0.48, 0.41, 17.65, 18.75),
}
MEASURES = ("bpd", "kl", "own_bpd", "other_bpd", "own_kl", "other_kl")
BANK = 10_000  # samples of a fixed set of negatives
FASHION, LETTERS, SVHN = data.Images("fashion_mnist"), data.Images("emnist/letters"), data.Images("svhn_cropped")


PARTS = {
    "reconstructed": "Table 4: negatives that are reconstructed with a weight",
    "dimension": "Table 5: more latent dimensions",
    "adversary": "Parts of the adversarial scheme",
    "shift": "Shift of the negatives' prior",
    "color": "Shift of the negatives' prior, color images",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ood_table.Experiment):
    """Parts, and size."""

    parts: tuple[str, ...] = tuple(PARTS)  # what is varied
    steps: int = 600  # of 50 images and 50 negatives; a third of them in color

    name = "negvae/ablations"
    choices = {"parts": PARTS}
    small = {"parts": slice(1)}

    def models(self) -> Iterator[ood_evaluation.OODModel]:
        """Models of all parts."""
        for part in self.parts:
            yield from getattr(self, part)()

    def reconstructed(self) -> Iterator[ood_evaluation.OODModel]:
        """Table 4: negatives from Letters, reconstructed with a weight."""
        for alpha in ALPHAS:
            method = self._grayscale(methods.Auxiliary(), negative_reconstruction_weight=alpha)
            title, paper = f"auxiliary, reconstructed with weight {alpha:g}", RECONSTRUCTED.get(alpha, ())
            yield self._fashion(title, f"reconstructed-{alpha:g}", method, lambda seed: LETTERS, paper)

    def dimension(self) -> Iterator[ood_evaluation.OODModel]:
        """Table 5: no negatives, and more latent dimensions."""
        for latent_dim in DIMENSIONS:
            method = self._grayscale(None, latent_dim=latent_dim)
            title, paper = f"no negatives, {latent_dim} latent dimensions", DIMENSIONAL.get(latent_dim, ())
            yield self._fashion(title, f"dimension-{latent_dim}", method, paper=paper)

    def adversary(self) -> Iterator[ood_evaluation.OODModel]:
        """The adversarial scheme, the same without the decoder's adversarial loss, and a fixed set of samples."""
        for weight, title in ((1.0, "adversarial"), (0.0, "samples, without the decoder's adversarial loss")):
            yield self._fashion(title, f"adversary-{weight:g}", self._grayscale(methods.ModelSamples(weight)))
        title, method = f"{BANK:,} samples of a model without negatives", self._grayscale(methods.Auxiliary())
        yield self._fashion(title, "adversary-bank", method, functools.partial(_bank, self))

    def shift(self) -> Iterator[ood_evaluation.OODModel]:
        """The negatives' prior moved, on a pair that no other table has."""
        for shift in SHIFTS:
            method = self._grayscale(methods.ModelSamples(), shift=shift)
            model = self._fashion(f"adversarial, shift {shift:g}", f"shift-{shift:g}", method)
            yield dataclasses.replace(model, outliers={"KMNIST": data.Images("kmnist", "test")})

    def color(self) -> Iterator[ood_evaluation.OODModel]:
        """The negatives' prior moved, for color images."""
        for shift in COLOR_SHIFTS:
            method = methods.NegativeSamplingVAE(
                observation_model=methods.Gaussian(),
                negatives=methods.ModelSamples(),
                shift=shift,
                num_importance_samples=ood_evaluation.IMPORTANCE,
            )
            yield ood_evaluation.OODModel(
                f"SVHN, gaussian, adversarial, shift {shift:g}",
                f"svhn-shift-{shift:g}",
                functools.partial(ood_evaluation.configure, method, SVHN, steps=self._color_steps()),
                data.Images("svhn_cropped", "test"),
                SVHN,
                {"CIFAR-100": data.Images("cifar100", "test")},
            )

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each part."""
        tables = []
        for part in self.parts:
            models = list(dataclasses.replace(self, parts=(part,)).models())
            remarks = [f"{self._color_steps():,} steps of 50 images." if part == "color" else self.size()]
            if any(model.paper for model in models):
                remarks.append("Most of the paper's numbers are of one seed.")
            tables.append(self.table(f"ablations_{part}", PARTS[part], models, results, remarks))
        return tables

    def _color_steps(self) -> int:
        steps = self.length(300, ood_table.COLOR_EPOCH)
        return steps if self.paper else max(1, steps // 3)

    def _grayscale(self, negatives: Any, **changes: Any) -> methods.NegativeSamplingVAE:
        return ood_evaluation.grayscale(ood_evaluation.NOISES["bernoulli"], negatives, self.features(), **changes)

    def _fashion(
        self,
        title: str,
        name: str,
        method: methods.NegativeSamplingVAE,
        others: Callable[[int], Any] = lambda seed: None,
        paper: tuple[float, ...] = (),
    ) -> ood_evaluation.OODModel:
        """Fashion-MNIST against MNIST, with the negatives `others(seed)`."""
        config = lambda seed: ood_evaluation.configure(method, FASHION, seed, self.length(), others(seed))
        return ood_evaluation.OODModel(
            f"Fashion-MNIST, bernoulli, {title}",
            name,
            config,
            data.Images("fashion_mnist", "test"),
            FASHION,
            {"MNIST": data.Images("mnist", "test")},
            {"MNIST": dict(zip(MEASURES, paper, strict=False))},
        )


@functools.cache
def _bank(table: Experiment, seed: int) -> data.Arrays:
    """Train without negatives, and sample."""
    config = table._fashion("no negatives", "bank", table._grayscale(None)).resolved(seed)
    result, _ = training.timed(config, table.training_directory(config))
    return data.Arrays(result.sample(training.fresh_key(seed), BANK, batch_size=ood_evaluation.ROWS)[0])


if __name__ == "__main__":
    experiment.main(Experiment)
