"""Inputs with many outcomes: section III of Guttenberg, Generating the support with extreme value losses (2019).

    python -m experiments.evl.conditional             # five seeds on two CPU cores
    python -m experiments.evl.conditional --quick     # a minute

The paper derives the loss for regression and shows no conditional experiment; here are two. A noisy ring: its second
coordinate given the first. A double pendulum: where its end is after three seconds, given the angle from which it was
let go, the start being slightly uncertain. Extreme value networks, mixture density networks and least squares learn
20,000 pairs; at 25 inputs their draws are compared with the true conditional law on a grid of 20 cells a dimension.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments.common import cache, report, training
from experiments.evl import grid_metrics
from jaxgen import data, methods, metrics, nets
from jaxgen.optim import Cosine
from jaxgen.serialization.config_json import to_json

TITLE = "The law of the outcome given the input: means over 25 inputs"
COLUMNS = [
    *grid_metrics.DIVERGENCES,
    report.Column("mean", "error of the mean"),
    grid_metrics.SECONDS,
]
DRAWS = 10_000  # for each input
TRUTH = 12345  # seed of the true law's draws


@dataclasses.dataclass(frozen=True)
class Problem:
    """A law to learn.

    Attributes:
        title: what stands in the table.
        width: of an outcome.
        make: the data of a seed.
        inputs: where it is tested, `[25, 1]`.
        grid: on which outcomes are counted.
    """

    title: str
    width: int
    make: Callable[[int], data.ConditionalToy]
    inputs: np.ndarray
    grid: metrics.Grid


PROBLEMS = {
    "ring": Problem(
        "noisy ring",
        1,
        lambda seed: data.NoisyRing(20_000, seed),
        np.cos((np.arange(25) + 0.5) * np.pi / 25)[:, None],
        metrics.Grid(20, -1.5, 1.5),
    ),
    "pendulum": Problem(
        "double pendulum",
        2,
        lambda seed: data.DoublePendulum(20_000, seed),
        np.pi / 2 + (np.arange(25) + 0.5)[:, None] * np.pi / 50,
        metrics.Grid(20, -2.0, 2.0),
    ),
}


def extreme(width: int, steps: int) -> methods.EVL:
    """Return the extreme value network: 128 guesses for each target, weighed by place and input."""
    generator = nets.WeightedGenerator(nets.MLP((128,) * 3 + (width,)), nets.MLP((128, 128, 1)), condition=1)
    return methods.EVL(
        generator, latent_dim=8, candidates=methods.PerTarget(128, chunk=10), learning_rate=Cosine(1e-3, steps)
    )


def least_squares(width: int, steps: int) -> methods.EVL:
    """Return the same generator with one guess for each target, whose least loss is the mean loss."""
    generator = nets.MLP((128,) * 3 + (width + 1,))
    rate = Cosine(2e-3, steps)
    return methods.EVL(
        generator, latent_dim=8, candidates=methods.PerTarget(1), probability_weight=0.0, learning_rate=rate
    )


def mixture_density(width: int, steps: int) -> methods.MixtureDensity:
    """Return a mixture density network of 20 Gaussians with full covariances."""
    numbers = 20 * (1 + width + width * (width + 1) // 2)
    return methods.MixtureDensity(
        nets.MLP((128,) * 3 + (numbers,)), components=20, learning_rate=Cosine(2e-3, steps), standardize=False
    )


@dataclasses.dataclass(frozen=True)
class Model:
    """A line of the table.

    Attributes:
        title: what stands there.
        make: the method of an outcome's width and the steps; None where nothing is trained.
    """

    title: str
    make: Callable[[int, int], Any] | None = None


MODELS = {
    "floor": Model("the truth itself (floor)"),
    "chance": Model("outcomes of any input (chance)"),
    "untrained": Model("EVL, untrained", extreme),
    "least_squares": Model("least squares", least_squares),
    "mixture_density": Model("mixture density network", mixture_density),
    "extreme": Model("EVL", extreme),
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which problems and models, how many seeds, how long."""

    problems: tuple[str, ...] = tuple(PROBLEMS)
    """Laws to learn."""
    models: tuple[str, ...] = tuple(MODELS)
    """Lines of each."""
    num_seeds: int = 5
    """Of data and training alike, from 1."""
    steps: int = 3_000
    """Of training."""
    quick: bool = False
    """A minute's worth: one seed, few steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/conditional")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/conditional")
    """Where the table and the figure go."""


@functools.cache
def truth(name: str, seed: int) -> np.ndarray:
    """Draw from the true law at every input, `[25, draws, d]`."""
    return PROBLEMS[name].make(0).outcomes(np.random.default_rng(seed), PROBLEMS[name].inputs, DRAWS)


def measure(name: str, draw: Callable[[int], np.ndarray]) -> dict[str, Any]:
    """Compare `draw(i)`, draws `[n, d]` at the i-th input, with the true law there."""
    grid, found = PROBLEMS[name].grid, []
    for number, outcomes in enumerate(truth(name, TRUTH)):
        made = draw(number)
        off = float(np.linalg.norm(made.mean(0) - outcomes.mean(0)))
        found.append({**grid_metrics.score(grid(outcomes), grid(made)), "mean": off})
    return {measured: float(np.mean([at[measured] for at in found])) for measured in found[0]}


def configure(experiment: Experiment, name: str, model: str, seed: int) -> jaxgen.Config | None:
    """Return what is trained; None where nothing is."""
    make, problem, steps = MODELS[model].make, PROBLEMS[name], experiment.steps
    if make is None:
        return None
    method = make(problem.width, steps)
    return jaxgen.Config(method, problem.make(seed), steps=steps, steps_per_call=training.segment(steps, 5), seed=seed)


def cell(experiment: Experiment, name: str, model: str, seed: int) -> dict[str, Any]:
    """Train and measure one model on one problem, or remember it."""
    problem, config = PROBLEMS[name], configure(experiment, name, model, seed)
    rows = problem.make(seed)
    identity = {"model": model, "data": to_json(rows), "grid": to_json(problem.grid), "draws": DRAWS}
    identity |= {"inputs": problem.inputs.tolist(), "truth": TRUTH}
    identity |= {"config": to_json(config)} if config else {}
    place = cache.place(experiment.cache_dir, f"{name}-{model}-{seed}", identity)

    def compute() -> dict[str, Any]:
        generator = np.random.default_rng(seed)
        if config is None:
            outcomes = rows.tables()[0][1]
            any_input = lambda i: outcomes[generator.integers(len(outcomes), size=DRAWS)]
            return measure(name, (lambda i: truth(name, seed)[i]) if model == "floor" else any_input)
        if model == "untrained":
            spent: dict[str, float] = {}
            method, state = training.untrained(config)
        else:
            result, spent = training.timed(config, place)
            method, state = result.config.method, result.state_of(0)
        sample = jax.jit(method.sample_given, static_argnums=3)
        at = jnp.asarray(problem.inputs, jnp.float32)
        draw = lambda i: np.asarray(sample(jax.random.key(i), state, at[i : i + 1], DRAWS)[0])
        points = np.concatenate([draw(i)[:400] for i in range(len(at))])
        shown = np.concatenate([np.repeat(problem.inputs, 400, 0), points], 1)
        return {**measure(name, draw), **spent, "points": np.round(shown, 3).tolist()}

    return cache.remembered(place.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> report.Table:
    """Train and measure every model, print the table, and write it with its figure."""
    unknown = set(experiment.problems) - set(PROBLEMS) | set(experiment.models) - set(MODELS)
    if unknown:
        raise SystemExit(f"there is no {sorted(unknown)}; choose from {', '.join((*PROBLEMS, *MODELS))}.")
    if experiment.quick:
        place = experiment.cache_dir / "quick"
        steps = min(experiment.steps, 500)
        experiment = dataclasses.replace(experiment, num_seeds=1, steps=steps, cache_dir=place, output_dir=place)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for seed in range(1, experiment.num_seeds + 1):
        for name in experiment.problems:
            for model in experiment.models:
                print(f"{PROBLEMS[name].title}, {MODELS[model].title}, seed {seed}", flush=True)
                found.setdefault((name, model), []).append(cell(experiment, name, model, seed))
    rows = []
    for (name, model), cells in found.items():
        values = {c.name: [at[c.name] for at in cells if c.name in at] for c in COLUMNS}
        rows.append(report.Row(f"{PROBLEMS[name].title}: {MODELS[model].title}", values))
    table = report.Table("evl_conditional", TITLE, COLUMNS, rows, ["The paper has no such table."])
    configs = {f"{name} {model}": configure(experiment, name, model, 1) for name, model in found}
    trained = {title: to_json(config) for title, config in configs.items() if config}
    table.write(experiment.output_dir, {"steps": experiment.steps, "configs": trained})
    draw(experiment, experiment.output_dir / "evl_conditional.png", found)
    return table


def draw(experiment: Experiment, path: pathlib.Path, found: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Draw the ring's draws over the input, and the pendulum's ends at one input."""
    models = [model for model in experiment.models if "points" in found[experiment.problems[0], model][0]]
    with report.figure(path, len(experiment.problems), len(models) + 1) as axes:
        for row, name in zip(axes, experiment.problems, strict=True):
            problem = PROBLEMS[name]
            given = np.repeat(problem.inputs, 400, 0)
            panels = [("the truth", np.concatenate([given, truth(name, TRUTH)[:, :400].reshape(len(given), -1)], 1))]
            panels += [(MODELS[model].title, np.array(found[name, model][0]["points"])) for model in models]
            for axis, (title, points) in zip(row, panels, strict=True):
                if points.shape[1] == 2:
                    axis.plot(points[:, 0], points[:, 1], ",", color="black")
                    axis.set(title=title, xlabel="input", ylabel="outcome", ylim=(-1.5, 1.5))
                else:
                    axis.scatter(points[:, 1], points[:, 2], s=0.3, c=points[:, 0], cmap="viridis")
                    axis.set(title=title, xlabel="$x$", ylabel="$y$", xlim=(-2.1, 2.1), ylim=(-2.1, 2.1))


if __name__ == "__main__":
    run(tyro.cli(Experiment))
