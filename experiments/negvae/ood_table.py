"""Base class of the tables of OOD detection by variational autoencoders: sizes, rows, columns and figures."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.negvae import ood_evaluation, ood_figures
from jaxgen import metrics

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
COLUMNS = [report.Column(name, f"AUROC by {title}") for name, title in SCORES.items()]
COLUMNS += [report.Column(name, title, 2) for name, title in MEANS.items()]
TESTED = 10_000  # test images of each set in the paper
EPOCH, COLOR_EPOCH = 1_200, 1_000  # steps of 50 of 60,000 and of 50,000 images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Number of seeds, length, and number of images."""

    first_seed: int = 1  # the first of them
    steps: int = EPOCH  # of 50 images and 50 negatives
    width: int = 32  # features of the last hidden layer of decoders for 28 by 28; the paper has 256
    tested: int = 2_000  # test images of each set; the paper has 10,000
    fitted: int = 200  # test images to which a posterior is fitted in a hundred steps, for likelihood regret
    paper: bool = False  # the paper's epochs, width and test images

    small = {"paper": False, "steps": 20, "tested": 200, "fitted": 20}

    @property
    def directory(self) -> pathlib.Path:
        """Directory of cells and checkpoints; experiments that train the same share it."""
        base = pathlib.Path("runs/negvae") if self.cache_dir is None else self.cache_dir
        return base / "quick" if self.quick else base

    def models(self) -> Iterable[ood_evaluation.OODModel]:
        """Models of the table."""
        raise NotImplementedError

    def cells(self) -> Iterator[Cell]:
        """Every model with every seed."""
        for model in self.models():
            for seed in self.seeds:
                yield model.cell(self.count(), self.fitted, seed)

    def length(self, epochs: int = 100, epoch: int = EPOCH) -> int:
        """Training steps, where the paper trains `epochs` epochs of `epoch` steps."""
        return epochs * epoch if self.paper else self.steps

    def features(self) -> int:
        """Features of the decoder's last hidden layer."""
        return ood_evaluation.WIDTH if self.paper else self.width

    def count(self) -> int:
        """Test images of each set."""
        return TESTED if self.paper else self.tested

    def size(self) -> str:
        """A sentence on the length of the training and the size of the network."""
        epochs = self.length() / EPOCH
        length = f"{epochs:.2g} epoch{'s' * (epochs != 1)} (the paper: 100)"
        width = f"its decoder's last hidden layer {self.features()} wide (the paper's {ood_evaluation.WIDTH})"
        return f"Trained {self.length():,} steps of 50 images, {length}, on 28 by 28 {width}."

    def table(
        self,
        name: str,
        title: str,
        models: Sequence[ood_evaluation.OODModel],
        results: Results,
        remarks: Sequence[str] = (),
    ) -> report.Table:
        """The table of some models: a row for each model and OOD set; `remarks` are further sentences below it."""
        rows, cells_by_row, configs = [], {}, {}
        for model in models:
            cells = results[model.name]
            configs[model.title] = jaxgen.to_json(model.config(self.first_seed))
            for outlier in model.outliers:
                row = _row(model, outlier, cells)
                rows.append(row)
                cells_by_row[row.title] = [_short(cell, outlier) for cell in cells]
        sets: dict[str, Any] = {}
        for model in models:
            sets |= {**model.outliers, model.title.split(",")[0]: model.inlier}
        sizes = {title: len(ood_evaluation.tested(images, self.count())) for title, images in sets.items()}
        fewer = "".join(f", {size:,} of {title}" for title, size in sizes.items() if size < self.count())
        common = (
            f"{self.count():,} test images of each set{fewer}; {self.fitted} of them for likelihood regret, which "
            "is computed for trained models without negatives. WAIC is over the seeds. Chance is 0.5. Bits are per "
            "dimension. The paper's numbers stand in the order AUROC by bits, by KL, own and other bits, own and "
            "other KL, as far as it prints them; a single number is AUROC by KL."
        )
        details = {"cells": cells_by_row, "configs": configs}
        return report.Table(name, title, COLUMNS, rows, [" ".join([common, *remarks])], details=details)

    def draw(self, name: str, models: Sequence[ood_evaluation.OODModel]) -> None:
        """Draw the first seed of some models next to the first OOD set of the first."""
        if models:
            outlier = next(iter(models[0].outliers))
            path = self.results_directory / f"{name}.png"
            ood_figures.draw(path, models, outlier, self, min(500, self.count()), self.first_seed)


def _row(model: ood_evaluation.OODModel, outlier: str, cells: Sequence[dict[str, Any]]) -> report.Row:
    values = [
        {
            **cell[outlier]["auroc"],
            **{f"own_{name}": cell["inlier"][name] for name in ("bpd", "kl")},
            **{f"other_{name}": cell[outlier][name] for name in ("bpd", "kl")},
        }
        for cell in cells
    ]
    if len(cells) > 1:
        nats = [np.array([cell[part]["nats"] for cell in cells]) for part in ("inlier", outlier)]
        values[0]["waic"] = metrics.auroc(*map(metrics.waic, nats))
    return report.Row.of(f"{model.title} / {outlier}", values, COLUMNS, model.paper.get(outlier, {}))


def _short(cell: dict[str, Any], outlier: str) -> dict[str, Any]:
    """Leave out the numbers of single images and steps."""
    kept = {name: cell[name] for name in ("inlier", outlier, "seconds") if name in cell}
    return json.loads(json.dumps(kept), object_hook=lambda part: {k: v for k, v in part.items() if k != "nats"})
