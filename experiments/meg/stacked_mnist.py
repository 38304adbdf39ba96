"""Table 1 of Kumar et al., Maximum entropy generators for energy-based models (2019): the modes of stacked digits.

    python -m experiments.meg.stacked_mnist                              # one seed of a reduced size
    python -m experiments.meg.stacked_mnist --num-seeds 5 --output-dir experiments/results
    python -m experiments.meg.stacked_mnist --paper --stacks 3 4         # the paper's size: meant for a GPU
    python -m experiments.meg.stacked_mnist --quick                      # two minutes

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
from experiments.common import cache, image_classifier, report, training
from experiments.meg import image_models
from jaxgen import data, metrics
from jaxgen.serialization.config_json import to_json

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
class Experiment(image_models.Experiment):
    """Which rows, how many seeds, how large."""

    models: tuple[str, ...] = tuple(image_models.VARIANTS)
    """Rows of the table."""
    stacks: tuple[int, ...] = (3,)
    """Digits in an image."""
    judge_steps: int = 3_000
    """Training steps of the classifier, of 100 images."""
    quick: bool = False
    """Two minutes: one seed, 20 steps, a classifier of 300 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/stacked_mnist")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/stacked_mnist")
    """Where the table and the figure go."""


def configure(experiment: Experiment, model: str, stacks: int, seed: int) -> jaxgen.Config:
    """Return what a row trains."""
    images, shape = data.StackedMNIST(stacks, images=TRAIN), (*TRAIN.tables()[0].shape[1:3], stacks)
    return image_models.configure(model, images, shape, seed, experiment.size())


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
    identity = {"config": to_json(config), "judge": experiment.judge_steps, "trained": train, "each": EACH}
    identity["images"] = cache.counted(TRAIN, TEST)
    name = f"{model if train else 'untrained'}-{stacks}-{seed}"
    where = cache.place(experiment.cache_dir, name, to_json(config))

    def compute() -> dict[str, Any]:
        method, state, cell = training.networks(config, where, train=train)
        look, labels, first = _judge(experiment), [], []
        for images in image_models.draws(method, state, EACH * 10**stacks, seed=seed):
            first.append(images[:64])
            apart = np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3], 1)
            labels.append(look(apart).argmax(1).reshape(-1, stacks))
        picture = np.uint8(np.round(first[0][..., :3] * 255)).tolist()
        return {**cell, **metrics.mode_coverage(np.concatenate(labels))._asdict(), "picture": picture}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def _judge(experiment: Experiment) -> image_classifier.Judge:
    return _judge_of(experiment.judge_steps, experiment.cache_dir)


@functools.cache
def _judge_of(steps: int, runs: pathlib.Path) -> image_classifier.Judge:
    return image_classifier.train(TRAIN, TEST, steps, runs)


def _seen(experiment: Experiment) -> np.ndarray:
    """Return the class of each training digit as the classifier sees it."""
    return _seen_by(experiment.judge_steps, experiment.cache_dir)


@functools.cache
def _seen_by(steps: int, runs: pathlib.Path) -> np.ndarray:
    return _judge_of(steps, runs)(image_classifier.pixels(TRAIN, np.arange(len(TRAIN.labels())))).argmax(1)


def run(experiment: Experiment) -> report.Table:
    """Train and count every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.models) - set(image_models.VARIANTS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(image_models.VARIANTS)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            models=experiment.models[:1],
            num_seeds=1,
            steps=min(experiment.steps, 20),
            judge_steps=min(experiment.judge_steps, 300),
            paper=False,
            cache_dir=runs,
            output_dir=runs,
        )
    seeds = range(experiment.first_seed, experiment.first_seed + experiment.num_seeds)
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
                print(told(f"{image_models.VARIANTS[model][0]}, seed {seed}"), flush=True)
                cells.append(trained(experiment, model, stacks, seed))
            paper = PUBLISHED.get(model, {}).get(stacks, {})
            rows.append(_row(told(image_models.VARIANTS[model][0]), cells, base, paper))
            pictures[told(image_models.VARIANTS[model][0])] = cells[0]["picture"]
            configs[f"{model}, {stacks}"] = to_json(configure(experiment, model, stacks, experiment.first_seed))
    accuracy = _judge(experiment).accuracy
    remark = f"Of {experiment.size().told()}. The classifier has {accuracy:.2%} of the test digits right."
    table = report.Table("meg_stacked_mnist", TITLE, COLUMNS, rows, [remark])
    table.write(experiment.output_dir, {"configs": configs, "accuracy": accuracy})
    report.pictures(experiment.output_dir / "meg_stacked_mnist.png", pictures)
    return table


def _row(title: str, cells: list[dict[str, Any]], base: float, paper: dict[str, float]) -> report.Row:
    return report.Row.of(title, [{**cell, "above": cell["kl"] - base} for cell in cells], COLUMNS, paper)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
