"""Table 4 of Kumar et al., Maximum entropy generators for energy-based models (2019): digits that were never seen.

    python -m experiments.meg.mnist_anomaly                              # one seed of a reduced size
    python -m experiments.meg.mnist_anomaly --num-seeds 5 --output-dir experiments/results
    python -m experiments.meg.mnist_anomaly --paper                      # the paper's size: meant for a GPU
    python -m experiments.meg.mnist_anomaly --quick                      # two minutes

One digit is held out. The others train the energy, four in five of them; the rest of them and all of the held out digit
are told apart by the energy, and by the norm of its gradient. The released code draws the test images anew, so that
four in five of the inliers it tests are training images: its protocol is the second block. The paper prints the area
under precision and recall alone and does not say by which score; what chance achieves stands beside it here.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments.common import anomaly_metrics, cache, report, training
from experiments.meg import image_models
from experiments.meg.mnist_anomaly_data import HeldOut
from jaxgen import methods
from jaxgen.serialization.config_json import to_json

TITLE = "Table 4: MNIST with one digit held out"
COLUMNS = [
    report.Column("auroc", "AUROC"),
    report.Column("auprc", "AUPRC"),
    report.Column("share", "chance AUPRC"),
    report.Column("above", "AUPRC above chance"),
]
PUBLISHED = {1: 0.281, 4: 0.401, 5: 0.402, 7: 0.290, 9: 0.342}
ROWS = 500  # scored at a time
EPOCHS = 54  # the paper's last look of ten, which are averaged, is before the last of its 55


@dataclasses.dataclass(frozen=True)
class Protocol:
    """One way of splitting and training.

    Attributes:
        title: what stands in the table.
        leaking: whether test inliers are drawn anew.
        variant: of `image_models.VARIANTS`.
        penalty: lambda.
    """

    title: str
    leaking: bool
    variant: str
    penalty: float


PROTOCOLS = {
    "apart": Protocol("one split", False, "meg", 0.1),
    "released": Protocol("as released", True, "meg_released", 100.0),
}


@dataclasses.dataclass(frozen=True)
class Experiment(image_models.Experiment):
    """Which digits and protocols, how many seeds, how large."""

    digits: tuple[int, ...] = tuple(range(10))
    """Held out, one at a time."""
    protocols: tuple[str, ...] = tuple(PROTOCOLS)
    """Blocks of the table."""
    num_seeds: int = dataclasses.field(default=1, kw_only=True)
    """How many seeds of the training; the split is the same for all, as in the paper."""
    width: int = dataclasses.field(default=16, kw_only=True)
    """Features of the smallest images; the paper has 512."""
    steps: int = dataclasses.field(default=400, kw_only=True)
    """Of five updates of the energy and one of the generator; the paper has 55 epochs, about 8,600 of them."""
    looks: int = 1
    """At the end of the training, over which scores are judged and averaged; the paper has ten."""
    paper: bool = dataclasses.field(default=False, kw_only=True)
    """The paper's width, epochs up to its last look, learning rate and looks."""
    quick: bool = False
    """Two minutes: one seed, one digit, 20 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/mnist_anomaly")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/mnist_anomaly")
    """Where the table goes."""


def connections(protocol: Protocol, digit: int) -> HeldOut:
    """Return the rows of a protocol."""
    return HeldOut(digit, leaking=protocol.leaking)


def configure(experiment: Experiment, protocol: Protocol, digit: int, seed: int) -> jaxgen.Config:
    """Return what is trained, which the paper's size looks at after every epoch."""
    images, shape = connections(protocol, digit), connections(protocol, digit).shape()
    size = experiment.size()
    epoch = images.count() // (5 * size.rows)
    if experiment.paper:
        size = dataclasses.replace(size, steps=EPOCHS * epoch)
    config = image_models.configure(protocol.variant, images, shape, seed, size, penalty=protocol.penalty)
    return dataclasses.replace(config, steps_per_call=epoch) if experiment.paper else config


def scored(method: methods.MEG, state: Any, images: HeldOut) -> dict[str, dict[str, float]]:
    """Judge both scores on the test images."""
    x, anomalous = images.test()
    share = float(anomalous.mean())
    scores = anomaly_metrics.scores(method, state, x, ROWS)
    found = {name: anomaly_metrics.judged(scores[name], anomalous, share) for name in anomaly_metrics.SCORES}
    return {name: {**measures, "above": measures["auprc"] - share} for name, measures in found.items()}


def trained(experiment: Experiment, name: str, digit: int, seed: int) -> dict[str, Any]:
    """Train and judge: the mean of the last looks."""
    config = configure(experiment, PROTOCOLS[name], digit, seed)
    looks = 10 if experiment.paper else experiment.looks
    if looks > config.steps // config.steps_per_call:
        raise SystemExit(f"there are {config.steps // config.steps_per_call} looks and not {looks}; ask for fewer.")
    identity = {"config": to_json(config), "looks": looks, "images": cache.counted(config.data)}
    where = cache.place(experiment.cache_dir, f"{name}-{digit}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        steps = range(config.steps - (looks - 1) * config.steps_per_call, config.steps + 1, config.steps_per_call)
        look = lambda result: scored(result.config.method, result.state_of(0), connections(PROTOCOLS[name], digit))
        run = training.followed(config, steps, look, checkpoint_dir=where, kept=where.with_suffix(".curve"))
        means = {
            score: {
                column.name: float(np.mean([at[score][column.name] for at in run.curve[-looks:]])) for column in COLUMNS
            }
            for score in anomaly_metrics.SCORES
        }
        return {**means, "curve": run.curve, "seconds": run.seconds}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def control(experiment: Experiment, name: str, digit: int, seed: int) -> dict[str, Any]:
    """Judge untrained networks."""
    config = configure(experiment, PROTOCOLS[name], digit, seed)
    identity = {"untrained": to_json(config), "images": cache.counted(config.data)}
    where = cache.place(experiment.cache_dir, f"{name}-untrained-{digit}-{seed}", identity)
    compute = lambda: scored(*training.untrained(config), connections(PROTOCOLS[name], digit))
    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> list[report.Table]:
    """Train and judge every cell, and print and write a table for each protocol."""
    for asked, known in ((experiment.digits, range(10)), (experiment.protocols, PROTOCOLS)):
        if unknown := set(asked) - set(known):
            told = ", ".join(map(str, known))
            raise SystemExit(f"there is no {', '.join(map(str, unknown))}; choose from {told}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        steps, digits = min(experiment.steps, 20), experiment.digits[:1]
        experiment = dataclasses.replace(
            experiment, digits=digits, num_seeds=1, steps=steps, paper=False, cache_dir=runs, output_dir=runs
        )
    return [tabulated(experiment, name) for name in experiment.protocols]


def tabulated(experiment: Experiment, name: str) -> report.Table:
    """Train and judge every cell of a protocol, print its table, and write it."""
    seeds = range(experiment.first_seed, experiment.first_seed + experiment.num_seeds)
    rows: list[report.Row] = []
    over: dict[str, list[list[dict[str, float]]]] = {}
    for digit in experiment.digits:
        cells: dict[str, list[dict[str, Any]]] = {"MEG": [], "untrained": []}
        for seed in seeds:
            print(f"{PROTOCOLS[name].title}, without {digit}, seed {seed}", flush=True)
            cells["MEG"].append(trained(experiment, name, digit, seed))
            cells["untrained"].append(control(experiment, name, digit, seed))
        for model, made in cells.items():
            for score, told in anomaly_metrics.SCORES.items():
                printed = (model, name) == ("MEG", "released") and digit in PUBLISHED
                paper = {"auprc": PUBLISHED[digit]} if printed else {}
                judged = [cell[score] for cell in made]
                over.setdefault(f"{model}, {told}", []).append(judged)
                rows.append(report.Row.of(f"without {digit}: {model}, {told}", judged, COLUMNS, paper))
    for told, every in over.items():
        mean = [
            {c.name: float(np.mean([judged[place][c.name] for judged in every])) for c in COLUMNS}
            for place in range(len(seeds))
        ]
        rows.append(report.Row.of(f"mean of the digits: {told}", mean, COLUMNS))
    size = experiment.size()
    config = configure(experiment, PROTOCOLS[name], experiment.digits[0], experiment.first_seed)
    remark = (
        f"Networks {size.width} wide, trained {config.steps:,} steps at a rate of {size.rate:g} (the paper's: 512, "
        "55 epochs and 0.0001). AUPRC is average precision; the paper's is the trapezoid under the curve, which "
        "differs little where no scores are equal."
    )
    title = f"{TITLE}, {PROTOCOLS[name].title}"
    table = report.Table(f"meg_mnist_anomaly_{name}", title, COLUMNS, rows, [remark])
    table.write(experiment.output_dir, {"config": to_json(config)})
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
