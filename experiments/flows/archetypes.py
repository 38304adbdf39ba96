"""Archetypes of pictures: of a flow's latent vectors, and deep ones: Bungert (2021), figures 4.5 to 4.12.

    python -m experiments.flows.archetypes                         # five seeds, small flows: an hour on a core
    python -m experiments.flows.archetypes --output-dir experiments/results   # the table and the figures there
    python -m experiments.flows.archetypes --size.features 64 --size.steps 20000 --size.deep-steps 10000   # for a GPU
    python -m experiments.flows.archetypes --quick                 # minutes

On the digits and on the Olivetti faces (the thesis has faces of FERG, which cannot be had) a flow is trained; the
classical analysis finds archetypes of its latent vectors; and a second flow is trained together with the maps that make
its latent vectors mixtures of a simplex' corners. Pictures show archetypes, the travel from one to the next, and draws
whose weights are nearer and nearer to the corners. How digits look to a classifier says what becomes of them there,
and untrained networks, whose latent vectors are pixels turned about, what of it is the training's.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.common import image_classifier, report
from experiments.common.olivetti import Olivetti
from experiments.flows import image_models
from jaxgen import data, methods

COLUMNS = [
    report.Column("confidence", "classifier's confidence"),
    report.Column("sure", "share with confidence above 0.9"),
    report.Column("variation", "total variation of the classes from the digits'"),
]
CONCENTRATIONS = (7.0, 1.0, 0.3)  # the thesis' own, whose classifier has 0.997, 0.844 and 0.638 of their classes right
SETS: dict[str, Any] = {"digits": data.Images("mnist"), "faces": image_models.Faces(Olivetti())}
LATENTS = 2_000  # images whose latent vectors are analysed
SWEEPS = 30
TEST = data.Images("mnist", "test")  # how digits look to the classifier


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which pictures, how large."""

    sets: tuple[str, ...] = tuple(SETS)
    """Pictures to learn from."""
    num_seeds: int = 5
    """How many seeds of the digits; pictures, and the faces, are of the first."""
    first_seed: int = 0
    """The first of them."""
    size: image_models.Size = dataclasses.field(default_factory=image_models.Size)
    """Of flow and archetypes."""
    judging: int = 1_000
    """Steps of the classifier."""
    quick: bool = False
    """Minutes: small flows, few steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/flows/archetypes")
    """Where checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/flows/archetypes")
    """Where the table and the figures go."""


def classical(flow: Any, state: Any, x: np.ndarray, count: int, sweeps: int, seed: int) -> tuple[Any, Any, float]:
    """Find archetypes of a flow's latent vectors.

    Returns:
        The method, its state, and the share of the latent vectors' variance that it explains.
    """
    z = jnp.asarray(image_models.encoded((flow, state), x))
    hull = methods.Archetypes(count, steps=100).resolve(jax.ShapeDtypeStruct(z.shape[1:], z.dtype))
    corners, found = hull.init(jax.random.key(seed), z), {"explained": jnp.nan}
    step = jax.jit(hull.step)
    for sweep in range(sweeps):
        corners, found = step(jax.random.key(sweep), corners, z)
    return hull, corners, float(found["explained"])


def travel(weights: np.ndarray, steps: int) -> np.ndarray:
    """Return weights `[k * steps, k]` on the way from every archetype to the next."""
    share = np.linspace(0, 1, steps)[:, None]
    return np.concatenate([(1 - share) * a + share * b for a, b in zip(weights, np.roll(weights, -1, 0), strict=True)])


def seen(classifier: image_classifier.Judge, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return how a classifier sees images."""
    log_p = classifier(images)
    found = image_classifier.frequencies(log_p, labels)
    return {**found, "sure": float(np.mean(log_p.max(1) > np.log(0.9)))}


def drawn(models: image_models.Models, hull: Any, corners: Any, seed: int, concentration: float) -> dict[str, Any]:
    """Draw mixtures of both kinds of archetypes, 500 of each."""
    key = jax.random.fold_in(jax.random.key(seed), round(100 * concentration))
    flow, state = models.flow
    z = dataclasses.replace(hull, concentration=concentration).sample(key, corners, 500)
    return {
        "latent archetypes": np.clip(np.asarray(jax.jit(flow.decode)(state, z)), 0, 1),
        "deep archetypes": image_models.beyond(key, models, 500, concentration=concentration, stretch=1.0),
    }


@dataclasses.dataclass(frozen=True)
class Found:
    """What one seed found in a set: networks, archetypes of latent vectors, and draws by their concentration."""

    models: image_models.Models
    corners: Any
    explained: float
    mixtures: dict[float, dict[str, np.ndarray]]


def found(experiment: Experiment, name: str, seed: int, sweeps: int, *, train: bool = True) -> Found:
    """Train on a set or leave networks untrained, analyse its latent vectors, and draw mixtures."""
    print(f"{name}, {'trained' if train else 'untrained'}, seed {seed}", flush=True)
    models = image_models.trained(experiment.size, SETS[name], seed, experiment.cache_dir / name, train=train)
    (x,) = SETS[name].tables()
    some = np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:LATENTS]])
    hull, corners, explained = classical(*models.flow, some, experiment.size.archetypes, sweeps, seed)
    mixtures = {alpha: drawn(models, hull, corners, seed, alpha) for alpha in CONCENTRATIONS}
    return Found(models, corners, explained, mixtures)


def run(experiment: Experiment) -> report.Table:
    """Train, draw the pictures, judge the digits, print the table, and write it."""
    if unknown := set(experiment.sets) - set(SETS):
        raise SystemExit(f"there are no sets {sorted(unknown)}; choose from {', '.join(SETS)}.")
    sweeps = SWEEPS
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        size = image_models.Size(depth=1, features=8, steps=20, deep_steps=10, archetypes=4)
        experiment, sweeps = (
            dataclasses.replace(experiment, num_seeds=1, size=size, judging=20, cache_dir=runs, output_dir=runs),
            2,
        )
    classifier = None
    if "digits" in experiment.sets:
        classifier = image_classifier.train(SETS["digits"], TEST, experiment.judging, experiment.cache_dir)
    cells: dict[str, list[dict[str, float]]] = {}
    details: dict[str, dict[str, Any]] = {}
    for name in experiment.sets:
        seeds = experiment.num_seeds if name == "digits" else 1
        for seed in range(experiment.first_seed, experiment.first_seed + seeds):
            one = found(experiment, name, seed, sweeps)
            details.setdefault(name, {"explained": [], "seconds": []})["explained"].append(one.explained)
            details[name]["seconds"].append(one.models.seconds)
            if seed == experiment.first_seed:
                pictured(experiment.output_dir / f"flow_archetypes-{name}.png", one.models, one.corners, one.mixtures)
            if name == "digits" and classifier is not None:
                unlearned = found(experiment, name, seed, sweeps, train=False)
                control = {f"untrained: {title}": images for title, images in _drawn(unlearned, seed).items()}
                for title, images in (_real(seed) | _drawn(one, seed) | control).items():
                    cells.setdefault(title, []).append(seen(classifier, images, SETS[name].labels()))
    rows = [report.Row.of(title, each, COLUMNS) for title, each in cells.items()]
    means = {name: float(np.mean(each["explained"])) for name, each in details.items()}
    size = experiment.size
    remarks = [
        f"{LATENTS} latent vectors, or as many as there are, and {size.archetypes} archetypes, which explain of their "
        f"variance: {', '.join(f'{name} {share:.3f}' for name, share in means.items())}. Couplings {size.features} "
        f"features wide, {size.depth} at each of two sizes; {size.steps} and {size.deep_steps} steps of a hundred "
        "images. "
        + ("" if classifier is None else f"The classifier is right on {classifier.accuracy:.2%} of the test digits. ")
        + "The thesis' classifier has 0.997, 0.844 and 0.638 of the drawn classes right for 7, 1 and 0.3.",
    ]
    table = report.Table("flow_archetypes", "How mixtures of archetypes look to a classifier", COLUMNS, rows, remarks)
    table.write(experiment.output_dir, {"size": dataclasses.asdict(size), "found": details})
    return table


def _real(seed: int) -> dict[str, np.ndarray]:
    """Return what the classifier looks at that no network drew, by title."""
    digits = image_classifier.pixels(TEST, np.random.default_rng(seed).permutation(len(TEST.labels()))[:2_000])
    noise = np.random.default_rng(seed).uniform(size=digits.shape)
    return {"test digits (floor)": digits, "noise (chance)": noise}


def _drawn(one: Found, seed: int) -> dict[str, np.ndarray]:
    """Return what networks drew for the classifier, by title."""
    listed = {"flow's samples": image_models.shelled(jax.random.key(seed), one.models, 500, None)}
    for alpha, kinds in one.mixtures.items():
        listed |= {f"{kind}, concentration {alpha:g}": images for kind, images in kinds.items()}
    return listed


def pictured(path: pathlib.Path, models: image_models.Models, corners: Any, mixtures: dict[float, Any]) -> None:
    """Draw both kinds of archetypes, the way between deep ones, and draws nearer and nearer to the corners."""
    flow, state = models.flow
    deep, learned = models.deep
    mix = lambda weights: np.asarray(jax.jit(deep.mixture)(learned, jnp.asarray(weights, jnp.float32)))
    middle = corners.archetypes.mean(0)[None]
    decode = lambda z: np.asarray(jax.jit(flow.decode)(state, z))
    even = np.full((1, deep.count), 1 / deep.count)
    shown = {
        "latent archetypes, and their middle": decode(jnp.concatenate([corners.archetypes, middle])),
        "deep archetypes, and their middle": mix(np.vstack([np.eye(deep.count), even])),
        "from each deep one to the next": mix(travel(np.eye(deep.count), 8)),
    }
    for alpha, kinds in mixtures.items():
        shown |= {f"{kind}, {alpha:g}": images[:40] for kind, images in kinds.items()}
    report.pictures(path, {title: filled(images, 8) for title, images in shown.items()})


def filled(images: np.ndarray, across: int) -> np.ndarray:
    """Return images as bytes, with black ones behind that fill the last line."""
    lacking = -len(images) % across
    whole = np.concatenate([images, np.zeros((lacking, *images.shape[1:]), images.dtype)])
    return np.round(255 * np.clip(whole, 0, 1)).astype(np.uint8)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
