"""Table 2 of Kumar et al., Maximum entropy generators for energy-based models (2019): CIFAR-10.

    python -m experiments.meg.cifar10                                # a reduced size, and a classifier trained here
    python -m experiments.meg.cifar10 --paper --extractor inception:features   # the paper's size: meant for a GPU
    python -m experiments.meg.cifar10 --quick                        # two minutes

The paper's Inception score and Frechet distance need one network's weights, which this repository does not hold.
`--extractor` names a function of your own module, which maps images `[n, 32, 32, 3]` between 0 and 1 to features
`[n, d]` and class probabilities `[n, classes]`; or the directory of a classifier saved by `Result.save`. By default a
small classifier is trained here, and its numbers compare only with each other. The cache knows a function by its name
alone, so clear it after editing the function. The generator's samples are compared with samples whose noise was moved
by five steps of latent MCMC.
"""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, experiment, feature_extractors, image_classifier, report, training
from experiments.common.experiment import Cell, Results
from experiments.meg import image_models
from jaxgen import data, methods, metrics
from jaxgen.scan import keys

TITLE = "Table 2: CIFAR-10, generator and chains"
COLUMNS = [
    report.Column("score", "Inception score", 2),
    report.Column("frechet", "Frechet distance", 2),
    report.Column("acceptance", "acceptance", 2),
    report.Column("seconds", "seconds", 0),
]
TRAIN, TEST = data.Images("cifar10"), data.Images("cifar10", "test")
CHAIN = methods.LatentMCMC(steps=5, step_size=0.01, beta=0.2)
PUBLISHED = {
    "meg_released": {"score": 6.49, "frechet": 35.02},
    "meg_released chain": {"score": 6.94, "frechet": 33.85},
    "wgan_released": {"score": 6.81, "frechet": 30.95},
    "test": {"score": 11.24, "frechet": 7.8},
}
REFERENCES = {"test": "test images (floor)", "half": "other training images", "noise": "noise (chance)"}
NUM_SHOWN = 64  # images in a panel of the figure, and the fewest to evaluate


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """How images are evaluated: the arguments of `feature_extractors.find`, and the number of images."""

    extractor: str
    classifier_steps: int
    runs: pathlib.Path
    num_samples: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(image_models.Experiment):
    """Models, number of seeds, size, and feature extractor."""

    models: tuple[str, ...] = ("meg", "wgan")  # rows of the table
    # Number of images to evaluate, at most half of the training images. The paper has 50,000; with `paper` it is that
    # half.
    num_samples: int = 5_000
    # `package.module:function`, or the directory of a saved classifier; empty trains a small one here.
    extractor: str = ""
    classifier_steps: int = 3_000  # training steps of the small classifier, of 100 images each

    name = "meg/cifar10"
    choices = {"models": image_models.VARIANTS}
    small = {"models": slice(1), "steps": 10, "num_samples": 500, "classifier_steps": 100}

    def config(self, model: str, seed: int) -> jaxgen.Config:
        """Configuration of one model."""
        shape = TRAIN.tables()[0].shape[1:]
        return self.image_config(model, data.ScaledToTanh(TRAIN), shape, seed)

    def evaluation(self) -> Evaluation:
        """How images are evaluated: at most half as many as there are for training, against the other half."""
        num_samples = min(50_000 if self.paper else self.num_samples, len(TRAIN.labels()) // 2)
        if num_samples < NUM_SHOWN:
            raise SystemExit(f"num_samples must be {NUM_SHOWN} or more (got {num_samples}).")
        return Evaluation(self.extractor, self.classifier_steps, self.directory, num_samples)

    def cells(self) -> Iterator[Cell]:
        """Title of the extractor, references without a network, untrained and trained networks."""
        evaluation = self.evaluation()
        settings = {"images": cache.table_lengths(TRAIN, TEST), "extractor": digest(self.extractor)}
        yield Cell("extractor", 0, functools.partial(measure_extractor, evaluation), settings=settings)
        for row in REFERENCES:
            for seed in self.seeds if row == "noise" else (0,):
                yield Cell(row, seed, functools.partial(measure_reference, row, evaluation, seed), settings=settings)
        trained = [(model, model, True) for model in self.models]
        for row, model, train in [("untrained", self.models[0], False), *trained]:
            for seed in self.seeds:
                config = self.config(model, seed)
                yield Cell(row, seed, functools.partial(measure_model, config, train, evaluation), config, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """The table."""
        cells = {**results, **_chains(self.models, results)}
        rows = [
            report.Row.of(title, cells[row], COLUMNS, PUBLISHED.get(row, {}))
            for row, title in {**REFERENCES, "untrained": "untrained", **self._titles(results)}.items()
        ]
        extractor, num_samples = results["extractor"][0]["title"], self.evaluation().num_samples
        remark = (
            f"Features of {extractor}; {num_samples:,} images against {len(TRAIN.labels()) // 2:,} training images; "
            f"{self.size()}. A classifier that was trained here fits its training images better than others, so the "
            f"floor is that of {min(len(TEST.labels()), num_samples):,} test images. The paper's numbers are those of "
            "another network, and of 50,000 images against 50,000."
        )
        configs = {model: jaxgen.to_json(self.config(model, self.first_seed)) for model in self.models}
        details = {"configs": configs, "extractor": extractor}
        return [report.Table("cifar10", TITLE, COLUMNS, rows, [remark], details=details)]

    def figures(self, results: Results) -> None:
        """Samples of each model, and of its chains, of the first seed."""
        cells = {**results, **_chains(self.models, results)}
        shown = {title: cells[row][0]["picture"] for row, title in self._titles(results).items()}
        report.image_panels(self.results_directory / "cifar10.png", shown)

    def _titles(self, results: Results) -> dict[str, str]:
        titles = {}
        for model in self.models:
            titles[model] = image_models.VARIANTS[model].title
            if "chain" in results[model][0]:
                titles[f"{model} chain"] = f"{titles[model]}, five latent steps"
        return titles


def _chains(models: Iterable[str], results: Results) -> Results:
    """Measurements of chains, as rows of their own."""
    return {f"{model} chain": [cell["chain"] for cell in results[model] if "chain" in cell] for model in models}


def measure_extractor(evaluation: Evaluation, directory: pathlib.Path) -> dict[str, str]:
    """Title of the feature extractor."""
    return {"title": find(evaluation)[1]}


def measure_reference(row: str, evaluation: Evaluation, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    """Evaluate test images, training images that the others are not compared with, or noise."""
    half, count = len(TRAIN.labels()) // 2, evaluation.num_samples
    if row == "test":
        return evaluate(evaluation, real(TEST, range(min(len(TEST.labels()), count))))
    if row == "half":
        return evaluate(evaluation, real(TRAIN, range(half, half + count)))
    generator, shape = np.random.default_rng(seed), TRAIN.tables()[0].shape[1:]
    sizes = [min(image_models.BLOCK, count - start) for start in range(0, count, image_models.BLOCK)]
    return evaluate(evaluation, (generator.uniform(size=(size, *shape)).astype(np.float32) for size in sizes))


def measure_model(
    config: jaxgen.Config, train: bool, evaluation: Evaluation, directory: pathlib.Path
) -> dict[str, Any]:
    """Evaluate a generator's samples, trained or untrained; for a trained `methods.MEG` those of its `chain` too."""
    result, times = training.timed(config, directory, train=train)
    count, seed = evaluation.num_samples, config.seed
    cell = {**times, **evaluate(evaluation, image_models.samples(result, count, seed=seed))}
    if train and isinstance(config.method, methods.MEG):
        acceptance: list[float] = []
        measures = evaluate(evaluation, chain_samples(result, count, acceptance, seed=seed))
        cell["chain"] = {**measures, "acceptance": float(np.mean(acceptance))}
    return cell


def evaluate(evaluation: Evaluation, blocks: Iterable[np.ndarray]) -> dict[str, Any]:
    """Inception score, and Frechet distance from the first half of the training images."""
    extract, _ = find(evaluation)
    features, probabilities, first = [], [], []
    for images in blocks:
        first.append(images[:NUM_SHOWN])
        block_features, block_probabilities = extract(images)
        features.append(block_features)
        probabilities.append(block_probabilities)
    score = metrics.inception_score(np.concatenate(probabilities))
    distance = metrics.frechet_distance(np.concatenate(features), training_features(evaluation))
    picture = image_models.as_bytes(np.concatenate(first)[:NUM_SHOWN])
    return {"score": score.mean, "score_deviation": score.std, "frechet": distance, "picture": picture}


def find(evaluation: Evaluation) -> tuple[feature_extractors.Extractor, str]:
    """Return the feature extractor and its title; raises SystemExit if there is none of that name."""
    return feature_extractors.find(evaluation.extractor, TRAIN, TEST, evaluation.classifier_steps, evaluation.runs)


@functools.cache
def training_features(evaluation: Evaluation) -> np.ndarray:
    """Features of the first half of the training images, `[n, d]`."""
    extract, _ = find(evaluation)
    return np.concatenate([extract(images)[0] for images in real(TRAIN, range(len(TRAIN.labels()) // 2))])


def real(images: Any, rows: range) -> Iterator[np.ndarray]:
    """Yield images of an image set in blocks, with pixels between 0 and 1."""
    for start in range(0, len(rows), image_models.BLOCK):
        yield image_classifier.pixels(images, np.asarray(rows[start : start + image_models.BLOCK]))


def chain_samples(
    result: jaxgen.Result[methods.MEG], count: int, acceptance: list[float], *, seed: int
) -> Iterator[np.ndarray]:
    """Yield images as `image_models.samples` does, after latent MCMC has moved their noise.

    The mean acceptance of each block is appended to `acceptance`.
    """
    method, state = training.first_model(result)

    @jax.jit
    def run(key: Any) -> Any:
        z = jax.random.normal(key, (image_models.BLOCK, method.latent_dim or 128))
        decode, log_density = lambda z: method.decode(state, z), method.data_log_density(state)
        z, accepted = CHAIN(jax.random.fold_in(key, 1), lambda x: -log_density(x), decode, z)
        return image_models.pixels(decode(z)), jnp.mean(accepted)

    for block, key in enumerate(keys(training.fresh_key(seed), -(-count // image_models.BLOCK))):
        images, accepted = run(key)
        acceptance.append(float(accepted))
        yield np.asarray(images)[: count - block * image_models.BLOCK]


def digest(extractor: str) -> str:
    """SHA-256 of the files of a saved classifier; empty for a function."""
    if not extractor or not pathlib.Path(extractor).is_dir():
        return ""
    files = sorted(file for file in pathlib.Path(extractor).rglob("*") if file.is_file())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


if __name__ == "__main__":
    experiment.main(Experiment)
