"""Table 1 of Kumar et al., Maximum entropy generators for energy-based models (2019): the modes of stacked MNIST.

    python -m experiments.meg.stacked_mnist                              # one seed of a reduced size
    python -m experiments.meg.stacked_mnist --num-seeds 5 --output-dir experiments/results/meg   # table and figure
    python -m experiments.meg.stacked_mnist --paper --stacks 3 4         # the paper's size: meant for a GPU
    python -m experiments.meg.stacked_mnist --quick                      # two minutes

Three digits, one in each color channel, have 1,000 modes, and four have 10,000. A classifier trained here predicts the
digits of 26 samples for each mode. Its dropout is off during evaluation. The released code leaves it on, which blurs
the classes, finds more modes, and brings their distribution nearer to the uniform one. The floor is a uniform sampler
with the same number of samples.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxgen
from experiments.common import cache, experiment, image_classifier, report, training
from experiments.common.experiment import Cell, Results
from experiments.meg import image_models
from jaxgen import data, metrics

TITLE = "Table 1: covered modes of stacked MNIST, and KL(samples || uniform)"
COLUMNS = [
    report.Column("covered", "modes", 0),
    report.Column("kl", "KL, nats", 4),
    report.Column("above", "KL above the tuples'", 4),
    report.Column("seconds", "seconds", 0),
]
PUBLISHED = {  # by stacks
    "meg_released": {3: {"covered": 1000, "kl": 0.0313}, 4: {"covered": 10_000, "kl": 0.0480}},
    "wgan_released": {3: {"covered": 959, "kl": 0.7276}, 4: {"covered": 9538, "kl": 0.9144}},
}
SAMPLES_PER_MODE = 26
TRAIN, TEST = data.Images("mnist"), data.Images("mnist", "test")
REFERENCES = {
    "even": "an even sampler (floor)",
    "frequencies": "digits as often as in MNIST",
    "tuples": "the training tuples",
    "seen": "the training tuples, as the classifier predicts them",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(image_models.Experiment):
    """Models, digits, number of seeds, and size."""

    models: tuple[str, ...] = tuple(image_models.VARIANTS)  # rows of the table
    stacks: tuple[int, ...] = (3,)  # digits in an image
    classifier_steps: int = 3_000  # training steps of the classifier, of 100 images each

    name = "meg/stacked_mnist"
    choices = {"models": image_models.VARIANTS}
    small = {"models": slice(1), "classifier_steps": 300}

    def config(self, model: str, stacks: int, seed: int) -> jaxgen.Config:
        """Configuration of one model."""
        images, shape = data.StackedMNIST(stacks, images=TRAIN), (*TRAIN.tables()[0].shape[1:3], stacks)
        return self.image_config(model, images, shape, seed)

    def cells(self) -> Iterator[Cell]:
        """The classifier's accuracy; and for each number of digits the references, untrained and trained networks."""
        images = {"images": cache.table_lengths(TRAIN, TEST)}
        classifier = TRAIN, TEST, self.classifier_steps, self.directory
        accuracy = functools.partial(image_classifier.measure_accuracy, classifier)
        yield Cell("classifier", 0, accuracy, settings=images)
        for stacks in self.stacks:
            for row in REFERENCES:
                for seed in self.seeds:
                    measure = functools.partial(measure_reference, row, stacks, seed, classifier)
                    yield Cell(f"{stacks}-{row}", seed, measure, settings=images)
            trained = [(model, model, True) for model in self.models]
            for row, model, train in [("untrained", self.models[0], False), *trained]:
                for seed in self.seeds:
                    config = self.config(model, stacks, seed)
                    measure = functools.partial(measure_model, config, train, stacks, classifier)
                    yield Cell(f"{stacks}-{row}", seed, measure, config, images)

    def tables(self, results: Results) -> list[report.Table]:
        """The table of all numbers of digits."""
        titles = {**REFERENCES, "untrained": "untrained", **{name: _title(name) for name in self.models}}
        rows, configs = [], {}
        for stacks in self.stacks:
            base = float(np.mean([cell["kl"] for cell in results[f"{stacks}-tuples"]]))
            for row, title in titles.items():
                cells = [{**cell, "above": cell["kl"] - base} for cell in results[f"{stacks}-{row}"]]
                paper = PUBLISHED.get(row, {}).get(stacks, {})
                rows.append(report.Row.of(f"{stacks} digits: {title}", cells, COLUMNS, paper))
            for model in self.models:
                configs[f"{model}, {stacks}"] = jaxgen.to_json(self.config(model, stacks, self.first_seed))
        accuracy = results["classifier"][0]["accuracy"]
        remark = f"Of {self.size()}. The classifier's accuracy on test digits is {accuracy:.2%}."
        details = {"configs": configs, "accuracy": accuracy}
        return [report.Table("stacked_mnist", TITLE, COLUMNS, rows, [remark], details=details)]

    def figures(self, results: Results) -> None:
        """Samples of each model, of the first seed."""
        shown = {
            f"{stacks} digits: {_title(model)}": results[f"{stacks}-{model}"][0]["picture"]
            for stacks in self.stacks
            for model in self.models
        }
        report.image_panels(self.results_directory / "stacked_mnist.png", shown)


def covered(labels: np.ndarray) -> dict[str, float]:
    """Number of modes found, and the KL divergence of the modes' shares from uniform."""
    coverage = metrics.mode_coverage(labels)
    return {"covered": coverage.num_modes, "kl": coverage.kl}


def measure_reference(
    row: str, stacks: int, seed: int, classifier: tuple[Any, ...], directory: pathlib.Path
) -> dict[str, float]:
    """Count the modes of labels that are sampled without a network; the training tuples are the same for all seeds."""
    generator = np.random.default_rng(seed)
    count = SAMPLES_PER_MODE * 10**stacks
    if row == "even":
        labels = generator.integers(0, 10, (count, stacks))
    elif row == "frequencies":
        labels = generator.choice(TRAIN.labels(), (count, stacks))
    else:
        tuples = data.StackedMNIST(stacks, images=TRAIN).chosen()
        digits = TRAIN.labels() if row == "tuples" else predicted_digits(*classifier)
        labels = digits[tuples[generator.integers(0, len(tuples), count)]]
    return covered(labels)


def measure_model(
    config: jaxgen.Config, train: bool, stacks: int, classifier: tuple[Any, ...], directory: pathlib.Path
) -> dict[str, Any]:
    """Count the modes of a generator's samples, trained or untrained."""
    result, times = training.timed(config, directory, train=train)
    predict, labels, first = image_classifier.train(*classifier), [], []
    for images in image_models.samples(result, SAMPLES_PER_MODE * 10**stacks, seed=config.seed):
        first.append(images[:64])
        digits = np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3], 1)
        labels.append(predict(digits).argmax(1).reshape(-1, stacks))
    picture = image_models.as_bytes(first[0][..., :3])
    return {**times, **covered(np.concatenate(labels)), "picture": picture}


@functools.cache
def predicted_digits(*classifier: Any) -> np.ndarray:
    """Classes of the training digits that the classifier predicts."""
    images = image_classifier.pixels(TRAIN, np.arange(len(TRAIN.labels())))
    return image_classifier.train(*classifier)(images).argmax(1)


def _title(model: str) -> str:
    return image_models.VARIANTS[model].title


if __name__ == "__main__":
    experiment.main(Experiment)
