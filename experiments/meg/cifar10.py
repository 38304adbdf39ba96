"""Table 2 of Kumar et al., Maximum entropy generators for energy-based models (2019): CIFAR-10, drawn and walked.

    python -m experiments.meg.cifar10                                # a reduced size and a judge trained here
    python -m experiments.meg.cifar10 --paper --extractor inception:judge    # the paper's size: meant for a GPU
    python -m experiments.meg.cifar10 --quick                        # two minutes

The paper's Inception score and Frechet distance are those of one network's weights, which this module does not hold.
Name a function of a module of your own that takes images `[n, 32, 32, 3]` between 0 and 1 to a pair, features `[n, d]`
and probabilities `[n, classes]`; or the folder of a classifier that was saved by `Result.save`. Where none is named, a
small classifier trained here stands in, and numbers compare with each other only; cells that are kept know a function
by its name alone. Draws of the generator stand beside
what five steps of a latent chain make of their noise.
"""

import dataclasses
import functools
import hashlib
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments.common import cache, feature_extractors, image_classifier, report, training
from experiments.meg import image_models
from jaxgen import data, methods, metrics
from jaxgen.scan import keys
from jaxgen.serialization.config_json import to_json

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
LEAST = 64  # images that are judged and drawn


@dataclasses.dataclass(frozen=True)
class Experiment(image_models.Experiment):
    """Which rows, how many seeds, how large, judged by what."""

    models: tuple[str, ...] = ("meg", "wgan")
    """Rows of the table."""
    draws: int = 5_000
    """Images that are judged, at most half as many as there are for training; the paper judges 50,000, and
    `paper` as many as there are."""
    extractor: str = ""
    """`package.module:function`, or the folder of a saved classifier; empty trains a small one here."""
    judge_steps: int = 3_000
    """Training steps of the small classifier, of 100 images."""
    quick: bool = False
    """Two minutes: one seed, 10 steps, 500 images, a classifier of 100 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/cifar10")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/cifar10")
    """Where the table and the figure go."""

    def judged(self) -> int:
        """Return how many images are judged: at most half as many as there are, the other half being compared with."""
        return min(50_000 if self.paper else self.draws, len(TRAIN.labels()) // 2)


def configure(experiment: Experiment, model: str, seed: int) -> jaxgen.Config:
    """Return what a row trains."""
    return image_models.configure(model, data.ScaledToTanh(TRAIN), TRAIN.tables()[0].shape[1:], seed, experiment.size())


def extractor(experiment: Experiment) -> tuple[feature_extractors.Extractor, str]:
    """Return what judges images, and how a table calls it.

    Raises:
        SystemExit: if what was named cannot be found, or is no classifier.
    """
    return feature_extractors.find(experiment.extractor, TRAIN, TEST, experiment.judge_steps, experiment.cache_dir)


def judged(experiment: Experiment, blocks: Any) -> dict[str, Any]:
    """Judge blocks of images `[n, 32, 32, 3]` between 0 and 1 against the training images, and keep some of them."""
    extract, _ = extractor(experiment)
    features, probabilities, first = [], [], []
    for images in blocks:
        first.append(images[:LEAST])
        one, other = extract(images)
        features.append(one)
        probabilities.append(other)
    score = metrics.inception_score(np.concatenate(probabilities))
    distance = metrics.frechet_distance(np.concatenate(features), _known(experiment))
    shown = np.uint8(np.round(np.concatenate(first)[:LEAST] * 255)).tolist()
    return {"score": score.mean, "score_deviation": score.deviation, "frechet": distance, "picture": shown}


def _known(experiment: Experiment) -> np.ndarray:
    """Return the features of the training images: of the first half of them."""
    return _features(experiment.extractor, experiment.judge_steps, experiment.cache_dir)


@functools.cache
def _features(named: str, steps: int, runs: pathlib.Path) -> np.ndarray:
    extract, _ = feature_extractors.find(named, TRAIN, TEST, steps, runs)
    return np.concatenate([extract(images)[0] for images in _real(TRAIN, range(len(TRAIN.labels()) // 2))])


def _real(images: Any, rows: range) -> Any:
    """Yield some images of a set between 0 and 1, block by block."""
    for at in range(0, len(rows), image_models.BLOCK):
        yield image_classifier.pixels(images, np.asarray(rows[at : at + image_models.BLOCK]))


def reference(experiment: Experiment, row: str, seed: int) -> dict[str, Any]:
    """Judge images that no network drew: test images, training images that are not compared with, or noise."""
    identity = {"row": row, **_judging(experiment), "draws": experiment.judged()}
    where = cache.place(experiment.cache_dir, f"{row}-{seed}", identity)

    def compute() -> dict[str, Any]:
        half = len(TRAIN.labels()) // 2
        if row == "test":
            return judged(experiment, _real(TEST, range(min(len(TEST.labels()), experiment.judged()))))
        if row == "half":
            return judged(experiment, _real(TRAIN, range(half, half + experiment.judged())))
        generator, shape = np.random.default_rng(seed), TRAIN.tables()[0].shape[1:]
        sizes = [
            min(image_models.BLOCK, experiment.judged() - at)
            for at in range(0, experiment.judged(), image_models.BLOCK)
        ]
        return judged(experiment, (generator.uniform(size=(size, *shape)).astype(np.float32) for size in sizes))

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def trained(experiment: Experiment, model: str, seed: int, *, train: bool = True) -> dict[str, Any]:
    """Train, or leave untrained, and judge draws; of maximum entropy generators those of chains too."""
    config = configure(experiment, model, seed)
    identity = {
        "config": to_json(config),
        "trained": train,
        **_judging(experiment),
        "draws": experiment.judged(),
        "chain": to_json(CHAIN),
    }
    where = cache.place(experiment.cache_dir, f"{model if train else 'untrained'}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        method, state, cell = training.networks(config, where, train=train)
        cell = {**cell, **judged(experiment, image_models.draws(method, state, experiment.judged(), seed=seed))}
        if train and isinstance(method, methods.MEG):
            acceptance: list[float] = []
            walked = judged(experiment, walks(method, state, experiment.judged(), acceptance, seed=seed))
            cell["chain"] = {**walked, "acceptance": float(np.mean(acceptance))}
        return cell

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def walks(method: methods.MEG, state: Any, count: int, acceptance: list[float], *, seed: int) -> Any:
    """Yield what the generator makes of `image_models.draws`'s noise once chains have moved it; note their
    acceptance.
    """

    @jax.jit
    def walk(key: Any, state: Any) -> Any:
        z = jax.random.normal(key, (image_models.BLOCK, method.latent_dim or 128))
        decode, log_density = lambda z: method.decode(state, z), method.data_log_density(state)
        z, accepted = CHAIN(jax.random.fold_in(key, 1), lambda x: -log_density(x), decode, z)
        return image_models.pixels(decode(z)), jnp.mean(accepted)

    for at, key in enumerate(keys(training.fresh_key(seed), -(-count // image_models.BLOCK))):
        images, accepted = walk(key, state)
        acceptance.append(float(accepted))
        yield np.asarray(images)[: count - at * image_models.BLOCK]


def _judging(experiment: Experiment) -> dict[str, Any]:
    named = pathlib.Path(experiment.extractor)
    files = (
        sorted(file for file in named.rglob("*") if file.is_file()) if experiment.extractor and named.is_dir() else []
    )
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest() if files else ""
    judging = {"extractor": experiment.extractor, "bytes": digest, "judge": experiment.judge_steps}
    return {**judging, "data": to_json(TRAIN), "images": cache.counted(TRAIN, TEST)}


def run(experiment: Experiment) -> report.Table:
    """Train and judge every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.models) - set(image_models.VARIANTS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(image_models.VARIANTS)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            models=experiment.models[:1],
            num_seeds=1,
            steps=min(experiment.steps, 10),
            draws=min(experiment.draws, 500),
            judge_steps=min(experiment.judge_steps, 100),
            paper=False,
            cache_dir=runs,
            output_dir=runs,
        )
    if experiment.judged() < LEAST:
        raise SystemExit(f"{experiment.judged()} images are too few to be judged; draw {LEAST} at least.")
    _, told = extractor(experiment)
    seeds = range(experiment.first_seed, experiment.first_seed + experiment.num_seeds)
    test, half = (reference(experiment, row, 0) for row in ("test", "half"))
    noise = [reference(experiment, "noise", seed) for seed in seeds]
    untrained = [trained(experiment, experiment.models[0], seed, train=False) for seed in seeds]
    rows = [
        report.Row.of("test images (floor)", [test], COLUMNS, PUBLISHED["test"]),
        report.Row.of("other training images", [half], COLUMNS),
        report.Row.of("noise (chance)", noise, COLUMNS),
        report.Row.of("untrained", untrained, COLUMNS),
    ]
    pictures = {}
    for model in experiment.models:
        cells = []
        for seed in seeds:
            print(f"{image_models.VARIANTS[model][0]}, seed {seed}", flush=True)
            cells.append(trained(experiment, model, seed))
        title = image_models.VARIANTS[model][0]
        rows.append(report.Row.of(title, cells, COLUMNS, PUBLISHED.get(model, {})))
        pictures[title] = cells[0]["picture"]
        if "chain" in cells[0]:
            walked = [cell["chain"] for cell in cells]
            paper = PUBLISHED.get(f"{model} chain", {})
            rows.append(report.Row.of(f"{title}, five latent steps", walked, COLUMNS, paper))
            pictures[f"{title}, five latent steps"] = walked[0]["picture"]
    remark = (
        f"Judged by {told}, {experiment.judged():,} images against {len(TRAIN.labels()) // 2:,} training images; "
        f"{experiment.size().told()}. A judge that was trained here knows the training images better than any others, "
        f"so the floor is what {min(len(TEST.labels()), experiment.judged()):,} test images have. The paper's numbers "
        "are those of another judge and of 50,000 images against 50,000."
    )
    table = report.Table("meg_cifar10", TITLE, COLUMNS, rows, [remark])
    configs = {model: to_json(configure(experiment, model, experiment.first_seed)) for model in experiment.models}
    table.write(experiment.output_dir, {"configs": configs, "extractor": told})
    report.pictures(experiment.output_dir / "meg_cifar10.png", pictures)
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
