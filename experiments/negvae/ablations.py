"""What the parts of negative sampling do: Tables 4 and 5 of Csiszarik, Benko and Varga (2019), and what they leave out.

    python -m experiments.negvae.ablations                      # 600 steps each: hours on one CPU core
    python -m experiments.negvae.ablations --num-seeds 5 --paper --output-dir experiments/results     # meant for a GPU
    python -m experiments.negvae.ablations --quick --parts adversary       # one part, a few steps each

Each part has a table of its own. Table 4 is the weight of the negatives' reconstruction, Table 5 the latent dimension,
both Fashion-MNIST against MNIST. `adversary` takes from the adversarial scheme what the decoder pays, or takes the
negatives from 10,000 samples of a model without negatives, drawn once. `shift` moves the negatives' prior; the paper
chose 8 and 25 on the test images of Fashion-MNIST and MNIST and of CIFAR-10 and SVHN, and here they are seen on pairs
that Tables 1 to 5 do not ask about: Fashion-MNIST against KMNIST, and SVHN against CIFAR-100 with the Gaussian noise
model. `adversary`'s samples are drawn when that model is trained, where the released code draws them anew for eleven
epochs.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import tyro

from experiments.common import report
from experiments.negvae import ood_evaluation, ood_table
from jaxgen import data, methods
from jaxgen.scan import keys

ALPHAS, DIMENSIONS = (0.0, 0.1, 0.5, 1.0), (10, 50, 100, 250, 500)
SHIFTS, COLOUR_SHIFTS = (2.0, 4.0, 6.0, 8.0, 10.0), (5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
# Of Table 4 the columns that are legible in print; of Table 5 the measures below.
RECONSTRUCTED = {0.0: (1.00, 1.00, 0.44, 2.09), 1.0: (0.99, 1.00, 0.45, 0.86, 15.86, 321.9)}
DIMENSIONAL = {
    10: (0.46, 0.61, 0.44, 0.45, 15.61, 31.91),
    50: (0.35, 0.76, 0.45, 0.38, 16.06, 19.37),
    100: (0.35, 0.73, 0.46, 0.39, 16.14, 18.70),
    250: (0.39, 0.42, 0.47, 0.42, 18.02, 17.43),
    500: (0.34, 0.64, 0.48, 0.41, 17.65, 18.75),
}
MEASURES = ("bpd", "kl", "own_bpd", "other_bpd", "own_kl", "other_kl")
BANK = 10_000  # images drawn once
FASHION, LETTERS, SVHN = data.Images("fashion_mnist"), data.Images("emnist/letters"), data.Images("svhn_cropped")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ood_table.Experiment):
    """Which parts, and how much of them."""

    parts: tuple[str, ...] = ("negative_reconstruction_weight", "dimension", "adversary", "shift", "colour")
    """What is varied."""
    steps: int = 600
    """Of 50 images and 50 negatives; a third of them in colour."""

    def grayscale(
        self, negatives: methods.negative_samples.Negatives | None, **changes: Any
    ) -> methods.NegativeSamplingVAE:
        """Return what learns Fashion-MNIST."""
        return ood_evaluation.grayscale(ood_evaluation.NOISES["bernoulli"], negatives, self.features(), **changes)


def models(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """Return what is asked about what."""
    for part in experiment.parts:
        yield from PARTS[part][1](experiment)


def negative_reconstruction_weight(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """Table 4: negatives from Letters, reconstructed with a weight."""
    for alpha in ALPHAS:
        method = experiment.grayscale(methods.Auxiliary(), negative_reconstruction_weight=alpha)
        told, paper = f"auxiliary, reconstructed with weight {alpha:g}", RECONSTRUCTED.get(alpha, ())
        yield _fashion(experiment, told, f"reconstructed-{alpha:g}", method, lambda seed: LETTERS, paper)


def dimension(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """Table 5: no negatives, and more latent dimensions."""
    for latent_dim in DIMENSIONS:
        method = experiment.grayscale(None, latent_dim=latent_dim)
        told, paper = f"no negatives, {latent_dim} latent dimensions", DIMENSIONAL.get(latent_dim, ())
        yield _fashion(experiment, told, f"dimension-{latent_dim}", method, paper=paper)


def adversary(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """The adversarial scheme, the same without what the decoder pays, and samples drawn once."""
    for weight, told in ((1.0, "adversarial"), (0.0, "samples, for which the decoder pays nothing")):
        yield _fashion(experiment, told, f"adversary-{weight:g}", experiment.grayscale(methods.ModelSamples(weight)))
    told, method = f"{BANK:,} samples of a model without negatives", experiment.grayscale(methods.Auxiliary())
    yield _fashion(experiment, told, "adversary-bank", method, functools.partial(_bank, experiment))


def shift(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """The negatives' prior moved, on a pair that no other table has."""
    for far in SHIFTS:
        method = experiment.grayscale(methods.ModelSamples(), shift=far)
        asked = _fashion(experiment, f"adversarial, shift {far:g}", f"shift-{far:g}", method)
        yield dataclasses.replace(asked, strangers={"KMNIST": data.Images("kmnist", "test")})


def colour(experiment: Experiment) -> Iterator[ood_evaluation.Asked]:
    """The same in colour."""
    for far in COLOUR_SHIFTS:
        method = methods.NegativeSamplingVAE(
            observation_model=methods.Gaussian(),
            negatives=methods.ModelSamples(),
            shift=far,
            num_importance_samples=ood_evaluation.IMPORTANCE,
        )
        yield ood_evaluation.Asked(
            f"SVHN, gaussian, adversarial, shift {far:g}",
            f"svhn-shift-{far:g}",
            functools.partial(ood_evaluation.configure, method, SVHN, steps=_coloured(experiment)),
            data.Images("svhn_cropped", "test"),
            SVHN,
            {"CIFAR-100": data.Images("cifar100", "test")},
        )


PARTS: dict[str, tuple[str, Callable[[Experiment], Iterator[ood_evaluation.Asked]]]] = {
    "negative_reconstruction_weight": (
        "Table 4: negatives that are reconstructed with a weight",
        negative_reconstruction_weight,
    ),
    "dimension": ("Table 5: more latent dimensions", dimension),
    "adversary": ("The adversary taken apart", adversary),
    "shift": ("How far the negatives' prior lies", shift),
    "colour": ("How far the negatives' prior lies, in colour", colour),
}


def run(experiment: Experiment) -> list[report.Table]:
    """Train and measure every cell, and print and write a table for each part."""
    if unknown := set(experiment.parts) - set(PARTS):
        raise SystemExit(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(PARTS)}.")
    if experiment.quick:
        experiment = experiment.hurried(parts=experiment.parts[:1])
    tables = []
    for part in experiment.parts:
        listed = list(models(dataclasses.replace(experiment, parts=(part,))))
        remarks = [f"{_coloured(experiment):,} steps of 50 images." if part == "colour" else experiment.size()]
        if any(asked.paper for asked in listed):
            remarks.append("What the paper prints is mostly of one seed.")
        name = f"negvae_ablations_{part}"
        tables.append(ood_table.tabulated(name, PARTS[part][0], listed, experiment, remarks))
    return tables


def _coloured(experiment: Experiment) -> int:
    steps = experiment.length(300, ood_table.COLOUR_EPOCH)
    return steps if experiment.paper else max(1, steps // 3)


def _fashion(
    experiment: Experiment,
    told: str,
    name: str,
    method: methods.NegativeSamplingVAE,
    others: Callable[[int], Any] = lambda seed: None,
    paper: tuple[float, ...] = (),
) -> ood_evaluation.Asked:
    """Fashion-MNIST against MNIST, with negatives from what a seed gives."""
    return ood_evaluation.Asked(
        f"Fashion-MNIST, bernoulli, {told}",
        name,
        lambda seed: ood_evaluation.configure(method, FASHION, seed, steps=experiment.length(), others=others(seed)),
        data.Images("fashion_mnist", "test"),
        FASHION,
        {"MNIST": data.Images("mnist", "test")},
        {"MNIST": dict(zip(MEASURES, paper, strict=False))},
    )


@functools.cache
def _bank(experiment: Experiment, seed: int) -> data.Arrays:
    """Train without negatives, and draw."""
    plain = _fashion(experiment, "no negatives", "bank", experiment.grayscale(None))
    method, state, _ = ood_evaluation.model(plain, experiment.cache_dir, seed)
    draw = jax.jit(lambda key: method.sample(key, state, ood_evaluation.ROWS))
    own = jax.random.fold_in(jax.random.key(seed), BANK)  # other noise than any of the training's
    drawn = [np.asarray(draw(key)) for key in keys(own, BANK // ood_evaluation.ROWS)]
    return data.Arrays(np.concatenate(drawn))


if __name__ == "__main__":
    run(tyro.cli(Experiment))
