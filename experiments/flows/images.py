"""Digits as inliers against letters, clothes and Kuzushiji, by outliers that a flow or deep archetypes draw.

    python -m experiments.flows.images                             # five seeds, small flows: an hour on a core
    python -m experiments.flows.images --output-dir experiments/results   # the tables and the figure there
    python -m experiments.flows.images --size.features 64 --size.steps 20000 --size.deep-steps 10000   # meant for a GPU
    python -m experiments.flows.images --quick                     # minutes

The unpublished numbers of Bungert's code (2021) stand beside: there batch normalisation and dropout were left as in
training, so that every row was judged by the batch it came in, all of one set. Here nothing is normalised by batches. A
discriminator learns to tell the flow's own samples, or digits, from outliers, and a classifier to be unsure of these:
of a shell about the law of a flow's latent vectors, with the thesis' radii (s = 1.5) or radii from 1.1 to 3 times the
root of the dimensions, of mixtures beyond deep archetypes, or real ones. Accepted is a row whose probability of being
an inlier is 0.7 at the least, as there.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np
import tyro

import jaxgen
from experiments.common import anomaly_metrics, cache, report, training
from experiments.common.batching import in_parts
from experiments.common.image_classifier import log_probabilities, pixels
from experiments.flows import image_models
from jaxgen import data, methods, metrics, optim, samplers

SETS = {
    "train": data.Images("mnist"),
    "test": data.Images("mnist", "test"),
    "letters": data.Images("emnist/letters", "test"),
    "fashion": data.Images("fashion_mnist", "test"),
    "kmnist": data.Images("kmnist", "test"),
}
STRANGE = ("letters", "fashion", "kmnist")
REAL = {"letters": data.Images("emnist/letters"), "fashion": data.Images("fashion_mnist")}
ACCEPTED = [report.Column(f"accepted {name}", f"accepted, {name}") for name in SETS] + [
    report.Column(f"auroc {name}", f"AUROC, {name}") for name in STRANGE
]
CONFIDENCE = [
    report.Column("accuracy", "accuracy, test", 4),
    *(report.Column(f"confidence {name}", f"confidence, {name}") for name in SETS if name != "train"),
    *(report.Column(f"auroc {name}", f"AUROC of doubt, {name}") for name in STRANGE),
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
DRAWN, LOOKED = 10_000, 2_000  # outliers to learn from; images of each set that are judged


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which outliers, how many seeds, how large."""

    sources: tuple[str, ...] = tuple(SOURCES)
    """Where outliers to learn from come from."""
    num_seeds: int = 5
    """How many seeds."""
    first_seed: int = 0
    """The first of them."""
    size: image_models.Size = dataclasses.field(default_factory=image_models.Size)
    """Of flow and archetypes."""
    judging: int = 1_000
    """Steps of a discriminator or classifier, a hundred images of each table each."""
    quick: bool = False
    """Minutes: one seed, small flows, few steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/flows/images")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/flows/images")
    """Where the tables and the figure go."""


def looked(name: str) -> np.ndarray:
    """Return the images of a set that are judged, between 0 and 1, always the same."""
    images = SETS[name]
    return pixels(images, some(len(images.labels())))


def some(count: int) -> np.ndarray:
    """Return which of so many images are judged."""
    return np.random.default_rng(0).permutation(count)[:LOOKED]


def outliers(experiment: Experiment, source: str, seed: int) -> np.ndarray:
    """Return images to learn from as outliers, between 0 and 1."""
    if source in REAL:
        images = REAL[source]
        rows = np.random.default_rng(seed).permutation(len(images.labels()))[:DRAWN]
        return pixels(images, rows)
    models = modelled(experiment, seed)
    key = jax.random.split(jax.random.key(seed))[1]
    thesis = functools.partial(samplers.bungert_radii, factor=1.5)
    if source == "archetypes":
        return image_models.beyond(key, models, DRAWN, concentration=0.3, stretch=2.0)
    far = lambda key, n, dimensions: jax.random.uniform(key, (n,), minval=1.1, maxval=3.0) * dimensions**0.5
    return image_models.shelled(key, models, DRAWN, thesis if source == "shell" else far)


def modelled(experiment: Experiment, seed: int) -> image_models.Models:
    """Return the flow and the archetypes of the digits."""
    return image_models.trained(experiment.size, SETS["train"], seed, experiment.cache_dir)


def learned(experiment: Experiment, method: Any, tables: Any, seed: int) -> tuple[Any, Any]:
    """Train a network that judges."""
    steps = experiment.judging
    config = jaxgen.Config(
        method, tables, steps=steps, batch_size=100, steps_per_call=training.segment(steps, 4), seed=seed
    )
    result = jaxgen.train(config, progress=False)
    return result.config.method, result.state_of(0)


def detected(scores: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how well scores, higher for outliers, tell each strange set from the test digits."""
    return {f"auroc {name}": metrics.auroc(scores["test"], scores[name]) for name in STRANGE}


def told(method: Any, state: Any) -> dict[str, float]:
    """Judge a discriminator: what it accepts of every set."""
    logits = {name: anomaly_metrics.scores(method, state, looked(name), 500)["logit"] for name in SETS}
    # The probability of an inlier is above 0.7 where the odds of an outlier are below 3 to 7.
    accepted = {f"accepted {name}": float(np.mean(logits[name] <= np.log(3 / 7))) for name in SETS}
    return {**accepted, **detected(logits)}


def classified(method: Any, state: Any) -> dict[str, float]:
    """Judge a classifier: accuracy, and how sure it is of every set."""
    found: dict[str, float] = {}
    doubts = {}
    for name in SETS:
        p = np.exp(in_parts(log_probabilities, method, state, looked(name)).astype(np.float64))
        doubts[name], found[f"confidence {name}"] = 1 - p.max(1), float(p.max(1).mean())
        if name == "test":
            labels = SETS["test"].labels()
            found["accuracy"] = float(np.mean(p.argmax(1) == labels[some(len(labels))]))
    return {**found, **detected(doubts)}


def judged(experiment: Experiment, source: str, seed: int) -> dict[str, Any]:
    """Return the cell of one source and seed: both networks' numbers, and some of the outliers."""
    identity = {
        "source": source,
        "seed": seed,
        "judging": experiment.judging,
        "size": dataclasses.asdict(experiment.size),
        "counts": [DRAWN, LOOKED, *cache.counted(*SETS.values())],
    }
    where = cache.place(experiment.cache_dir, f"{source}-{seed}", identity)

    def compute() -> dict[str, Any]:
        rate = optim.Cosine(1e-3, experiment.judging)
        digits, labelled = SETS["train"], data.Labelled(SETS["train"])
        if source == "none":
            models = modelled(experiment, seed)
            likely = {name: anomaly_metrics.scores(*models.flow, looked(name), 500)["nll"] for name in SETS}
            untrained = training.untrained(_config(experiment, methods.OutlierDiscriminator(), (digits, digits), seed))
            return {
                "flow": detected(likely),
                "untrained": told(*untrained),
                "classifier": classified(*learned(experiment, methods.Classifier(learning_rate=rate), labelled, seed)),
                "drawn": image_models.shelled(jax.random.key(seed), models, 500, None)[:64].round(3).tolist(),
                "seconds": models.seconds,
            }
        drawn = outliers(experiment, source, seed)
        strange = data.Arrays(drawn)
        inliers: Any = digits
        key = jax.random.split(jax.random.key(seed))[0]
        if source in ("shell", "spread"):  # else it would tell what is drawn from what is not
            inliers = data.Arrays(image_models.shelled(key, modelled(experiment, seed), DRAWN, None))
        if source == "archetypes":
            models = modelled(experiment, seed)
            inliers = data.Arrays(image_models.beyond(key, models, DRAWN, concentration=1.0, stretch=1.0))
        discriminator = methods.OutlierDiscriminator(learning_rate=rate)
        classifier = methods.Classifier(uniformity_weight=1.0, learning_rate=rate)
        return {
            "discriminator": told(*learned(experiment, discriminator, data.Zip((inliers, strange)), seed)),
            "classifier": classified(*learned(experiment, classifier, data.Zip((labelled, strange)), seed)),
            "drawn": drawn[:64].round(3).tolist(),
        }

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def _config(experiment: Experiment, method: Any, tables: tuple[Any, ...], seed: int) -> jaxgen.Config:
    return jaxgen.Config(method, data.Zip(tables), steps=1, batch_size=100, steps_per_call=1, seed=seed)


def run(experiment: Experiment) -> tuple[report.Table, report.Table]:
    """Train and judge every cell, print both tables, and write them with the figure."""
    if unknown := set(experiment.sources) - set(SOURCES):
        raise SystemExit(f"there are no sources {sorted(unknown)}; choose from {', '.join(SOURCES)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        size = image_models.Size(depth=1, features=8, steps=20, deep_steps=10)
        experiment = dataclasses.replace(
            experiment, num_seeds=1, size=size, judging=20, cache_dir=runs, output_dir=runs
        )
    cells: dict[str, list[dict[str, Any]]] = {}
    for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
        for source in ("none", *experiment.sources):
            print(f"{source}, seed {seed}", flush=True)
            cells.setdefault(source, []).append(judged(experiment, source, seed))
    part = lambda source, kind: [cell[kind] for cell in cells[source]]
    paper = lambda table, columns, source: dict(zip([c.name for c in columns], table.get(source, ()), strict=False))
    accepted = [
        report.Row.of("flow, -log p", part("none", "flow"), ACCEPTED),
        report.Row.of("untrained discriminator", part("none", "untrained"), ACCEPTED),
    ]
    confident = [
        report.Row.of(
            "no outliers", part("none", "classifier"), CONFIDENCE, paper(PAPER_CONFIDENCE, CONFIDENCE, "none")
        )
    ]
    for source in experiment.sources:
        title = SOURCES[source]
        known = paper(PAPER_ACCEPTED, ACCEPTED, source)
        accepted.append(report.Row.of(title, part(source, "discriminator"), ACCEPTED, known))
        known = paper(PAPER_CONFIDENCE, CONFIDENCE, source)
        confident.append(report.Row.of(title, part(source, "classifier"), CONFIDENCE, known))
    size = experiment.size
    remark = (
        f"Couplings {size.features} features wide, {size.depth} at each of two sizes; {size.steps} and "
        f"{size.deep_steps} steps of a hundred images, {experiment.judging} of a judging network; {LOOKED} images of "
        "each set are judged; the thesis' digits are EMNIST's. Chance of AUROC is 0.5. What is drawn is told from what "
        "is drawn, real outliers from digits."
    )
    tables = (
        report.Table("flow_images", "Share accepted as digits", ACCEPTED, accepted, [remark]),
        report.Table("flow_images_confidence", "A classifier's confidence", CONFIDENCE, confident, [remark]),
    )
    for table in tables:
        table.write(experiment.output_dir, {"size": dataclasses.asdict(size)})
    shown = {SOURCES.get(source, "flow's samples"): cells[source][0]["drawn"] for source in cells}
    pictures = {title: np.round(255 * np.array(images)) for title, images in shown.items()}
    report.pictures(experiment.output_dir / "flow_images.png", pictures)
    return tables


if __name__ == "__main__":
    run(tyro.cli(Experiment))
