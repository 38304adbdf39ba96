"""Table 4 of Kumar et al., Maximum entropy generators for energy-based models (2019): MNIST with one digit held out.

    python -m experiments.meg.mnist_anomaly                              # one seed of a reduced size
    python -m experiments.meg.mnist_anomaly --num-seeds 5 --output-dir experiments/results/meg   # both tables
    python -m experiments.meg.mnist_anomaly --paper                      # the paper's size: meant for a GPU
    python -m experiments.meg.mnist_anomaly --quick                      # two minutes

One digit is the anomaly. Four fifths of the other images train the energy. The energy and the norm of its gradient
then separate the remaining images from those of the held out digit. The released code samples the test inliers from all
inliers, so four fifths of them are training images; its protocol has a table of its own. The paper prints only the area
under the precision-recall curve, and does not say for which score; the tables have the area at chance next to it.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jaxgen
from experiments.common import anomaly_metrics, experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.meg import image_models
from experiments.meg.mnist_anomaly_data import HeldOut

TITLE = "Table 4: MNIST with one digit held out"
COLUMNS = [
    report.Column("auroc", "AUROC"),
    report.Column("auprc", "AUPRC"),
    report.Column("share", "chance AUPRC"),
    report.Column("above", "AUPRC above chance"),
]
PUBLISHED = {1: 0.281, 4: 0.401, 5: 0.402, 7: 0.290, 9: 0.342}
SCORE_BATCH_SIZE = 500
EPOCHS = 54  # the paper averages ten evaluations, and the last one comes before the last of its 55 epochs


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Split and settings of the training."""

    title: str  # title of the table
    leaking: bool  # whether test inliers are sampled from all inliers, most of which are trained on
    variant: str  # one of `image_models.VARIANTS`
    penalty: float  # lambda


PROTOCOLS = {
    "apart": Protocol("one split", False, "meg", 0.1),
    "released": Protocol("as released", True, "meg_released", 100.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(image_models.Experiment):
    """Digits, protocols, number of seeds, and size."""

    digits: tuple[int, ...] = tuple(range(10))  # digits that are held out, one at a time
    # Protocols, a table each; seeds are those of the training, and the split is fixed as in the paper.
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    width: int = 16  # features of the smallest images; the paper has 512
    steps: int = 400  # generator steps, of five energy updates each; the paper has 55 epochs, about 8,600 steps
    evaluations: int = 1  # number of evaluations at the end of the training whose mean is reported; the paper has ten
    # The paper's width, learning rate and number of evaluations, and its epochs up to the last evaluation.
    paper: bool = False

    name = "meg/mnist_anomaly"
    choices = {"digits": range(10), "protocols": PROTOCOLS}
    small = {"digits": slice(1)}

    def config(self, protocol: str, digit: int, seed: int) -> jaxgen.Config:
        """Configuration of one protocol and digit; at the paper's size each call of the training is one epoch."""
        images, settings = split(protocol, digit), PROTOCOLS[protocol]
        config = self.image_config(settings.variant, images, images.shape(), seed, penalty=settings.penalty)
        epoch = images.count() // config.batch_size
        return dataclasses.replace(config, steps=EPOCHS * epoch, steps_per_call=epoch) if self.paper else config

    def cells(self) -> Iterator[Cell]:
        """Trained and untrained networks of each protocol and digit."""
        evaluations = 10 if self.paper else self.evaluations
        for protocol in self.protocols:
            for digit in self.digits:
                for seed in self.seeds:
                    config = self.config(protocol, digit, seed)
                    calls = config.steps // config.steps_per_call
                    if not 1 <= evaluations <= calls:
                        raise SystemExit(
                            f"evaluations must be 1 to {calls}, the calls of the training (got {evaluations})."
                        )
                    images = {"images": split(protocol, digit).count()}
                    for row, count in (("trained", evaluations), ("untrained", 0)):
                        measure = functools.partial(measure_model, config, protocol, digit, count)
                        yield Cell(f"{protocol}-{digit}-{row}", seed, measure, config, images)

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each protocol."""
        return [self._table(protocol, results) for protocol in self.protocols]

    def _table(self, protocol: str, results: Results) -> report.Table:
        rows = []
        row_of = {
            f"{model}, {title}": (row, score)
            for model, row in (("MEG", "trained"), ("untrained", "untrained"))
            for score, title in anomaly_metrics.SCORES.items()
        }
        for digit in self.digits:
            for title, (row, score) in row_of.items():
                printed = (row, protocol) == ("trained", "released") and digit in PUBLISHED
                cells = [cell[score] for cell in results[f"{protocol}-{digit}-{row}"]]
                paper = {"auprc": PUBLISHED[digit]} if printed else {}
                rows.append(report.Row.of(f"without {digit}: {title}", cells, COLUMNS, paper))
        for title, (row, score) in row_of.items():
            by_seed = zip(*(results[f"{protocol}-{digit}-{row}"] for digit in self.digits), strict=True)
            means = [anomaly_metrics.mean_of([cell[score] for cell in cells]) for cells in by_seed]
            rows.append(report.Row.of(f"mean of the digits: {title}", means, COLUMNS))
        config = self.config(protocol, self.digits[0], self.first_seed)
        remark = (
            f"Networks {self.size().width} wide, trained {config.steps:,} steps at a rate of {self.size().rate:g} (the "
            "paper's: 512, 55 epochs and 0.0001). AUPRC is average precision. The paper's is the trapezoid under the "
            "curve, which differs little unless scores are equal."
        )
        title, details = f"{TITLE}, {PROTOCOLS[protocol].title}", {"config": jaxgen.to_json(config)}
        return report.Table(f"mnist_anomaly_{protocol}", title, COLUMNS, rows, [remark], details=details)


def split(protocol: str, digit: int) -> HeldOut:
    """Training and test images of a protocol without a digit."""
    return HeldOut(digit, leaking=PROTOCOLS[protocol].leaking)


def measure_model(
    config: jaxgen.Config, protocol: str, digit: int, evaluations: int, directory: pathlib.Path
) -> dict[str, Any]:
    """Train, and return the means of the last evaluations, and their `curve`; without any, evaluate it untrained."""
    if not evaluations:
        return evaluate(jaxgen.untrained(config), protocol, digit)
    every = config.steps_per_call
    steps = range(config.steps - (evaluations - 1) * every, config.steps + 1, every)
    look = lambda result: evaluate(result, protocol, digit)
    run = training.train_and_evaluate(config, steps, look, checkpoint_dir=directory)
    return {**anomaly_metrics.mean_of(run.curve), "curve": run.curve, **run.times}


def evaluate(result: jaxgen.Result, protocol: str, digit: int) -> dict[str, Any]:
    """Evaluate both scores on the test images: measures by score."""
    x, anomalous = split(protocol, digit).test()
    share = float(anomalous.mean())
    measures = anomaly_metrics.evaluate_energy(result, x, anomalous, share, SCORE_BATCH_SIZE)
    return {score: {**of_score, "above": of_score["auprc"] - share} for score, of_score in measures.items()}


if __name__ == "__main__":
    experiment.main(Experiment)
