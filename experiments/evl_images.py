"""Figures 4 and 5 of Guttenberg, Generating the support with extreme value losses (2019): MNIST and CIFAR-10.

    python -m experiments.evl_images                                 # one seed of both sets
    python -m experiments.evl_images --seeds 5 --out experiments/results      # the tables there
    python -m experiments.evl_images --paper                         # the paper's size; meant for a GPU
    python -m experiments.evl_images --quick                         # a minute

The paper shows maps of the two-dimensional latent space and prints no number. Measured here besides: how far a test
image is from the nearest of n guesses, and how often each digit is drawn, as a classifier trained here sees it.
Cells and checkpoints are kept in `runs/`, so an experiment that was cut off goes on where it stopped.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments import images, images_report, judge, trials
from experiments.report import Table
from jaxgen import samplers
from jaxgen.description import describe


def drawn(experiment: "Experiment", row: str, name: str, seed: int) -> dict[str, Any]:
    """Measure what is taken from the training images: their mean, or some of them."""

    def compute() -> dict[str, Any]:
        order = np.random.default_rng(seed).permutation(len(images.SETS[name].train.labels()))
        if row == "mean":
            pool = judge.pixels(images.SETS[name].train, order).mean(0, keepdims=True)
            return images.distances(name, pool, experiment.guesses)
        pool = judge.pixels(images.SETS[name].train, order[: experiment.guesses])
        found: dict[str, Any] = images.distances(name, pool, experiment.guesses)
        if images.SETS[name].digits:
            look = _judge(experiment, name)
            weighted = judge.frequencies(look(pool[: images_report.DRAWS]), images.SETS[name].test.labels())
            found |= {"digits": {"weighted": weighted}, "accuracy": look.accuracy}
        return found

    identity = {"row": row, "data": describe(images.SETS[name].train), **_measured(experiment, name)}
    return trials.remembered(experiment.runs / f"{row}-{name}-{seed}.json", identity, compute)


def trained(experiment: "Experiment", row: str, name: str, config: jaxgen.Config) -> dict[str, Any]:
    """Measure a network; where the row is `untrained`, as it was drawn."""
    identity = {"row": row, "config": describe(config), **_measured(experiment, name)}
    place = trials.place(experiment.runs, f"{row}-{name}-{config.seed}", identity)

    def compute() -> dict[str, Any]:
        cell: dict[str, Any] = {}
        if row == "untrained":
            method, state = trials.untrained(config)
        else:
            result, cell = trials.timed(config, place)
            last = max(config.steps // 20, 1)
            cell |= {part: float(result.history[part][0, -last:].mean()) for part in ("distance", "cross_entropy")}
            method, state = result.config.method, result.of(0)
        pool, log_weights = images.guesses(method, state, experiment.guesses)
        cell |= {**images.distances(name, pool, experiment.guesses), "map": images.latent_map(method, state)}
        if images.SETS[name].digits:
            look, labels = _judge(experiment, name), images.SETS[name].test.labels()
            seen = look(pool)
            picked = np.asarray(samplers.resample(jax.random.key(1), jnp.asarray(log_weights), images_report.DRAWS))
            share = float(samplers.effective_sample_size(jnp.asarray(log_weights))) / len(pool)
            cell |= {
                "digits": {
                    "weighted": {**judge.frequencies(seen[picked], labels), "ess": share},
                    "unweighted": judge.frequencies(seen, labels),
                },
                "accuracy": look.accuracy,
            }
        return cell

    return trials.remembered(place.with_suffix(".json"), identity, compute)


@functools.cache
def _judge(experiment: "Experiment", name: str) -> judge.Judge:
    return judge.train(images.SETS[name].train, images.SETS[name].test, experiment.judge_steps, experiment.runs)


def _measured(experiment: "Experiment", name: str) -> dict[str, Any]:
    return {
        "images": trials.counted(images.SETS[name].train, images.SETS[name].test),
        "judge": experiment.judge_steps,
        "sizes": images.sizes(experiment.guesses),
        "targets": images.TARGETS,
        "draws": images_report.DRAWS,
    }


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which images, how many seeds, how long."""

    sets: tuple[str, ...] = tuple(images.SETS)
    """Image sets."""
    cells: tuple[str, ...] = ("mean", "training", "untrained", "ours")
    """Rows of the table."""
    seeds: int = 1
    """How many seeds."""
    first: int = 0
    """The first of them."""
    steps: int = 1_200
    """Training steps of `ours`: an epoch of MNIST."""
    paper: bool = False
    """The paper's protocol as well: 20 epochs of a network for a GPU, days on two CPU cores."""
    paper_epochs: int = 20
    """Epochs of the paper's protocol; fewer are the beginning of the same run."""
    judge_steps: int = 3_000
    """Training steps of the classifier of digits: five epochs."""
    guesses: int = images.SIZES[-1]
    """The most guesses among which the nearest is looked for."""
    quick: bool = False
    """A minute's worth: one seed, few steps, 1,024 guesses."""
    runs: pathlib.Path = pathlib.Path("runs/evl_images")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path = pathlib.Path("runs/evl_images")
    """Where tables and figures go."""


def measure(experiment: Experiment, row: str, name: str, seed: int) -> dict[str, Any]:
    """Compute one cell, or remember it."""
    if row in ("mean", "training"):
        return drawn(experiment, row, name, seed)
    return trained(experiment, row, name, configure(experiment, row, name, seed))


def configure(experiment: Experiment, row: str, name: str, seed: int) -> jaxgen.Config:
    """Return what is trained."""
    if row == "paper":
        return images.paper(name, seed, experiment.paper_epochs)
    return images.ours(name, seed, experiment.steps)


def run(experiment: Experiment) -> tuple[Table, Table | None]:
    """Train and measure every cell, print the tables, and write them with their figures."""
    for asked, known in ((experiment.sets, images.SETS), (experiment.cells, images_report.ROWS)):
        if unknown := set(asked) - set(known):
            raise SystemExit(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(known)}.")
    if experiment.guesses not in images.SIZES:
        sizes = ", ".join(map(str, images.SIZES))
        raise SystemExit(f"guesses is {experiment.guesses}, at which nothing is measured; choose from {sizes}.")
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            seeds=1,
            steps=min(experiment.steps, 40),
            paper=False,
            judge_steps=min(experiment.judge_steps, 200),
            guesses=min(experiment.guesses, 1024),
            out=runs,
            runs=runs,
        )
    if experiment.paper:
        experiment = dataclasses.replace(experiment, cells=tuple(dict.fromkeys((*experiment.cells, "paper"))))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in experiment.sets:
        for row in experiment.cells:
            for seed in range(experiment.first, experiment.first + (1 if row == "mean" else experiment.seeds)):
                print(f"{name}, {images_report.ROWS[row]}, seed {seed}", flush=True)
                found.setdefault(name, {}).setdefault(row, []).append(measure(experiment, row, name, seed))
        images_report.draw(experiment.out / f"evl_images_{name}.png", name, found[name])
    nearest = images_report.nearest(experiment, found)
    configs = {
        f"{name} {row}": describe(configure(experiment, row, name, experiment.first))
        for name, kinds in found.items()
        for row in kinds
        if row in ("ours", "paper")
    }
    nearest.write(experiment.out, {"targets": images.TARGETS, "configs": configs})
    digits = images_report.digits(experiment, {name: rows for name, rows in found.items() if images.SETS[name].digits})
    if digits:
        digits.write(experiment.out, {"draws": images_report.DRAWS, "configs": configs})
    return nearest, digits


if __name__ == "__main__":
    run(tyro.cli(Experiment))
