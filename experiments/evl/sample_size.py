"""Whether, and why, the extreme value paper's runs on 5,000 points beat its runs on 50,000 in four dimensions.

    python -m experiments.evl.sample_size              # a small network; 70 minutes on a shared core
    python -m experiments.evl.sample_size --paper --num-seeds 1     # the paper's network: two hours on one CPU core
    python -m experiments.evl.sample_size --quick      # a minute

In the paper's stored results the networks trained on 5,000 points have the lower KL divergence wherever d >= 3. Both
went through their data 50 times, so the larger set meant ten times the steps. Here the paper's protocol runs on both
sets, and on the smaller one also for the number of steps of the larger. Measured along the way are the KL divergence,
the share of the test points in cells without a guess, and the spread of guesses and test points about their mean.
With the small network expect a KL of 1.2, 2.7 and 1.4: there the steps matter, and the number of points hardly. With
the paper's the KL is least within the first tenth of the steps, where the small set's run ends, and doubles after it.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.evl import baselines
from experiments.evl.grid_metrics import DIVERGENCES, GRID, score, weigh
from jaxgen import data

KL, FISHER, _ = DIVERGENCES
COLUMNS = [
    KL,
    report.Column("least", "least KL"),
    report.Column("at", "at step", 0),
    FISHER,
    report.Column("missed", "test mass missed", 4),
    report.Column("spread", "spread of the guesses"),
    report.Column("distance", "distance, training"),
]


FEW, MANY = 5_000, 50_000  # training points


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Mixture, number of seeds, and network."""

    dimensions: int = 4  # dimensions of the data
    gaussians: int = 4  # number of Gaussians in the mixture
    num_seeds: int = 3  # seeds, of data and training alike
    first_seed: int = 1  # the first of them
    epochs: int = 50  # epochs through each set of points
    paper: bool = False  # the paper's five layers of 256 instead of three of 64

    name = "evl/sample_size"
    small = {"epochs": 1}

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return (256,) * 5 if self.paper else (64,) * 3

    def plans(self) -> dict[str, tuple[int, int]]:
        """Number of points and epochs of each run, by title."""
        sizes = ((MANY, self.epochs), (FEW, self.epochs), (FEW, self.epochs * MANY // FEW))
        return {f"{points:,} points, {epochs} epochs": (points, epochs) for points, epochs in sizes}

    def config(self, points: int, epochs: int, seed: int) -> jaxgen.Config:
        """The paper's protocol on some points."""
        mixture = data.GaussianMixture(n=points, components=self.gaussians, dimensions=self.dimensions, seed=seed)
        return baselines.extreme_value(
            mixture, seed, epochs=epochs, decays=self.epochs, widths=self.widths, evaluations=50
        )

    def cells(self) -> Iterator[Cell]:
        """Every run on every seed."""
        for seed in self.seeds:
            for title, (points, epochs) in self.plans().items():
                config = self.config(points, epochs, seed)
                yield Cell(title, seed, functools.partial(measured, config), config)

    def tables(self, results: Results) -> list[report.Table]:
        """One table of the last evaluations, a row for each run."""
        curves = {title: [cell["curve"] for cell in results[title]] for title in self.plans()}
        rows = []
        for title, by_seed in curves.items():
            cells = []
            for curve in by_seed:
                best = min(curve, key=lambda at: at["kl"])
                cells.append({**curve[-1], "least": best["kl"], "at": best["step"]})
            rows.append(report.Row.of(title, cells, COLUMNS))
        kind = f"{self.gaussians} Gaussians in {self.dimensions} dimensions, hidden layers {self.widths}"
        remarks = ["Spread: root mean squared distance of the guesses from their mean, over that of the test points."]
        configs = {title: jaxgen.to_json(self.config(*size, self.first_seed)) for title, size in self.plans().items()}
        details = {"configs": configs, "curves": curves}
        return [report.Table(self.stem, f"The paper's protocol: {kind}", COLUMNS, rows, remarks, details=details)]

    @property
    def stem(self) -> str:
        """Name of the files of results."""
        return "sample_size" + "_paper" * self.paper

    def figures(self, results: Results) -> None:
        """Each measure along training."""
        shown = {"kl": "KL, nats", "fisher": "Fisher, rad", "missed": "test mass missed", "spread": "spread"}
        with report.figure(self.results_directory / f"{self.stem}.png", 1, len(shown)) as axes:
            for axis, (name, title) in zip(axes[0], shown.items(), strict=True):
                for position, plan in enumerate(self.plans()):
                    for number, cell in enumerate(results[plan]):
                        steps, values = zip(*((at["step"], at[name]) for at in cell["curve"]), strict=True)
                        axis.plot(steps, values, color=f"C{position}", label=plan if number == 0 else None)
                axis.set(title=title, xscale="log", yscale="linear" if name == "spread" else "log", xlabel="step")
            axes[0, 0].legend(fontsize="x-small")


def measured(config: jaxgen.Config, directory: pathlib.Path) -> dict[str, Any]:
    """Train, and evaluate at up to 25 steps spread evenly over the logarithm of the step."""
    every = config.steps_per_call
    steps = {int(at) for at in np.geomspace(every, config.steps, 25) // every * every}
    points = config.data.test()  # type: ignore[attr-defined]
    test = GRID(points)
    radius = lambda x: float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()))

    def evaluate(result: jaxgen.Result) -> dict[str, Any]:
        method: Any = result.config.method
        counted = weigh(result)
        plain = np.asarray(method.weighted_samples(jax.random.key(0), result.state_of(0), 20_000).samples)
        return {
            **score(test, counted.shares),
            "missed": float(test[counted.shares == 0].sum()),
            "spread": radius(plain) / radius(points),
            "distance": float(result.history["distance"][0, -every:].mean()),
        }

    # The curve is the measurement, so another grid means another run: the checkpoints depend on `evaluate`.
    return {"curve": training.train_and_evaluate(config, steps, evaluate, checkpoint_dir=directory).curve}


if __name__ == "__main__":
    experiment.main(Experiment)
