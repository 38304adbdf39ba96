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

    sets: tuple[str, ...] = tuple(images_models.IMAGE_SETS)
    """Image sets."""
    rows: tuple[str, ...] = ("mean", "training", "untrained", "ours")
    """Rows of the table."""
    steps: int = 1_200
    """Training steps of `ours`: an epoch of MNIST."""
    paper: bool = False
    """The paper's protocol as well: 20 epochs of a network for a GPU, days on two CPU cores."""
    paper_epochs: int = 20
    """Epochs of the paper's protocol; fewer are the beginning of the same run."""
    classifier_steps: int = 3_000
    """Training steps of the classifier of digits: five epochs."""
    guesses: int = images_models.SIZES[-1]
    """Largest number of guesses among which the nearest is searched for."""

    name = "evl/images"
    choices = {
        "sets": images_models.IMAGE_SETS,
        "rows": images_report.ROW_TITLES,
        "guesses": images_models.SIZES,
    }

    def reduced(self) -> "Experiment":
        """One seed, few steps, 1,024 guesses."""
        return dataclasses.replace(
            self,
            num_seeds=1,
            steps=min(self.steps, 40),
            paper=False,
            classifier_steps=min(self.classifier_steps, 200),
            guesses=min(self.guesses, 1024),
        )

    def config(self, row: str, name: str, seed: int) -> jaxgen.Config:
        """What is trained."""
        if row == "paper":
            return images_models.paper(name, seed, self.paper_epochs)
        return images_models.ours(name, seed, self.steps)

    def cells(self) -> Iterator[Cell]:
        """Every row of every image set; the mean image has no seed."""
        for name in self.sets:
            images = images_models.IMAGE_SETS[name]
            settings = {"images": cache.counted(images.train, images.test)}
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
    """Measure a network, trained or at its initial values.

    Args:
        config: what is trained.
        train: whether to train it.
        name: of the image set.
        guesses: number of guesses among which the nearest is searched for.
        classifier_steps: training steps of the classifier of digits.
        runs: directory of the classifier.
        directory: of checkpoints.

    Returns:
        Distances, the map of the latent space and, for digits, their frequencies and the classifier's accuracy.
    """
    images = images_models.IMAGE_SETS[name]
    cell: dict[str, Any] = {}
    if train:
        result, cell = training.timed(config, directory)
        last = max(config.steps // 20, 1)
        cell |= {part: float(result.history[part][0, -last:].mean()) for part in ("distance", "cross_entropy")}
        method, state = result.config.method, result.state_of(0)
    else:
        method, state = training.untrained(config)
    pool, log_weights = images_models.guesses(method, state, guesses)
    cell |= {
        **images_models.distances(name, pool, guesses),
        "map": images_models.latent_map(method, state),
    }
    if images.digits:
        trained, labels = classifier(name, classifier_steps, runs), images.test.labels()
        log_p = trained(pool)
        picked = np.asarray(samplers.resample(jax.random.key(1), jnp.asarray(log_weights), images_report.DRAWS))
        share = float(samplers.effective_sample_size(jnp.asarray(log_weights))) / len(pool)
        cell |= {
            "digits": {
                "weighted": {**image_classifier.frequencies(log_p[picked], labels), "ess": share},
                "unweighted": image_classifier.frequencies(log_p, labels),
            },
            "accuracy": trained.accuracy,
        }
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
        trained = classifier(name, classifier_steps, runs)
        weighted = image_classifier.frequencies(trained(pool[: images_report.DRAWS]), images.test.labels())
        cell |= {"digits": {"weighted": weighted}, "accuracy": trained.accuracy}
    return cell


@functools.cache
def classifier(name: str, steps: int, runs: pathlib.Path) -> image_classifier.Judge:
    """Train the classifier of digits, or load it."""
    images = images_models.IMAGE_SETS[name]
    return image_classifier.train(images.train, images.test, steps, runs)


if __name__ == "__main__":
    experiment.main(Experiment)
