"""Archetypes of images, of a flow's latent vectors and deep ones: Bungert, master's thesis (2021), figures 4.5 to 4.12.

    python -m experiments.flows.archetypes                         # five seeds, small flows: an hour on a core
    python -m experiments.flows.archetypes --output-dir experiments/results/flows   # the committed table and figures
    python -m experiments.flows.archetypes --size.features 64 --size.steps 20000 --size.deep-steps 10000   # for a GPU
    python -m experiments.flows.archetypes --quick                 # minutes

A flow is trained on MNIST and on the Olivetti faces; the thesis' faces, FERG, are not available. Classical archetypal
analysis finds archetypes of its latent vectors. Deep archetypes train a second flow together with the maps that
represent its latent vectors as mixtures of archetypes. The figures show archetypes, paths between them, and samples
whose weights are increasingly close to the corners of the simplex. A classifier measures whether samples are still
digits. The control is untrained networks, whose latent vectors are rotated pixels.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, experiment, image_classifier, report, training
from experiments.common.experiment import Cell, Results
from experiments.common.olivetti import Olivetti
from experiments.flows import image_models
from jaxgen import data, methods

TITLE = "Mixtures of archetypes, evaluated by a classifier"
COLUMNS = [
    report.Column("confidence", "classifier's confidence"),
    report.Column("sure", "share with confidence above 0.9"),
    report.Column("variation", "total variation of the classes from the digits'"),
]
CONCENTRATIONS = (7.0, 1.0, 0.3)  # the thesis' own
IMAGE_SETS: dict[str, Any] = {"digits": data.Images("mnist"), "faces": image_models.Faces(Olivetti())}
TEST = data.Images("mnist", "test")
LATENTS = 2_000  # images whose latent vectors are analyzed
SWEEPS = 30  # steps of the classical analysis
Mixtures: TypeAlias = dict[float, dict[str, np.ndarray]]  # images by concentration and kind of archetypes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Image sets, number of seeds, and size."""

    sets: tuple[str, ...] = tuple(IMAGE_SETS)  # image sets to train on
    num_seeds: int = 5  # seeds of the digits; the faces, and all figures, are of the first
    size: image_models.Size = dataclasses.field(default_factory=image_models.Size)  # of flow and archetypes
    classifier_steps: int = 1_000  # training steps of the classifier, of 100 images each
    sweeps: int = SWEEPS  # steps of the classical analysis

    name = "flows/archetypes"
    choices = {"sets": IMAGE_SETS}
    small = {
        "size": image_models.Size(depth=1, features=8, steps=20, deep_steps=10, archetypes=4),
        "classifier_steps": 20,
        "sweeps": 2,
    }

    def cells(self) -> Iterator[Cell]:
        """Trained networks of each set; of digits also real images, untrained networks, and the classifier itself."""
        for name in self.sets:
            digits = name == "digits"
            settings = {
                "images": cache.table_lengths(IMAGE_SETS[name], *[TEST] * digits),
                "sweeps": self.sweeps,
                "size": dataclasses.asdict(self.size),
                "steps": self.classifier_steps,
            }
            classifier = (IMAGE_SETS["digits"], TEST, self.classifier_steps, self.directory) if digits else None
            if classifier:
                accuracy = functools.partial(image_classifier.measure_accuracy, classifier)
                yield Cell("classifier", 0, accuracy, None, settings)
            for seed in self.seeds if digits else self.seeds[:1]:
                config = self.size.flow_config(IMAGE_SETS[name], seed)
                figure = seed == self.first_seed
                measure = functools.partial(measure_models, self.size, name, seed, self.sweeps, classifier)
                shown = functools.partial(measure, figure=figure)
                yield Cell(name, seed, shown, config, settings | {"figure": figure})
                if classifier:
                    yield Cell(f"{name}-untrained", seed, functools.partial(measure, train=False), config, settings)
                    yield Cell("real", seed, functools.partial(measure_real, seed, classifier), None, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """The classifier's outputs on real and generated digits."""
        rows: dict[str, list[dict[str, float]]] = {}
        for row, prefix in (("real", ""), ("digits", ""), ("digits-untrained", "untrained: ")):
            for cell in results.get(row, []):
                for title, measures in cell["classified"].items():
                    rows.setdefault(prefix + title, []).append(measures)
        trained = {
            name: {key: [cell[key] for cell in results[name]] for key in ("explained", "seconds")} for name in self.sets
        }
        explained = ", ".join(f"{name} {np.mean(each['explained']):.3f}" for name, each in trained.items())
        size = self.size
        remark = (
            f"At most {LATENTS} latent vectors, and {size.archetypes} archetypes, which explain this share of their "
            f"variance: {explained}. Couplings have {size.features} channels, {size.depth} couplings at each of two "
            f"resolutions; {size.steps} and {size.deep_steps} steps of 100 images. "
        )
        if "classifier" in results:
            remark += f"The classifier's accuracy on test digits is {results['classifier'][0]['accuracy']:.2%}. "
        remark += "The thesis' classifier has 0.997, 0.844 and 0.638 of the drawn classes right for 7, 1 and 0.3."
        details = {"size": dataclasses.asdict(size), "trained": trained}
        lines = [report.Row.of(title, cells, COLUMNS) for title, cells in rows.items()]
        return [report.Table("archetypes", TITLE, COLUMNS, lines, [remark], details=details)]

    def figures(self, results: Results) -> None:
        """A figure for each image set, of the first seed."""
        for name in self.sets:
            report.image_panels(self.results_directory / f"archetypes-{name}.png", results[name][0]["pictures"])


def measure_real(seed: int, classifier: tuple[Any, ...], directory: pathlib.Path) -> dict[str, Any]:
    """Evaluate test digits and uniform noise."""
    digits = image_classifier.pixels(TEST, np.random.default_rng(seed).permutation(len(TEST.labels()))[:2_000])
    noise = np.random.default_rng(seed).uniform(size=digits.shape)
    images = {"test digits (floor)": digits, "noise (chance)": noise}
    evaluator = image_classifier.train(*classifier)
    return {"classified": {title: classified(evaluator, x) for title, x in images.items()}}


def measure_models(
    size: image_models.Size,
    name: str,
    seed: int,
    sweeps: int,
    classifier: tuple[Any, ...] | None,
    directory: pathlib.Path,
    *,
    train: bool = True,
    figure: bool = False,
) -> dict[str, Any]:
    """Train networks or leave them untrained, find archetypes, and draw mixtures.

    `explained` is the share of the latent vectors' variance. A classifier, if there is one, evaluates the samples.
    """
    models = image_models.trained(size, IMAGE_SETS[name], seed, directory, train=train)
    (x,) = IMAGE_SETS[name].tables()
    subset = np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:LATENTS]])
    latent = classical(models.flow, subset, size.archetypes, sweeps, seed)
    mixtures = {alpha: drawn(models, latent, seed, alpha) for alpha in CONCENTRATIONS}
    explained = float(latent.history["explained"][0, -1])
    measures: dict[str, Any] = {"explained": explained, "seconds": models.seconds}
    if classifier:
        images = {"flow's samples": image_models.shelled(jax.random.key(seed), models, 500, None)}
        for alpha, kinds in mixtures.items():
            images |= {f"{kind}, concentration {alpha:g}": samples for kind, samples in kinds.items()}
        evaluator = image_classifier.train(*classifier)
        measures["classified"] = {title: classified(evaluator, samples) for title, samples in images.items()}
    if figure:
        measures["pictures"] = pictures(models, latent, mixtures)
    return measures


def classified(classifier: image_classifier.ImageClassifier, images: np.ndarray) -> dict[str, float]:
    """Confidence of a classifier on images, and the distance of its class frequencies from the digits'."""
    log_p = classifier(images)
    measures = image_classifier.frequencies(log_p, IMAGE_SETS["digits"].labels())
    return {**measures, "sure": float(np.mean(log_p.max(1) > np.log(0.9)))}


def classical(flow: Any, x: np.ndarray, count: int, sweeps: int, seed: int) -> jaxgen.Result[methods.Archetypes]:
    """Find archetypes of a flow's latent vectors by the classical analysis."""
    return image_models.archetypes(image_models.encoded(flow, x), count, sweeps=sweeps, seed=seed, steps=100)


def drawn(models: image_models.Models, latent: Any, seed: int, concentration: float) -> dict[str, Any]:
    """Draw 500 mixtures of both kinds of archetypes, `[500, h, w, c]` each."""
    key = jax.random.fold_in(jax.random.key(seed), round(100 * concentration))
    flow, state = training.first_model(models.flow)
    method = dataclasses.replace(latent.config.method, concentration=concentration)
    z = method.sample(key, latent.state_of(0), 500)
    return {
        "latent archetypes": np.clip(np.asarray(jax.jit(flow.decode)(state, z)), 0, 1),
        "deep archetypes": image_models.beyond(key, models, 500, concentration=concentration, stretch=1.0),
    }


def paths(weights: np.ndarray, steps: int) -> np.ndarray:
    """Interpolate weights `[k, k]` from each archetype to the next, `[k * steps, k]`."""
    share = np.linspace(0, 1, steps)[:, None]
    return np.concatenate([(1 - share) * a + share * b for a, b in zip(weights, np.roll(weights, -1, 0), strict=True)])


def pictures(models: image_models.Models, latent: Any, mixtures: Mixtures) -> dict[str, Any]:
    """Archetypes of both kinds, paths between deep ones, and 40 mixtures of each concentration; uint8 by title."""
    flow, flow_state = training.first_model(models.flow)
    deep, deep_state = training.first_model(models.deep)
    state = latent.state_of(0)
    mix = lambda weights: np.asarray(jax.jit(deep.mixture)(deep_state, jnp.asarray(weights, jnp.float32)))
    decode = lambda z: np.asarray(jax.jit(flow.decode)(flow_state, z))
    mean = state.archetypes.mean(0)[None]
    uniform = np.full((1, deep.num_archetypes), 1 / deep.num_archetypes)
    shown = {
        "latent archetypes, and their middle": decode(jnp.concatenate([state.archetypes, mean])),
        "deep archetypes, and their middle": mix(np.vstack([np.eye(deep.num_archetypes), uniform])),
        "from each deep one to the next": mix(paths(np.eye(deep.num_archetypes), 8)),
    }
    for alpha, kinds in mixtures.items():
        shown |= {f"{kind}, {alpha:g}": images[:40] for kind, images in kinds.items()}
    return {title: as_bytes(images, 8).tolist() for title, images in shown.items()}


def as_bytes(images: np.ndarray, across: int) -> np.ndarray:
    """Convert images to uint8, padded with black ones to a multiple of `across`."""
    padding = np.zeros((-len(images) % across, *images.shape[1:]), images.dtype)
    return np.round(255 * np.clip(np.concatenate([images, padding]), 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    experiment.main(Experiment)
