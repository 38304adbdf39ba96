"""Figures 4 and 5 of Guttenberg, Generating the support with extreme value losses (2019): MNIST and CIFAR-10.

    python -m experiments.evl.images                                 # one seed of both sets
    python -m experiments.evl.images --num-seeds 5 --output-dir experiments/results/evl    # the committed tables
    python -m experiments.evl.images --paper                         # the paper's size; meant for a GPU
    python -m experiments.evl.images --quick                         # a minute

The paper shows maps of the two-dimensional latent space and prints no number. Measured here are also the distance of a
test image to the nearest of n guesses, and the frequency of each digit according to a classifier that is trained here.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, experiment, image_classifier, report, training
from experiments.common.experiment import Cell, Results
from experiments.evl import images_models, images_report
from jaxgen import samplers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Image sets, rows, number of seeds, and length of trainings."""

    sets: tuple[str, ...] = tuple(images_models.IMAGE_SETS)  # image sets
    rows: tuple[str, ...] = ("mean", "training", "untrained", "ours")  # rows of the table
    steps: int = 1_200  # training steps of `ours`: an epoch of MNIST
    paper: bool = False  # the paper's protocol as well: 20 epochs of a network for a GPU, days on two CPU cores
    paper_epochs: int = 20  # epochs of the paper's protocol; fewer are the beginning of the same run
    classifier_steps: int = 3_000  # training steps of the classifier of digits: five epochs
    guesses: int = images_models.SIZES[-1]  # largest number of guesses among which the nearest is searched for

    name = "evl/images"
    choices = {"sets": images_models.IMAGE_SETS, "rows": images_report.ROW_TITLES, "guesses": images_models.SIZES}
    small = {"steps": 40, "paper": False, "classifier_steps": 200, "guesses": 1024}

    def config(self, row: str, name: str, seed: int) -> jaxgen.Config:
        """What is trained."""
        if row == "paper":
            return images_models.paper(name, seed, self.paper_epochs)
        return images_models.ours(name, seed, self.steps)

    def cells(self) -> Iterator[Cell]:
        """Every row of every image set; the mean image has no seed."""
        for name in self.sets:
            images = images_models.IMAGE_SETS[name]
            settings = {"images": cache.table_lengths(images.train, images.test)}
            sizes = (self.guesses, self.classifier_steps, self.directory)
            for row in dict.fromkeys((*self.rows, *["paper"] * self.paper)):
                for seed in self.seeds[:1] if row == "mean" else self.seeds:
                    if row in ("mean", "training"):
                        control = functools.partial(measured_images, row, name, seed, *sizes)
                        yield Cell(f"{row}-{name}", seed, control, settings=settings)
                    else:
                        config = self.config(row, name, seed)
                        measure = functools.partial(measured, config, row != "untrained", name, *sizes)
                        yield Cell(f"{row}-{name}", seed, measure, config, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """Distances to the nearest guess, and digits of the sets that have them."""
        by_set = self.by_set(results)
        configs = {
            f"{name} {row}": jaxgen.to_json(self.config(row, name, self.first_seed))
            for name, rows in by_set.items()
            for row in rows
            if row in ("ours", "paper")
        }
        nearest = images_report.nearest(self, by_set)
        tables = [dataclasses.replace(nearest, details={"targets": images_models.TARGETS, "configs": configs})]
        with_digits = {name: rows for name, rows in by_set.items() if images_models.IMAGE_SETS[name].digits}
        if digits := images_report.digits(self, with_digits):
            tables.append(dataclasses.replace(digits, details={"draws": images_report.DRAWS, "configs": configs}))
        return tables

    def figures(self, results: Results) -> None:
        """A figure for each image set."""
        for name, rows in self.by_set(results).items():
            images_report.draw(self.results_directory / f"images_{name}.png", name, rows)

    def by_set(self, results: Results) -> dict[str, Results]:
        """Measurements of each row, by image set."""
        return {
            name: {row: results[f"{row}-{name}"] for row in images_report.ROW_TITLES if f"{row}-{name}" in results}
            for name in self.sets
        }


def measured(
    config: jaxgen.Config,
    train: bool,
    name: str,
    guesses: int,
    classifier_steps: int,
    runs: pathlib.Path,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """Measure a network, trained or at its initial values: distances, the latent map and, for digits, frequencies."""
    images = images_models.IMAGE_SETS[name]
    result, times = training.timed(config, directory, train=train)
    cell: dict[str, Any] = {**times}
    if train:
        last = max(config.steps // 20, 1)
        cell |= {part: float(result.history[part][0, -last:].mean()) for part in ("distance", "cross_entropy")}
    pool, log_weights = images_models.guesses(result, guesses)
    cell |= {**images_models.distances(name, pool, guesses), "map": images_models.latent_map(result)}
    if images.digits:
        classifier, labels = (
            image_classifier.train(images.train, images.test, classifier_steps, runs),
            images.test.labels(),
        )
        log_p = classifier(pool)
        picked = np.asarray(samplers.resample(jax.random.key(1), jnp.asarray(log_weights), images_report.DRAWS))
        share = float(samplers.effective_sample_size(jnp.asarray(log_weights))) / len(pool)
        weighted = {**image_classifier.frequencies(log_p[picked], labels), "ess": share}
        digits = {"weighted": weighted, "unweighted": image_classifier.frequencies(log_p, labels)}
        cell |= {"digits": digits, "accuracy": classifier.accuracy}
    return cell


def measured_images(
    row: str,
    name: str,
    seed: int,
    guesses: int,
    classifier_steps: int,
    runs: pathlib.Path,
    directory: pathlib.Path,
) -> dict[str, Any]:
    """Measure the mean of the training images (`mean`), or some of them (`training`), in place of guesses."""
    images = images_models.IMAGE_SETS[name]
    order = np.random.default_rng(seed).permutation(len(images.train.labels()))
    if row == "mean":
        pool = image_classifier.pixels(images.train, order).mean(0, keepdims=True)
        return images_models.distances(name, pool, guesses)
    pool = image_classifier.pixels(images.train, order[:guesses])
    cell: dict[str, Any] = images_models.distances(name, pool, guesses)
    if images.digits:
        classifier = image_classifier.train(images.train, images.test, classifier_steps, runs)
        weighted = image_classifier.frequencies(classifier(pool[: images_report.DRAWS]), images.test.labels())
        cell |= {"digits": {"weighted": weighted}, "accuracy": classifier.accuracy}
    return cell


if __name__ == "__main__":
    experiment.main(Experiment)
