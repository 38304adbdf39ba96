"""Figures 4 and 5 of Guttenberg, Generating the support with extreme value losses (2019): MNIST and CIFAR-10.

    python -m experiments.evl_images                                 # one seed of both sets
    python -m experiments.evl_images --sets mnist --seeds 5 --out experiments/results
    python -m experiments.evl_images --paper                         # the paper's size; meant for a GPU
    python -m experiments.evl_images --quick                         # a minute

The paper shows maps of the two-dimensional latent space and prints no number. Measured here besides: how far a test
image is from the nearest of n guesses, and how often each digit is drawn, as a classifier trained here sees it.
Cells and checkpoints are kept in `runs/`, so an experiment that was cut off goes on where it stopped.
"""

import base64
import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments import images, judge, report, trials
from jaxgen import samplers
from jaxgen.description import describe

DRAWS = 10_000  # by weight, for the frequencies of the digits: as many as there are test images
ROWS = {
    "mean": "the mean training image (chance)",
    "training": "n training images",
    "untrained": "EVL, untrained",
    "ours": "EVL, ours",
    "paper": "EVL, the paper's protocol",
}
COLUMNS = [
    *(report.Column(f"nearest_{n}", f"MSE, n = {n}", 4) for n in images.SIZES),
    report.Column("rmse", "RMSE, all"),
    report.Column("cross_entropy", "CE, nats", 2),
    report.Column("seconds", "seconds", 0),
]
DIGITS = [
    report.Column("variation", "total variation"),
    *(report.Column(f"share_{digit}", str(digit)) for digit in range(10)),
    report.Column("confidence", "confidence", 2),
    report.Column("ess", "ESS share", 2),
]


def drawn(experiment: "Experiment", row: str, name: str, seed: int) -> dict[str, Any]:
    """Measure what is taken from the training images: their mean, or some of them."""

    def compute() -> dict[str, Any]:
        order = np.random.default_rng(seed).permutation(len(images.SETS[name].train.labels()))
        if row == "mean":
            pool = judge.pixels(images.SETS[name].train, order).mean(0, keepdims=True)
            return images.distances(name, pool, experiment.guesses)
        pool = judge.pixels(images.SETS[name].train, order[: experiment.guesses])
        found: dict[str, Any] = images.distances(name, pool, experiment.guesses)
        if images.SETS[name].digits:
            look = _judge(experiment, name)
            weighted = judge.frequencies(look(pool[:DRAWS]), images.SETS[name].test.labels())
            found |= {"digits": {"weighted": weighted}, "accuracy": look.accuracy}
        return found

    identity = {"row": row, "data": describe(images.SETS[name].train), **_measured(experiment)}
    return trials.remembered(experiment.runs / f"{row}-{name}-{seed}.json", identity, compute)


def trained(experiment: "Experiment", row: str, name: str, config: jaxgen.Config) -> dict[str, Any]:
    """Measure a network; where the row is `untrained`, as it was drawn."""
    identity = {"row": row, "config": describe(config), **_measured(experiment)}
    place = trials.place(experiment.runs, f"{row}-{name}-{config.seed}", identity)

    def compute() -> dict[str, Any]:
        cell: dict[str, Any] = {}
        if row == "untrained":
            method, state = trials.untrained(config)
        else:
            result, cell = trials.timed(config, place)
            last = max(config.steps // 20, 1)
            cell |= {part: float(result.history[part][0, -last:].mean()) for part in ("distance", "cross_entropy")}
            method, state = result.config.method, result.of(0)
        pool, log_weights = images.guesses(method, state, experiment.guesses)
        cell |= {**images.distances(name, pool, experiment.guesses), "map": images.latent_map(method, state)}
        if images.SETS[name].digits:
            look, labels = _judge(experiment, name), images.SETS[name].test.labels()
            seen = look(pool)
            picked = np.asarray(samplers.resample(jax.random.key(1), jnp.asarray(log_weights), DRAWS))
            share = float(samplers.effective_sample_size(jnp.asarray(log_weights))) / len(pool)
            cell |= {
                "digits": {
                    "weighted": {**judge.frequencies(seen[picked], labels), "ess": share},
                    "unweighted": judge.frequencies(seen, labels),
                },
                "accuracy": look.accuracy,
            }
        return cell

    return trials.remembered(place.with_suffix(".json"), identity, compute)


@functools.cache
def _judge(experiment: "Experiment", name: str) -> judge.Judge:
    return judge.train(images.SETS[name].train, images.SETS[name].test, experiment.judge_steps, experiment.runs)


def _measured(experiment: "Experiment") -> dict[str, Any]:
    return {
        "judge": experiment.judge_steps,
        "sizes": images.sizes(experiment.guesses),
        "targets": images.TARGETS,
        "draws": DRAWS,
    }


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which images, how many seeds, how long."""

    sets: tuple[str, ...] = tuple(images.SETS)
    """Image sets."""
    cells: tuple[str, ...] = ("mean", "training", "untrained", "ours")
    """Rows of the table."""
    seeds: int = 1
    """How many seeds."""
    first: int = 0
    """The first of them."""
    steps: int = 2_500
    """Training steps of `ours`; an epoch has 1,200 on MNIST."""
    paper: bool = False
    """The paper's protocol as well: 20 epochs of a network for a GPU, days on two CPU cores."""
    paper_epochs: int = 20
    """Epochs of the paper's protocol; fewer are the beginning of the same run."""
    judge_steps: int = 3_000
    """Training steps of the classifier of digits: five epochs."""
    guesses: int = images.SIZES[-1]
    """The most guesses among which the nearest is looked for."""
    quick: bool = False
    """A minute's worth: one seed, few steps, 1,024 guesses."""
    runs: pathlib.Path = pathlib.Path("runs/evl_images")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path = pathlib.Path("runs/evl_images")
    """Where tables and figures go."""


def measure(experiment: Experiment, row: str, name: str, seed: int) -> dict[str, Any]:
    """Compute one cell, or remember it."""
    if row in ("mean", "training"):
        return drawn(experiment, row, name, seed)
    if row == "paper":
        return trained(experiment, row, name, images.paper(name, seed, experiment.paper_epochs))
    return trained(experiment, row, name, images.ours(name, seed, experiment.steps))


def run(experiment: Experiment) -> tuple[report.Table, report.Table | None]:
    """Train and measure every cell, print the tables, and write them with their figures."""
    for asked, known in ((experiment.sets, images.SETS), (experiment.cells, ROWS)):
        if unknown := set(asked) - set(known):
            raise SystemExit(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(known)}.")
    if experiment.guesses not in images.SIZES:
        sizes = ", ".join(map(str, images.SIZES))
        raise SystemExit(f"guesses is {experiment.guesses}, at which nothing is measured; choose from {sizes}.")
    if experiment.quick:
        runs = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            seeds=1,
            steps=min(experiment.steps, 40),
            paper=False,
            judge_steps=min(experiment.judge_steps, 200),
            guesses=min(experiment.guesses, 1024),
            out=runs,
            runs=runs,
        )
    if experiment.paper:
        experiment = dataclasses.replace(experiment, cells=tuple(dict.fromkeys((*experiment.cells, "paper"))))
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name in experiment.sets:
        for row in experiment.cells:
            for seed in range(experiment.first, experiment.first + (1 if row == "mean" else experiment.seeds)):
                print(f"{name}, {ROWS[row]}, seed {seed}", flush=True)
                found.setdefault(name, {}).setdefault(row, []).append(measure(experiment, row, name, seed))
        draw(experiment.out / f"evl_images_{name}.png", name, found[name])
    nearest = _nearest_table(experiment, found)
    print(f"\n{nearest}\n")
    nearest.write(experiment.out, {"steps": experiment.steps, "targets": images.TARGETS})
    digits = _digits_table(experiment, {name: rows for name, rows in found.items() if images.SETS[name].digits})
    if digits:
        print(f"{digits}\n")
        digits.write(experiment.out, {"steps": experiment.steps, "draws": DRAWS})
    print(f"written: {experiment.out}/evl_images*.{{json,md,png}}")
    return nearest, digits


def _nearest_table(experiment: Experiment, found: dict[str, dict[str, list[dict[str, Any]]]]) -> report.Table:
    rows = []
    for name, kinds in found.items():
        for row, cells in kinds.items():
            values = {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in COLUMNS}
            rows.append(report.Row(f"{name}: {ROWS[row]}", values, {}, _note(experiment, row, name)))
    remarks = [
        f"Mean squared error per pixel of {images.TARGETS:,} test images to the nearest of n; its root for all;",
        f"pixels lie between 0 and 1. CE: cross-entropy at the end of training; ln 512 = {np.log(512):.2f} is chance.",
        "The paper prints no number.",
    ]
    title = "Figures 4 and 5: distance of a test image to the nearest of n guesses"
    return report.Table("evl_images", title, COLUMNS, rows, [" ".join(remarks)])


def _note(experiment: Experiment, row: str, name: str) -> str:
    count = len(images.SETS[name].train.labels())
    if row == "training" and count < experiment.guesses:
        return f"there are {count:,}, so the last column has those."
    if row == "ours":
        epochs = 50 * experiment.steps / count
        return f"widths {images.WIDTHS} instead of {images.PAPER_WIDTHS}, {epochs:.1f} epochs instead of 20."
    return f"{experiment.paper_epochs} of 20 epochs." if row == "paper" else ""


def _digits_table(experiment: Experiment, found: dict[str, dict[str, list[dict[str, Any]]]]) -> report.Table | None:
    """How often each digit is drawn; None where no set has digits."""
    rows, remarks = [], []
    for name, kinds in found.items():
        truth = judge.classes(images.SETS[name].test.labels(), 10)
        for told, shares in (("test labels", truth), ("uniform (chance)", np.full(10, 0.1))):
            known = {f"share_{digit}": [float(share)] for digit, share in enumerate(shares)}
            rows.append(
                report.Row(f"{name}: {told}", {"variation": [float(np.abs(shares - truth).sum() / 2)], **known})
            )
        for row, cells in kinds.items():
            for kind in cells[0].get("digits", {}):
                measured = [cell["digits"][kind] for cell in cells]
                values = {c.name: [m[c.name] for m in measured if c.name in m] for c in DIGITS}
                some = min(DRAWS, experiment.guesses)
                told = f"{some:,} training images (floor)" if row == "training" else f"{ROWS[row]}, {kind}"
                rows.append(report.Row(f"{name}: {told}", values))
            if row == "training":
                accuracy = f"{cells[0]['accuracy']:.2%} of the test images after {experiment.judge_steps:,} steps"
                remarks.append(f"{name}: the classifier that judges is right on {accuracy}.")
    if not rows:
        return None
    remarks += [
        "Total variation: half the sum of absolute differences of the shares from those of the test labels.",
        "Weighted: drawn by weight; unweighted: as guessed. Confidence: the classifier's mean largest probability.",
    ]
    title = f"Digits as a classifier sees them: weighted, of {DRAWS:,} draws; unweighted, of all guesses"
    return report.Table("evl_images_digits", title, DIGITS, rows, [" ".join(remarks)])


def draw(path: pathlib.Path, name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Draw the latent map of each network, how probable each place is, and the distances against n."""
    shown: list[str] = [row for row in ("paper", "ours") if row in found]
    with report.figure(path, len(shown) + 1, 2, size=6.0) as axes:
        for (left, right), row in zip(axes, shown, strict=False):
            kept = found[row][0]["map"]
            times = np.array(kept["times"]).reshape(images.SIDE, images.SIDE)
            pixels = np.frombuffer(base64.b64decode(kept["pixels"]), np.uint8).reshape(kept["shape"]) / 255
            left.imshow(images.mosaic(pixels, times), extent=(-2, 2, 2, -2), interpolation="nearest")
            seen = right.imshow(times, cmap="coolwarm_r", vmin=0, vmax=2, extent=(-2, 2, 2, -2))
            left.figure.colorbar(seen, ax=right, label="probability, in shares of 1/256")
            left.set(title=f"{ROWS[row]}: map of the latent space", xlabel="$z_1$", ylabel="$z_2$")
            right.set(title="how probable each place is: blue high, red low", xlabel="$z_1$", ylabel="$z_2$")
        left, right = axes[-1]
        for row, cells in found.items():
            sizes = [n for n in images.SIZES if f"nearest_{n}" in cells[0]]
            curves = np.array([[cell[f"nearest_{n}"] for n in sizes] for cell in cells])
            if row == "mean":
                left.axhline(curves[0, 0], color="grey", linestyle=":", label=ROWS[row])
                continue
            left.plot(sizes, curves.mean(0), "o-", label=ROWS[row])
            if "digits" in cells[0]:
                shares = np.mean([[c["digits"]["weighted"][f"share_{d}"] for d in range(10)] for c in cells], 0)
                right.plot(range(10), shares, "o-", label=ROWS[row])
        left.set(xscale="log", xlabel="n", title="MSE of a test image to the nearest of n")
        left.legend()
        if images.SETS[name].digits:
            right.plot(range(10), judge.classes(images.SETS[name].test.labels(), 10), "k--", label="test labels")
            right.set(title="share of each digit, drawn by weight", xlabel="digit", ylim=(0, None))
            right.legend()
        else:
            right.axis("off")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
