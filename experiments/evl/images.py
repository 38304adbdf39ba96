"""Figures 4 and 5 of Guttenberg, Generating the support with extreme value losses (2019): MNIST and CIFAR-10.

    python -m experiments.evl.images                                 # one seed of both sets
    python -m experiments.evl.images --num-seeds 5 --output-dir experiments/results      # the tables there
    python -m experiments.evl.images --paper                         # the paper's size; meant for a GPU
    python -m experiments.evl.images --quick                         # a minute

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
from experiments.common import cache, image_classifier, training
from experiments.common.report import Table
from experiments.evl import images_models, images_report
from jaxgen import samplers
from jaxgen.serialization.config_json import to_json


def drawn(experiment: "Experiment", row: str, name: str, seed: int) -> dict[str, Any]:
    """Measure what is taken from the training images: their mean, or some of them."""

    def compute() -> dict[str, Any]:
        order = np.random.default_rng(seed).permutation(len(images_models.SETS[name].train.labels()))
        if row == "mean":
            pool = image_classifier.pixels(images_models.SETS[name].train, order).mean(0, keepdims=True)
            return images_models.distances(name, pool, experiment.guesses)
        pool = image_classifier.pixels(images_models.SETS[name].train, order[: experiment.guesses])
        found: dict[str, Any] = images_models.distances(name, pool, experiment.guesses)
        if images_models.SETS[name].digits:
            look = _judge(experiment, name)
            weighted = image_classifier.frequencies(
                look(pool[: images_report.DRAWS]), images_models.SETS[name].test.labels()
            )
            found |= {"digits": {"weighted": weighted}, "accuracy": look.accuracy}
        return found

    identity = {"row": row, "data": to_json(images_models.SETS[name].train), **_measured(experiment, name)}
    return cache.remembered(experiment.cache_dir / f"{row}-{name}-{seed}.json", identity, compute)


def trained(experiment: "Experiment", row: str, name: str, config: jaxgen.Config) -> dict[str, Any]:
    """Measure a network; where the row is `untrained`, as it was drawn."""
    identity = {"row": row, "config": to_json(config), **_measured(experiment, name)}
    place = cache.place(experiment.cache_dir, f"{row}-{name}-{config.seed}", identity)

    def compute() -> dict[str, Any]:
        cell: dict[str, Any] = {}
        if row == "untrained":
            method, state = training.untrained(config)
        else:
            result, cell = training.timed(config, place)
            last = max(config.steps // 20, 1)
            cell |= {part: float(result.history[part][0, -last:].mean()) for part in ("distance", "cross_entropy")}
            method, state = result.config.method, result.state_of(0)
        pool, log_weights = images_models.guesses(method, state, experiment.guesses)
        cell |= {
            **images_models.distances(name, pool, experiment.guesses),
            "map": images_models.latent_map(method, state),
        }
        if images_models.SETS[name].digits:
            look, labels = _judge(experiment, name), images_models.SETS[name].test.labels()
            seen = look(pool)
            picked = np.asarray(samplers.resample(jax.random.key(1), jnp.asarray(log_weights), images_report.DRAWS))
            share = float(samplers.effective_sample_size(jnp.asarray(log_weights))) / len(pool)
            cell |= {
                "digits": {
                    "weighted": {**image_classifier.frequencies(seen[picked], labels), "ess": share},
                    "unweighted": image_classifier.frequencies(seen, labels),
                },
                "accuracy": look.accuracy,
            }
        return cell

    return cache.remembered(place.with_suffix(".json"), identity, compute)


@functools.cache
def _judge(experiment: "Experiment", name: str) -> image_classifier.Judge:
    return image_classifier.train(
        images_models.SETS[name].train, images_models.SETS[name].test, experiment.judge_steps, experiment.cache_dir
    )


def _measured(experiment: "Experiment", name: str) -> dict[str, Any]:
    return {
        "images": cache.counted(images_models.SETS[name].train, images_models.SETS[name].test),
        "judge": experiment.judge_steps,
        "sizes": images_models.sizes(experiment.guesses),
        "targets": images_models.TARGETS,
        "draws": images_report.DRAWS,
    }


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which images, how many seeds, how long."""

    sets: tuple[str, ...] = tuple(images_models.SETS)
    """Image sets."""
    cells: tuple[str, ...] = ("mean", "training", "untrained", "ours")
    """Rows of the table."""
    num_seeds: int = 1
    """How many seeds."""
    first_seed: int = 0
    """The first of them."""
    steps: int = 1_200
    """Training steps of `ours`: an epoch of MNIST."""
    paper: bool = False
    """The paper's protocol as well: 20 epochs of a network for a GPU, days on two CPU cores."""
    paper_epochs: int = 20
    """Epochs of the paper's protocol; fewer are the beginning of the same run."""
    judge_steps: int = 3_000
    """Training steps of the classifier of digits: five epochs."""
    guesses: int = images_models.SIZES[-1]
    """The most guesses among which the nearest is looked for."""
    quick: bool = False
    """A minute's worth: one seed, few steps, 1,024 guesses."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/images")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/images")
    """Where tables and figures go."""


def measure(experiment: Experiment, row: str, name: str, seed: int) -> dict[str, Any]:
    """Compute one cell, or remember it."""
    if row in ("mean", "training"):
        return drawn(experiment, row, name, seed)
    return trained(experiment, row, name, configure(experiment, row, name, seed))


def configure(experiment: Experiment, row: str, name: str, seed: int) -> jaxgen.Config:
    """Return what is trained."""
    if row == "paper":
        return images_models.paper(name, seed, experiment.paper_epochs)
    return images_models.ours(name, seed, experiment.steps)


def run(experiment: Experiment) -> tuple[Table, Table | None]:
    """Train and measure every cell, print the tables, and write them with their figures."""
    for asked, known in ((experiment.sets, images_models.SETS), (experiment.cells, images_report.ROWS)):
        if unknown := set(asked) - set(known):
            raise SystemExit(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(known)}.")
    if experiment.guesses not in images_models.SIZES:
        sizes = ", ".join(map(str, images_models.SIZES))
        raise SystemExit(f"guesses is {experiment.guesses}, at which nothing is measured; choose from {sizes}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            num_seeds=1,
            steps=min(experiment.steps, 40),
            paper=False,
            judge_steps=min(experiment.judge_steps, 200),
            guesses=min(experiment.guesses, 1024),
            output_dir=runs,
            cache_dir=runs,
        )
    if experiment.paper:
        experiment = dataclasses.replace(experiment, cells=tuple(dict.fromkeys((*experiment.cells, "paper"))))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in experiment.sets:
        for row in experiment.cells:
            for seed in range(
                experiment.first_seed, experiment.first_seed + (1 if row == "mean" else experiment.num_seeds)
            ):
                print(f"{name}, {images_report.ROWS[row]}, seed {seed}", flush=True)
                found.setdefault(name, {}).setdefault(row, []).append(measure(experiment, row, name, seed))
        images_report.draw(experiment.output_dir / f"evl_images_{name}.png", name, found[name])
    nearest = images_report.nearest(experiment, found)
    configs = {
        f"{name} {row}": to_json(configure(experiment, row, name, experiment.first_seed))
        for name, kinds in found.items()
        for row in kinds
        if row in ("ours", "paper")
    }
    nearest.write(experiment.output_dir, {"targets": images_models.TARGETS, "configs": configs})
    digits = images_report.digits(
        experiment, {name: rows for name, rows in found.items() if images_models.SETS[name].digits}
    )
    if digits:
        digits.write(experiment.output_dir, {"draws": images_report.DRAWS, "configs": configs})
    return nearest, digits


if __name__ == "__main__":
    run(tyro.cli(Experiment))
