"""Table 2 of Kumar et al., Maximum entropy generators for energy-based models (2019): CIFAR-10, drawn and walked.

    python -m experiments.meg_cifar10                                # a reduced size and a judge trained here
    python -m experiments.meg_cifar10 --paper --extractor inception:judge    # the paper's size: meant for a GPU
    python -m experiments.meg_cifar10 --quick                        # two minutes

The paper's Inception score and Frechet distance are those of one network's weights, which this module does not hold.
Name a function of a module of your own that takes images `[n, 32, 32, 3]` between 0 and 1 to a pair, features `[n, d]`
and probabilities `[n, classes]`; or the folder of a classifier that was saved by `Result.save`. Where none is named, a
small classifier trained here stands in, and numbers compare with each other only. Draws of the generator stand beside
what five steps of a latent chain make of their noise.
"""

import dataclasses
import functools
import importlib
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments import energies, judge, report, trials
from jaxgen import data, methods, metrics
from jaxgen.description import describe
from jaxgen.loop import keys

TITLE = "Table 2: CIFAR-10, generator and chains"
COLUMNS = [
    report.Column("score", "Inception score", 2),
    report.Column("frechet", "Frechet distance", 2),
    report.Column("acceptance", "acceptance", 2),
    report.Column("seconds", "seconds", 0),
]
TRAIN, TEST = data.Images("cifar10"), data.Images("cifar10", "test")
CHAIN = methods.LatentChain(steps=5, step_size=0.01, beta=0.2)
PUBLISHED = {
    "meg_released": {"score": 6.49, "frechet": 35.02},
    "meg_released chain": {"score": 6.94, "frechet": 33.85},
    "wgan_released": {"score": 6.81, "frechet": 30.95},
    "half": {"score": 11.24, "frechet": 7.8},
}
PENALTIES = {"meg": 0.1, "meg_released": 10.0, "wgan": 10.0, "wgan_released": 10.0}
BLOCK = 250  # images walked at a time
Extractor = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which rows, how many seeds, how large, judged by what."""

    models: tuple[str, ...] = ("meg", "wgan")
    """Rows of the table."""
    seeds: int = 1
    """How many seeds."""
    first: int = 0
    """The first of them."""
    width: int = 32
    """Features of the smallest images; the paper has 512."""
    steps: int = 1_000
    """Of five updates of the energy and one of the generator; the paper has 100,000."""
    draws: int = 5_000
    """Images that are judged; the paper judges 50,000."""
    extractor: str = ""
    """`package.module:function`, or the folder of a saved classifier; empty trains a small one here."""
    judge_steps: int = 3_000
    """Training steps of the small classifier, of 100 images."""
    paper: bool = False
    """The paper's width, steps and draws."""
    quick: bool = False
    """Two minutes: one seed, 10 steps, 500 images, a classifier of 100 steps."""
    runs: pathlib.Path = pathlib.Path("runs/meg_cifar10")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path = pathlib.Path("runs/meg_cifar10")
    """Where the table and the figure go."""

    def size(self) -> energies.Size:
        """Return how large the networks are and how long they are trained."""
        return energies.PAPER if self.paper else energies.Size(self.width, self.steps)

    def judged(self) -> int:
        """Return how many images are judged."""
        return 50_000 if self.paper else self.draws


def configure(experiment: Experiment, model: str, seed: int) -> jaxgen.Config:
    """Return what a row trains."""
    return energies.configure(model, data.Signed(TRAIN), seed, experiment.size(), penalty=PENALTIES[model])


def extractor(experiment: Experiment) -> tuple[Extractor, str]:
    """Return what judges images, and how a table calls it.

    Raises:
        SystemExit: if what was named cannot be found, or is no classifier.
    """
    return _extractor(experiment.extractor, experiment.judge_steps, experiment.runs)


@functools.cache
def _extractor(named: str, steps: int, runs: pathlib.Path) -> tuple[Extractor, str]:
    if not named:
        look = judge.train(TRAIN, TEST, steps, runs)
        return _logits(look), f"a small classifier trained here, which has {look.accuracy:.1%} of the test images right"
    if pathlib.Path(named).is_dir():
        result = jaxgen.load(named)
        if not isinstance(result.config.method, methods.Classifier):
            raise SystemExit(f"{named} holds a {type(result.config.method).__name__}; name a saved Classifier.")
        return _logits(judge.Judge(result, np.nan)), f"the classifier in {named}"
    module, _, function = named.partition(":")
    try:
        return getattr(importlib.import_module(module), function), named
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(
            f"there is no folder and no function {named} ({error}); name a saved classifier or package.module:function."
        ) from error


def _logits(look: judge.Judge) -> Extractor:
    """Take the logarithms of a classifier's probabilities for its features."""

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = look(images)
        return found, np.exp(found)

    return extract


def judged(experiment: Experiment, blocks: Any) -> dict[str, Any]:
    """Judge blocks of images `[n, 32, 32, 3]` between 0 and 1 against the training images, and keep some of them."""
    extract, _ = extractor(experiment)
    features, probabilities, first = [], [], []
    for images in blocks:
        first.append(images[:64])
        one, other = extract(images)
        features.append(one)
        probabilities.append(other)
    score = metrics.inception_score(np.concatenate(probabilities))
    distance = metrics.frechet_distance(np.concatenate(features), _known(experiment))
    shown = np.uint8(np.round(np.concatenate(first)[:64] * 255)).tolist()
    return {"score": score.mean, "score_deviation": score.deviation, "frechet": distance, "picture": shown}


def _known(experiment: Experiment) -> np.ndarray:
    """Return the features of the training images: of the first half of them."""
    return _features(experiment.extractor, experiment.judge_steps, experiment.runs)


@functools.cache
def _features(named: str, steps: int, runs: pathlib.Path) -> np.ndarray:
    extract, _ = _extractor(named, steps, runs)
    return np.concatenate([extract(images)[0] for images in _real(range(len(TRAIN.labels()) // 2))])


def _real(rows: range) -> Any:
    """Yield some training images between 0 and 1, block by block."""
    for at in range(0, len(rows), energies.BLOCK):
        yield judge.pixels(TRAIN, np.asarray(rows[at : at + energies.BLOCK]))


def reference(experiment: Experiment, row: str, seed: int) -> dict[str, Any]:
    """Judge images that no network drew: other training images, or noise."""
    identity = {"row": row, **_judging(experiment), "draws": experiment.judged()}
    where = trials.place(experiment.runs, f"{row}-{seed}", identity)

    def compute() -> dict[str, Any]:
        half = len(TRAIN.labels()) // 2
        if row == "half":
            return judged(experiment, _real(range(half, min(half + experiment.judged(), 2 * half))))
        generator = np.random.default_rng(seed)
        blocks = range(0, experiment.judged(), energies.BLOCK)
        shape = (energies.BLOCK, *TRAIN.tables()[0].shape[1:])
        return judged(experiment, (generator.uniform(size=shape).astype(np.float32) for _ in blocks))

    return trials.remembered(where.with_suffix(".json"), identity, compute)


def trained(experiment: Experiment, model: str, seed: int, *, train: bool = True) -> dict[str, Any]:
    """Train, or leave untrained, and judge draws; of maximum entropy generators those of chains too."""
    config = configure(experiment, model, seed)
    identity = {
        "config": describe(config),
        "trained": train,
        **_judging(experiment),
        "draws": experiment.judged(),
        "chain": describe(CHAIN),
    }
    where = trials.place(experiment.runs, f"{model if train else 'untrained'}-{seed}", identity)

    def compute() -> dict[str, Any]:
        method: Any
        cell: dict[str, Any] = {}
        if train:
            result, cell = trials.timed(config, where)
            method, state = result.config.method, result.of(0)
        else:
            method, state = trials.untrained(config)
        cell = {**cell, **judged(experiment, energies.draws(method, state, experiment.judged(), seed=seed))}
        if isinstance(method, methods.MEG):
            acceptance: list[float] = []
            walked = judged(experiment, walks(method, state, experiment.judged(), acceptance))
            cell["chain"] = {**walked, "acceptance": float(np.mean(acceptance))}
        return cell

    return trials.remembered(where.with_suffix(".json"), identity, compute)


def walks(method: methods.MEG, state: Any, count: int, acceptance: list[float]) -> Any:
    """Yield what the generator makes of noise that chains have moved, block by block; note their acceptance."""
    density = method.latent_log_density(state)

    @jax.jit
    def walk(key: Any) -> Any:
        key_noise, key_chain = jax.random.split(key)
        z = jax.random.normal(key_noise, (BLOCK, method.latent_dim or 128))
        z, accepted = CHAIN(key_chain, lambda z: -density(z), lambda z: z, z)
        return energies.pixels(method.decode(state, z)), jnp.mean(accepted)

    for at, key in enumerate(keys(jax.random.key(1), -(-count // BLOCK))):
        images, accepted = walk(key)
        acceptance.append(float(accepted))
        yield np.asarray(images)[: count - at * BLOCK]


def _judging(experiment: Experiment) -> dict[str, Any]:
    return {"extractor": experiment.extractor, "judge": experiment.judge_steps, "data": describe(TRAIN)}


def run(experiment: Experiment) -> report.Table:
    """Train and judge every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.models) - set(energies.VARIANTS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(energies.VARIANTS)}.")
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            models=experiment.models[:1],
            seeds=1,
            steps=min(experiment.steps, 10),
            draws=min(experiment.draws, 500),
            judge_steps=min(experiment.judge_steps, 100),
            paper=False,
            runs=runs,
            out=runs,
        )
    _, told = extractor(experiment)
    seeds = range(experiment.first, experiment.first + experiment.seeds)
    rows = [
        _row("other training images (floor)", [reference(experiment, "half", 0)], PUBLISHED["half"]),
        _row("noise (chance)", [reference(experiment, "noise", seed) for seed in seeds], {}),
        _row("untrained", [trained(experiment, experiment.models[0], seed, train=False) for seed in seeds], {}),
    ]
    pictures = {}
    for model in experiment.models:
        cells = []
        for seed in seeds:
            print(f"{energies.VARIANTS[model][0]}, seed {seed}", flush=True)
            cells.append(trained(experiment, model, seed))
        title = energies.VARIANTS[model][0]
        rows.append(_row(title, cells, PUBLISHED.get(model, {})))
        pictures[title] = cells[0]["picture"]
        if "chain" in cells[0]:
            walked = [cell["chain"] for cell in cells]
            rows.append(_row(f"{title}, five latent steps", walked, PUBLISHED.get(f"{model} chain", {})))
            pictures[f"{title}, five latent steps"] = walked[0]["picture"]
    size = experiment.size()
    remark = (
        f"Judged by {told}, {experiment.judged():,} images against {len(TRAIN.labels()) // 2:,} training images; "
        f"networks {size.width} wide, trained {size.steps:,} steps. The paper's numbers are those of another judge, "
        "of 50,000 images, and of networks 512 wide, trained 100,000 steps."
    )
    table = report.Table("meg_cifar10", TITLE, COLUMNS, rows, [remark])
    print(f"\n{table}\n")
    configs = {model: describe(configure(experiment, model, experiment.first)) for model in experiment.models}
    table.write(experiment.out, {"configs": configs, "extractor": told})
    draw(experiment.out / "meg_cifar10.png", pictures)
    print(f"written: {experiment.out / 'meg_cifar10'}.{{json,md,png}}")
    return table


def _row(title: str, cells: list[dict[str, Any]], paper: dict[str, float]) -> report.Row:
    return report.Row(title, {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in COLUMNS}, paper)


def draw(path: pathlib.Path, pictures: dict[str, Any]) -> None:
    """Draw 64 images of the first seed of each row."""
    with report.figure(path, 1, len(pictures), size=4) as axes:
        for axis, (title, picture) in zip(axes[0], pictures.items(), strict=True):
            images = np.array(picture, np.uint8)
            side, channels = images.shape[1], images.shape[-1]
            joined = images.reshape(8, 8, side, side, channels).swapaxes(1, 2).reshape(8 * side, 8 * side, channels)
            axis.imshow(joined if channels == 3 else joined[..., 0], cmap="gray")
            axis.set(title=title)
            axis.axis("off")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
