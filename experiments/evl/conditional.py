"""Conditional outcomes: section III of Guttenberg, Generating the support with extreme value losses (2019).

    python -m experiments.evl.conditional             # five seeds on two CPU cores
    python -m experiments.evl.conditional --quick     # a minute

The paper derives the loss for regression and shows no conditional experiment; here are two. A noisy ring: its second
coordinate given the first. A double pendulum: its end after three seconds, given the angle at which it was released,
the start being slightly uncertain. Extreme value networks, mixture density networks and least squares learn 20,000
pairs. At 25 inputs their samples are compared with the true conditional distribution on a grid of 20 cells a dimension.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.evl import grid_metrics
from jaxgen import data, methods, metrics, nets
from jaxgen.optim import Cosine

TITLE = "The distribution of the outcome given the input: means over 25 inputs"
COLUMNS = [
    *grid_metrics.DIVERGENCES,
    report.Column("mean", "error of the mean"),
    grid_metrics.SECONDS,
]
DRAWS = 10_000  # samples for each input
SHOWN = 400  # of them in the figure
TRUTH = 12345  # seed of the true distribution's samples


@dataclasses.dataclass(frozen=True)
class Problem:
    """A conditional distribution to learn."""

    title: str
    width: int  # of an outcome
    make: Callable[[int], data.ConditionalToy]  # data of a seed
    inputs: np.ndarray  # where it is tested, `[25, 1]`
    grid: metrics.Grid  # on which outcomes are counted


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
    """Return the extreme value network: 128 guesses for each target, weighted by place and input."""
    generator = nets.WeightedGenerator(nets.MLP((128,) * 3 + (width,)), nets.MLP((128, 128, 1)), condition_dim=1)
    return methods.EVL(
        generator, latent_dim=8, candidates=methods.PerTarget(128, chunk=10), learning_rate=Cosine(1e-3, steps)
    )


def least_squares(width: int, steps: int) -> methods.EVL:
    """Return the same generator with one guess for each target, for which the least loss is the mean loss."""
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
    """A row of the table."""

    title: str
    make: Callable[[int, int], Any] | None = None  # method for outcomes of a width, and steps; None: nothing is trained


MODELS = {
    "floor": Model("the truth itself (floor)"),
    "chance": Model("outcomes of any input (chance)"),
    "untrained": Model("EVL, untrained", extreme),
    "least_squares": Model("least squares", least_squares),
    "mixture_density": Model("mixture density network", mixture_density),
    "extreme": Model("EVL", extreme),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Problems, models, number of seeds, and length of trainings."""

    problems: tuple[str, ...] = tuple(PROBLEMS)  # conditional distributions to learn
    models: tuple[str, ...] = tuple(MODELS)  # rows of each
    num_seeds: int = 5  # seeds, of data and training alike
    first_seed: int = 1  # the first of them
    steps: int = 3_000  # training steps

    name = "evl/conditional"
    choices = {"problems": PROBLEMS, "models": MODELS}
    small = {"steps": 500}

    def config(self, name: str, model: str, seed: int) -> jaxgen.Config | None:
        """What is trained; None where nothing is."""
        make, problem = MODELS[model].make, PROBLEMS[name]
        if make is None:
            return None
        method = make(problem.width, self.steps)
        return training.configure(method, problem.make(seed), steps=self.steps, batch_size=200, seed=seed, calls=5)

    def cells(self) -> Iterator[Cell]:
        """Every model on every problem."""
        for seed in self.seeds:
            for name in self.problems:
                for model in self.models:
                    config, row = self.config(name, model, seed), f"{name}-{model}"
                    if config is None:
                        yield Cell(row, seed, functools.partial(measured_control, name, model, seed))
                    else:
                        train = model != "untrained"
                        yield Cell(row, seed, functools.partial(measured, config, name, train), config)

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each model on each problem."""
        rows, configs = [], {}
        for name in self.problems:
            for model in self.models:
                title = f"{PROBLEMS[name].title}: {MODELS[model].title}"
                rows.append(report.Row.of(title, results[f"{name}-{model}"], COLUMNS))
                if config := self.config(name, model, self.first_seed):
                    configs[f"{name} {model}"] = jaxgen.to_json(config)
        details = {"steps": self.steps, "configs": configs}
        return [report.Table("conditional", TITLE, COLUMNS, rows, ["The paper has no such table."], details=details)]

    def figures(self, results: Results) -> None:
        """Samples of the ring over the input, and the pendulum's ends by input, of the first seed."""
        first = {name: {model: results[f"{name}-{model}"][0] for model in self.models} for name in self.problems}
        points = {
            name: {MODELS[model].title: cell["points"] for model, cell in cells.items() if "points" in cell}
            for name, cells in first.items()
        }
        draw(self.results_directory / "conditional.png", points)


@functools.cache
def truth(name: str, seed: int) -> np.ndarray:
    """Sample the true distribution at every input, `[25, samples, d]`."""
    return PROBLEMS[name].make(0).outcomes(np.random.default_rng(seed), PROBLEMS[name].inputs, DRAWS)


def scores(name: str, sample: Callable[[int], np.ndarray]) -> dict[str, Any]:
    """Compare `sample(i)`, samples `[n, d]` at the i-th input, with the true distribution there."""
    grid, by_input = PROBLEMS[name].grid, []
    for number, outcomes in enumerate(truth(name, TRUTH)):
        samples = sample(number)
        error = float(np.linalg.norm(samples.mean(0) - outcomes.mean(0)))
        by_input.append({**grid_metrics.score(grid(outcomes), grid(samples)), "mean": error})
    return {measure: float(np.mean([at[measure] for at in by_input])) for measure in by_input[0]}


def measured(config: jaxgen.Config, name: str, train: bool, directory: pathlib.Path) -> dict[str, Any]:
    """Train a model on a problem, or take its initial values, and compare its samples with the truth."""
    result, times = training.timed(config, directory, train=train)
    sample_given, state = jax.jit(result.config.method.sample_given, static_argnums=3), result.state_of(0)
    inputs = PROBLEMS[name].inputs
    at = jnp.asarray(inputs, jnp.float32)
    sample = lambda i: np.asarray(sample_given(jax.random.key(i), state, at[i : i + 1], DRAWS)[0])
    points = np.concatenate([sample(i)[:SHOWN] for i in range(len(at))])
    shown = np.concatenate([np.repeat(inputs, SHOWN, 0), points], 1)
    return {**scores(name, sample), **times, "points": np.round(shown, 3).tolist()}


def measured_control(name: str, control: str, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    """Compare other samples of the truth (`floor`), or training outcomes of any input (`chance`), with the truth."""
    if control == "floor":
        return scores(name, lambda i: truth(name, seed)[i])
    generator, outcomes = np.random.default_rng(seed), PROBLEMS[name].make(seed).tables()[0][1]
    return scores(name, lambda i: outcomes[generator.integers(len(outcomes), size=DRAWS)])


def draw(path: pathlib.Path, points: dict[str, dict[str, Any]]) -> None:
    """Draw the truth and samples by problem and model's title, `[n, 1 + d]` with the input first."""
    panels = 1 + max(map(len, points.values()))
    lines = -(-panels // report.PANELS)
    with report.figure(path, lines * len(points), -(-panels // lines)) as axes:
        for row, (name, by_title) in zip(axes.reshape(len(points), -1), points.items(), strict=True):
            inputs = np.repeat(PROBLEMS[name].inputs, SHOWN, 0)
            exact = np.concatenate([inputs, truth(name, TRUTH)[:, :SHOWN].reshape(len(inputs), -1)], 1)
            for axis, (title, samples) in zip(row, {"the truth": exact, **by_title}.items(), strict=False):
                x = np.array(samples)
                if x.shape[1] == 2:
                    axis.plot(x[:, 0], x[:, 1], ",", color="black")
                    axis.set(title=title, xlabel="input", ylabel="outcome", ylim=(-1.5, 1.5))
                else:
                    axis.scatter(x[:, 1], x[:, 2], s=0.3, c=x[:, 0], cmap="viridis")
                    axis.set(title=title, xlabel="$x$", ylabel="$y$", xlim=(-2.1, 2.1), ylim=(-2.1, 2.1))


if __name__ == "__main__":
    experiment.main(Experiment)
