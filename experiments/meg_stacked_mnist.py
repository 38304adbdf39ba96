"""Table 1 of Kumar et al., Maximum entropy generators for energy-based models (2019): the modes of stacked digits.

    python -m experiments.meg_stacked_mnist                              # one seed of a reduced size
    python -m experiments.meg_stacked_mnist --seeds 5 --out experiments/results
    python -m experiments.meg_stacked_mnist --paper --stacks 3 4         # the paper's size: meant for a GPU
    python -m experiments.meg_stacked_mnist --quick                      # two minutes

Three digits, one to a colour, make 1,000 modes and four 10,000. A classifier trained here tells which digits 26 samples
for each mode show. It is asked without its dropout, which the released code leaves on: that blurs classes, finds more
modes and brings their law nearer to the uniform one. What an even sampler scores with as many samples is the floor.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments import energies, judge, report, trials
from jaxgen import data, metrics
from jaxgen.description import describe

TITLE = "Table 1: modes of stacked MNIST found, and KL(samples || uniform)"
COLUMNS = [
    report.Column("found", "modes", 0),
    report.Column("kl", "KL, nats", 4),
    report.Column("above", "KL above the tuples'", 4),
    report.Column("seconds", "seconds", 0),
]
PUBLISHED = {  # by stacks
    "meg_released": {3: {"found": 1000, "kl": 0.0313}, 4: {"found": 10_000, "kl": 0.0480}},
    "wgan_released": {3: {"found": 959, "kl": 0.7276}, 4: {"found": 9538, "kl": 0.9144}},
}
EACH = 26  # samples for each mode
TRAIN, TEST = data.Images("mnist"), data.Images("mnist", "test")
REFERENCES = {
    "even": "an even sampler (floor)",
    "frequencies": "digits as often as in MNIST",
    "tuples": "the training tuples",
    "seen": "the training tuples, as the classifier sees them",
}


@dataclasses.dataclass(frozen=True)
class Experiment(energies.Experiment):
    """Which rows, how many seeds, how large."""

    models: tuple[str, ...] = tuple(energies.VARIANTS)
    """Rows of the table."""
    stacks: tuple[int, ...] = (3,)
    """Digits in an image."""
    judge_steps: int = 3_000
    """Training steps of the classifier, of 100 images."""
    quick: bool = False
    """Two minutes: one seed, 20 steps, a classifier of 300 steps."""
    runs: pathlib.Path = pathlib.Path("runs/meg_stacked_mnist")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path = pathlib.Path("runs/meg_stacked_mnist")
    """Where the table and the figure go."""


def configure(experiment: Experiment, model: str, stacks: int, seed: int) -> jaxgen.Config:
    """Return what a row trains."""
    images, shape = data.StackedMNIST(stacks, images=TRAIN), (*TRAIN.tables()[0].shape[1:3], stacks)
    return energies.configure(model, images, shape, seed, experiment.size())


def reference(experiment: Experiment, row: str, stacks: int, seed: int) -> dict[str, float]:
    """Count the modes of labels that are drawn without a network; the tuples are the same for all seeds."""
    generator = np.random.default_rng(seed)
    count = EACH * 10**stacks
    if row == "even":
        labels = generator.integers(0, 10, (count, stacks))
    elif row == "frequencies":
        labels = generator.choice(TRAIN.labels(), (count, stacks))
    else:
        tuples = data.StackedMNIST(stacks, images=TRAIN)
        known = TRAIN.labels() if row == "tuples" else _seen(experiment)
        labels = known[tuples.chosen()[generator.integers(0, len(tuples.chosen()), count)]]
    return metrics.mode_coverage(labels)._asdict()


def trained(experiment: Experiment, model: str, stacks: int, seed: int, *, train: bool = True) -> dict[str, Any]:
    """Count the modes of a generator's samples, trained or as it was drawn."""
    config = configure(experiment, model, stacks, seed)
    identity = {"config": describe(config), "judge": experiment.judge_steps, "trained": train, "each": EACH}
    identity["images"] = trials.counted(TRAIN, TEST)
    name = f"{model if train else 'untrained'}-{stacks}-{seed}"
    where = trials.place(experiment.runs, name, describe(config))

    def compute() -> dict[str, Any]:
        method, state, cell = trials.networks(config, where, train=train)
        look, labels, first = _judge(experiment), [], []
        for images in energies.draws(method, state, EACH * 10**stacks, seed=seed):
            first.append(images[:64])
            apart = np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3], 1)
            labels.append(look(apart).argmax(1).reshape(-1, stacks))
        picture = np.uint8(np.round(first[0][..., :3] * 255)).tolist()
        return {**cell, **metrics.mode_coverage(np.concatenate(labels))._asdict(), "picture": picture}

    return trials.remembered(where.with_suffix(".json"), identity, compute)


def _judge(experiment: Experiment) -> judge.Judge:
    return _judge_of(experiment.judge_steps, experiment.runs)


@functools.cache
def _judge_of(steps: int, runs: pathlib.Path) -> judge.Judge:
    return judge.train(TRAIN, TEST, steps, runs)


def _seen(experiment: Experiment) -> np.ndarray:
    """Return the class of each training digit as the classifier sees it."""
    return _seen_by(experiment.judge_steps, experiment.runs)


@functools.cache
def _seen_by(steps: int, runs: pathlib.Path) -> np.ndarray:
    return _judge_of(steps, runs)(judge.pixels(TRAIN, np.arange(len(TRAIN.labels())))).argmax(1)


def run(experiment: Experiment) -> report.Table:
    """Train and count every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.models) - set(energies.VARIANTS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(energies.VARIANTS)}.")
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            models=experiment.models[:1],
            seeds=1,
            steps=min(experiment.steps, 20),
            judge_steps=min(experiment.judge_steps, 300),
            paper=False,
            runs=runs,
            out=runs,
        )
    seeds = range(experiment.first, experiment.first + experiment.seeds)
    rows, pictures, configs = [], {}, {}
    for stacks in experiment.stacks:
        told = lambda row: f"{stacks} digits: {row}"  # noqa: B023
        known = {row: [reference(experiment, row, stacks, seed) for seed in seeds] for row in REFERENCES}
        base = float(np.mean([cell["kl"] for cell in known["tuples"]]))
        rows += [_row(told(title), known[row], base, {}) for row, title in REFERENCES.items()]
        untrained = [trained(experiment, experiment.models[0], stacks, seed, train=False) for seed in seeds]
        rows.append(_row(told("untrained"), untrained, base, {}))
        for model in experiment.models:
            cells = []
            for seed in seeds:
                print(told(f"{energies.VARIANTS[model][0]}, seed {seed}"), flush=True)
                cells.append(trained(experiment, model, stacks, seed))
            paper = PUBLISHED.get(model, {}).get(stacks, {})
            rows.append(_row(told(energies.VARIANTS[model][0]), cells, base, paper))
            pictures[told(energies.VARIANTS[model][0])] = cells[0]["picture"]
            configs[f"{model}, {stacks}"] = describe(configure(experiment, model, stacks, experiment.first))
    accuracy = _judge(experiment).accuracy
    remark = f"Of {experiment.size().told()}. The classifier has {accuracy:.2%} of the test digits right."
    table = report.Table("meg_stacked_mnist", TITLE, COLUMNS, rows, [remark])
    table.write(experiment.out, {"configs": configs, "accuracy": accuracy})
    report.pictures(experiment.out / "meg_stacked_mnist.png", pictures)
    return table


def _row(title: str, cells: list[dict[str, Any]], base: float, paper: dict[str, float]) -> report.Row:
    return report.Row.of(title, [{**cell, "above": cell["kl"] - base} for cell in cells], COLUMNS, paper)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
