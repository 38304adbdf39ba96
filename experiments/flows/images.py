"""MNIST against letters, clothes and Kuzushiji: outliers from a flow or deep archetypes as training data.

    python -m experiments.flows.images                             # five seeds, small flows: an hour on a core
    python -m experiments.flows.images --output-dir experiments/results/flows   # the committed tables and figure
    python -m experiments.flows.images --size.features 64 --size.steps 20000 --size.deep-steps 10000   # meant for a GPU
    python -m experiments.flows.images --quick                     # minutes

The table compares with the unpublished numbers in Bungert's code (2021). There, batch normalization and dropout stayed
in training mode, so that each image was scored together with its batch, all of one set. No batch normalization is used
here. A discriminator is trained to separate the flow's samples, or digits, from outliers, and a classifier to be
uncertain on outliers. These come from a shell in the flow's latent space with the thesis' radii (s = 1.5), or with
radii of 1.1 to 3 times the square root of the dimension; from weights outside the simplex of deep archetypes; or from
other image sets. As in that code, an image is accepted if its probability of being an inlier is at least 0.7.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import anomaly_metrics, cache, experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.common.image_classifier import log_probabilities, pixels
from experiments.flows import image_models
from jaxgen import data, methods, metrics, optim, samplers

IMAGE_SETS = {
    "train": data.Images("mnist"),
    "test": data.Images("mnist", "test"),
    "letters": data.Images("emnist/letters", "test"),
    "fashion": data.Images("fashion_mnist", "test"),
    "kmnist": data.Images("kmnist", "test"),
}
OOD_SETS = ("letters", "fashion", "kmnist")
REAL_OUTLIERS = {"letters": data.Images("emnist/letters"), "fashion": data.Images("fashion_mnist")}
ACCEPTED = [report.Column(f"accepted {name}", f"accepted, {name}") for name in IMAGE_SETS] + [
    report.Column(f"auroc {name}", f"AUROC, {name}") for name in OOD_SETS
]
CONFIDENCE = [
    report.Column("accuracy", "accuracy, test", 4),
    *(report.Column(f"confidence {name}", f"confidence, {name}") for name in IMAGE_SETS if name != "train"),
    *(report.Column(f"auroc {name}", f"AUROC of 1 - max softmax, {name}") for name in OOD_SETS),
]
SOURCES = {
    "shell": "flow's shell, s = 1.5",
    "spread": "flow's shells, spread",
    "archetypes": "beyond deep archetypes",
    "letters": "real letters",
    "fashion": "real clothes",
}
# Bungert's repository, contains-gan: mnist/result_comparison.ipynb (2021), EMNIST digits.
PAPER_ACCEPTED = {
    "shell": (0.989, 0.990, 0.0, 0.0, 0.0),
    "archetypes": (1.0, 1.0, 0.621, 0.0, 0.0),
    "letters": (1.0, 1.0, 0.0, 0.0, 0.004),
    "fashion": (1.0, 1.0, 1.0, 0.0, 0.901),
}
PAPER_CONFIDENCE = {
    "none": (0.995, 0.998, 0.897, 0.690, 0.821),
    "shell": (0.963, 0.856, 0.570, 0.342, 0.425),
    "archetypes": (0.981, 0.948, 0.706, 0.364, 0.443),
    "letters": (0.995, 0.986, 0.393, 0.247, 0.379),
    "fashion": (0.990, 0.992, 0.824, 0.112, 0.661),
}
NUM_OUTLIERS, NUM_EVALUATED = 10_000, 2_000  # training outliers; evaluated images of each set


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Sources of outliers, number of seeds, and size."""

    sources: tuple[str, ...] = tuple(SOURCES)  # sources of the training outliers
    num_seeds: int = 5  # seeds
    size: image_models.Size = dataclasses.field(default_factory=image_models.Size)  # of flow and archetypes
    classifier_steps: int = 1_000  # training steps of a discriminator or classifier, of 100 images of each table

    name = "flows/images"
    choices = {"sources": SOURCES}
    small = {"size": image_models.Size(depth=1, features=8, steps=20, deep_steps=10), "classifier_steps": 20}

    def cells(self) -> Iterator[Cell]:
        """Networks without outliers, and with those of each source; all cells of a seed share flow and archetypes."""
        images = cache.table_lengths(*IMAGE_SETS.values())
        for seed in self.seeds:
            config = self.size.flow_config(IMAGE_SETS["train"], seed)
            setting = self.size, self.classifier_steps, seed
            settings = {"size": dataclasses.asdict(self.size), "steps": self.classifier_steps, "images": images}
            yield Cell("none", seed, functools.partial(measure_baselines, *setting), config, settings)
            for source in self.sources:
                yield Cell(source, seed, functools.partial(measure_source, source, *setting), config, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """Shares of accepted images, and a classifier's confidence."""
        part = lambda source, kind: [cell[kind] for cell in results[source]]
        accepted = [
            report.Row.of("flow, -log p", part("none", "flow"), ACCEPTED),
            report.Row.of("untrained discriminator", part("none", "untrained"), ACCEPTED),
        ]
        paper = _published(PAPER_CONFIDENCE, "none", CONFIDENCE)
        confident = [report.Row.of("no outliers", part("none", "classifier"), CONFIDENCE, paper)]
        for source in self.sources:
            title, paper = SOURCES[source], _published(PAPER_ACCEPTED, source, ACCEPTED)
            accepted.append(report.Row.of(title, part(source, "discriminator"), ACCEPTED, paper))
            paper = _published(PAPER_CONFIDENCE, source, CONFIDENCE)
            confident.append(report.Row.of(title, part(source, "classifier"), CONFIDENCE, paper))
        size, details = self.size, {"size": dataclasses.asdict(self.size)}
        remark = (
            f"Couplings have {size.features} channels, {size.depth} couplings at each of two resolutions; "
            f"{size.steps} and {size.deep_steps} steps of 100 images, {self.classifier_steps} of a discriminator or "
            f"classifier; {NUM_EVALUATED} images of each set are evaluated. The thesis' digits are EMNIST's. Chance of "
            "AUROC is 0.5. Generated outliers are separated from generated inliers, real ones from digits."
        )
        confidence = "A classifier's confidence"
        return [
            report.Table("images", "Share accepted as digits", ACCEPTED, accepted, [remark], details=details),
            report.Table("images_confidence", confidence, CONFIDENCE, confident, [remark], details=details),
        ]

    def figures(self, results: Results) -> None:
        """The flow's samples and the outliers of each source, of the first seed."""
        samples = {SOURCES.get(source, "flow's samples"): cells[0]["drawn"] for source, cells in results.items()}
        shown = {title: np.round(255 * np.array(images)) for title, images in samples.items()}
        report.image_panels(self.results_directory / "images.png", shown)


def _published(table: Mapping[str, Sequence[float]], source: str, columns: Sequence[report.Column]) -> dict[str, float]:
    return dict(zip([column.name for column in columns], table.get(source, ()), strict=False))


@functools.lru_cache(1)
def _models(size: image_models.Size, seed: int, directory: pathlib.Path) -> image_models.Models:
    return image_models.trained(size, IMAGE_SETS["train"], seed, directory)


def evaluated_images(name: str) -> np.ndarray:
    """Images of a set that are evaluated, between 0 and 1, the same for all seeds."""
    images = IMAGE_SETS[name]
    return pixels(images, evaluated_rows(len(images.labels())))


def evaluated_rows(count: int) -> np.ndarray:
    """Indices of the evaluated images of a set of `count` images."""
    return np.random.default_rng(0).permutation(count)[:NUM_EVALUATED]


def outliers(source: str, size: image_models.Size, seed: int, directory: pathlib.Path) -> np.ndarray:
    """Training outliers, `[n, h, w, c]` between 0 and 1."""
    if source in REAL_OUTLIERS:
        images = REAL_OUTLIERS[source]
        rows = np.random.default_rng(seed).permutation(len(images.labels()))[:NUM_OUTLIERS]
        return pixels(images, rows)
    models = _models(size, seed, directory)
    key = jax.random.split(jax.random.key(seed))[1]
    if source == "archetypes":
        return image_models.beyond(key, models, NUM_OUTLIERS, concentration=0.3, stretch=2.0)
    thesis = functools.partial(samplers.bungert_radii, factor=1.5)
    spread = lambda key, n, dimensions: jax.random.uniform(key, (n,), minval=1.1, maxval=3.0) * dimensions**0.5
    return image_models.shelled(key, models, NUM_OUTLIERS, thesis if source == "shell" else spread)


def inliers(source: str, size: image_models.Size, seed: int, directory: pathlib.Path) -> data.Dataset:
    """Training inliers: digits, or samples if the outliers are generated, so that this does not separate them."""
    if source in REAL_OUTLIERS:
        return IMAGE_SETS["train"]
    models = _models(size, seed, directory)
    key = jax.random.split(jax.random.key(seed))[0]
    if source == "archetypes":
        return data.Arrays(image_models.beyond(key, models, NUM_OUTLIERS, concentration=1.0, stretch=1.0))
    return data.Arrays(image_models.shelled(key, models, NUM_OUTLIERS, None))


def trained(method: Any, tables: data.Dataset, steps: int, seed: int) -> jaxgen.Result:
    """Train a discriminator or classifier."""
    config = training.configure(method, tables, steps=steps, batch_size=100, seed=seed, calls=4)
    return jaxgen.train(config, progress=False)


def detected(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """AUROC of scores, higher for outliers, of each OOD set against the test digits."""
    return {f"auroc {name}": metrics.auroc(scores["test"], scores[name]) for name in OOD_SETS}


def evaluated_scores(result: jaxgen.Result, name: str) -> dict[str, np.ndarray]:
    """One of a model's scores on the evaluated images of each set."""
    return {key: anomaly_metrics.scores(result, evaluated_images(key), 500)[name] for key in IMAGE_SETS}


def evaluated_discriminator(result: jaxgen.Result) -> dict[str, float]:
    """Share of accepted images in each set, and AUROC."""
    logits = evaluated_scores(result, "logit")
    # The probability of an inlier is above 0.7 if the odds of an outlier are below 3 to 7.
    accepted = {f"accepted {name}": float(np.mean(logits[name] <= np.log(3 / 7))) for name in IMAGE_SETS}
    return {**accepted, **detected(logits)}


def evaluated_classifier(result: jaxgen.Result) -> dict[str, float]:
    """Accuracy, mean max softmax probability on each set, and AUROC of 1 - max softmax."""
    measures: dict[str, float] = {}
    uncertainty = {}
    for name in IMAGE_SETS:
        p = np.exp(log_probabilities(result, evaluated_images(name)).astype(np.float64))
        uncertainty[name], measures[f"confidence {name}"] = 1 - p.max(1), float(p.max(1).mean())
        if name == "test":
            labels = IMAGE_SETS["test"].labels()
            measures["accuracy"] = float(np.mean(p.argmax(1) == labels[evaluated_rows(len(labels))]))
    return {**measures, **detected(uncertainty)}


def measure_baselines(size: image_models.Size, steps: int, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    """Evaluate the flow, an untrained discriminator, and a classifier that is trained without outliers."""
    digits, models = IMAGE_SETS["train"], _models(size, seed, directory)
    both = data.Zip((digits, digits))
    discriminator = training.configure(methods.OutlierDiscriminator(), both, steps=1, batch_size=100, seed=seed)
    classifier = methods.Classifier(learning_rate=optim.Cosine(1e-3, steps))
    return {
        "flow": detected(evaluated_scores(models.flow, "nll")),
        "untrained": evaluated_discriminator(jaxgen.untrained(discriminator)),
        "classifier": evaluated_classifier(trained(classifier, data.Labeled(digits), steps, seed)),
        "drawn": image_models.shelled(jax.random.key(seed), models, 500, None)[:64].round(3).tolist(),
        "seconds": models.seconds,
    }


def measure_source(
    source: str, size: image_models.Size, steps: int, seed: int, directory: pathlib.Path
) -> dict[str, Any]:
    """Train a discriminator and a classifier on the outliers of a source, and evaluate both."""
    rate = optim.Cosine(1e-3, steps)
    x = outliers(source, size, seed, directory)
    table, labeled = data.Arrays(x), data.Labeled(IMAGE_SETS["train"])
    discriminator = methods.OutlierDiscriminator(learning_rate=rate)
    separated = data.Zip((inliers(source, size, seed, directory), table))
    classifier = methods.Classifier(uniformity_weight=1.0, learning_rate=rate)
    return {
        "discriminator": evaluated_discriminator(trained(discriminator, separated, steps, seed)),
        "classifier": evaluated_classifier(trained(classifier, data.Zip((labeled, table)), steps, seed)),
        "drawn": x[:64].round(3).tolist(),
    }


if __name__ == "__main__":
    experiment.main(Experiment)
