"""Tables of autoencoders that are asked about images of other sets, and how much of them is measured."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from experiments.common import report
from experiments.negvae import ood_evaluation, ood_figures
from jaxgen import metrics
from jaxgen.serialization.config_json import to_json

__all__ = ["COLOUR_EPOCH", "COLUMNS", "EPOCH", "Experiment", "tabulated"]

# The paper's two scores, and the field's others.
SCORES = {
    "bpd": "bits",
    "kl": "KL",
    "bound": "importance weighted bits",
    "reconstruction": "reconstruction",
    "corrected": "bits less complexity",
    "typicality": "typicality",
    "regret": "likelihood regret",
    "waic": "WAIC",
}
MEANS = {"own_bpd": "own bits", "other_bpd": "the other's", "own_kl": "own KL, nats", "other_kl": "the other's"}
COLUMNS = [report.Column(name, f"AUROC by {told}") for name, told in SCORES.items()]
COLUMNS += [report.Column(name, told, 2) for name, told in MEANS.items()]
TESTED = 10_000  # test images of each set in the paper
EPOCH, COLOUR_EPOCH = 1_200, 1_000  # steps of 50 of 60,000 and of 50,000 images

Some = TypeVar("Some", bound="Experiment")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """How many seeds, how long, how many images."""

    num_seeds: int = 1
    """How many seeds."""
    first_seed: int = 1
    """The first of them."""
    steps: int = EPOCH
    """Of 50 images and 50 negatives."""
    width: int = 32
    """Features of the last hidden layer of decoders for 28 by 28; the paper has 256."""
    tested: int = 2_000
    """Test images of each set; the paper has 10,000."""
    fitted: int = 200
    """Of these, to which latent laws are fitted in a hundred steps, for likelihood regret."""
    paper: bool = False
    """The paper's epochs, width and test images."""
    quick: bool = False
    """A few minutes: one seed, 20 steps, 200 test images, and not every choice."""
    cache_dir: pathlib.Path = pathlib.Path("runs/negvae")
    """Where cells and checkpoints are kept; experiments that train the same share them."""
    output_dir: pathlib.Path = pathlib.Path("runs/negvae")
    """Where the table goes."""

    def length(self, epochs: int = 100, epoch: int = EPOCH) -> int:
        """Return how many steps are trained, where the paper trains so many epochs of so many steps."""
        return epochs * epoch if self.paper else self.steps

    def features(self) -> int:
        """Return how wide decoders are."""
        return ood_evaluation.WIDTH if self.paper else self.width

    def count(self) -> int:
        """Return how many test images of each set are asked about."""
        return TESTED if self.paper else self.tested

    def hurried(self: Some, **changes: Any) -> Some:
        """Return the same as `quick` has it, and with other changes."""
        small = {
            "steps": min(self.steps, 20),
            "tested": min(self.tested, 200),
            "fitted": min(self.fitted, 20),
            "output_dir": self.cache_dir / "quick",
        }
        given: dict[str, Any] = {
            "num_seeds": 1,
            "paper": False,
            **small,
            "cache_dir": self.cache_dir / "quick",
            **changes,
        }
        return dataclasses.replace(self, **given)

    def size(self) -> str:
        """Return a sentence on how much was trained."""
        epochs = self.length() / EPOCH
        told = f"{epochs:.2g} epoch{'s' * (epochs != 1)} (the paper: 100)"
        width = f"its decoder's last hidden layer {self.features()} wide (the paper's {ood_evaluation.WIDTH})"
        return f"Trained {self.length():,} steps of 50 images, {told}, on 28 by 28 {width}."


def tabulated(
    name: str,
    title: str,
    models: Sequence[ood_evaluation.Asked],
    experiment: Experiment,
    remarks: Sequence[str] = (),
    pictures: Mapping[str, Sequence[ood_evaluation.Asked]] = {},
) -> report.Table:
    """Train and ask every model with every seed, print the table, and write it.

    Args:
        name: of the table's files.
        title: of the table.
        models: what is asked about what.
        experiment: how many seeds and images, and where to.
        remarks: sentences below it.
        pictures: those models whose first seed is drawn, beside the first stranger of the first, by name of the figure.

    Returns:
        The table: a line for each model and stranger.
    """
    rows, kept, configs = [], {}, {}
    for asked in models:
        cells = []
        for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
            print(f"{asked.title}, seed {seed}", flush=True)
            cells.append(
                ood_evaluation.answers(asked, experiment.cache_dir, experiment.count(), experiment.fitted, seed)
            )
        configs[asked.name] = to_json(asked.config(experiment.first_seed))
        for stranger in asked.strangers:
            row = _line(asked, stranger, cells)
            rows.append(row)
            kept[row.title] = [_short(cell, stranger) for cell in cells]
    sets = {
        told: images for asked in models for told, images in (*asked.strangers.items(), (asked.title, asked.inlier))
    }
    sizes = {
        told.split(",")[0]: len(ood_evaluation.tested(images, experiment.count())) for told, images in sets.items()
    }
    fewer = "".join(f", {size:,} of {told}" for told, size in sizes.items() if size < experiment.count())
    remarks = [
        f"{experiment.count():,} test images of each set{fewer}; of these {experiment.fitted} for likelihood regret, "
        "which trained models without negatives are asked for. WAIC is over the seeds. Chance is 0.5. Bits are for "
        "each dimension. The paper's numbers stand in the order AUROC by bits, by KL, own and other bits, own and "
        "other KL, as far as it prints them; one alone is AUROC by KL.",
        *remarks,
    ]
    table = report.Table(name, title, COLUMNS, rows, [" ".join(remarks)])
    table.write(experiment.output_dir, {"cells": kept, "configs": configs})
    pictures = {drawing: lines for drawing, lines in pictures.items() if lines}
    for drawing, lines in pictures.items():
        stranger = next(iter(lines[0].strangers))
        path = experiment.output_dir / f"{name}-{drawing}.png"
        ood_figures.drawn(
            path, lines, stranger, experiment.cache_dir, min(500, experiment.count()), experiment.first_seed
        )
    return table


def _line(asked: ood_evaluation.Asked, stranger: str, cells: Sequence[dict[str, Any]]) -> report.Row:
    values = [
        {
            **cell[stranger]["auroc"],
            **{f"own_{name}": cell["inlier"][name] for name in ("bpd", "kl")},
            **{f"other_{name}": cell[stranger][name] for name in ("bpd", "kl")},
        }
        for cell in cells
    ]
    if len(cells) > 1:
        nats = [np.array([cell[of]["nats"] for cell in cells]) for of in ("inlier", stranger)]
        values[0]["waic"] = metrics.auroc(*map(metrics.waic, nats))
    return report.Row.of(f"{asked.title} / {stranger}", values, COLUMNS, asked.paper.get(stranger, {}))


def _short(cell: dict[str, Any], stranger: str) -> dict[str, Any]:
    """Leave out what is told of each image, and of each step."""
    found = {name: cell[name] for name in ("inlier", stranger, "seconds") if name in cell}
    return json.loads(json.dumps(found), object_hook=lambda part: {k: v for k, v in part.items() if k != "nats"})
