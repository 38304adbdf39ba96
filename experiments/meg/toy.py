"""Figure 3 of Kumar et al., Maximum entropy generators for energy-based models (2019): densities in the plane.

    python -m experiments.meg.toy                                    # one seed of all three
    python -m experiments.meg.toy --num-seeds 5 --output-dir experiments/results/meg   # tables and figures
    python -m experiments.meg.toy --paper                            # the paper's size: meant for a GPU
    python -m experiments.meg.toy --quick                            # a minute

The paper shows pictures of exp(-E) and prints no number. Measured here are the number of covered peaks, the share of
samples near a peak, and KL divergences of the exact data distribution: from exp(-E)/Z, from generator samples, and from
chains in the latent space and in data space. The scale of the energy is free, so the table also has the energy at the
inverse temperature b that fits the training points best. Chains run at that temperature.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.meg import toy_data, toy_metrics
from jaxgen import methods, nets
from jaxgen.optim import Cosine

TITLE = "Figure 3: energies and samples in the plane"
TOYS = {"eight": toy_data.EIGHT, "twenty_five": toy_data.TWENTY_FIVE, "roll": toy_data.ROLL}
COLUMNS = [
    report.Column("covered", "covered peaks", 1),
    report.Column("within", "share within 4 sigma", 3),
    report.Column("kl", "KL of samples, nats"),
    report.Column("fisher", "Fisher of samples, rad"),
    report.Column("grid_kl", "KL of the density, nats"),
    report.Column("acceptance", "acceptance", 2),
]
# Lambda and steps, chosen on seed 100 by the generator's samples: share within 4 sigma of a peak, and KL in nats.
# 25 Gaussians, 20,000 steps, 0.1: 0.52, 0.67; 0.02: 0.89, 0.18; 0.01: 0.96, 0.24; 0.007: 0.96, 0.46; 0.005: 0.97,
# 0.71; 0.001: 0.97, 2.2; 40,000 steps, 0.01: 0.95, 0.16; 0.007: 0.97, 0.18;
# 8 Gaussians, 20,000 steps, 0.005: 0.97, 0.16; 0.003: 0.98, 0.60; 0.001: 0.99, 1.1.
PENALTIES = {"eight": 0.005, "twenty_five": 0.007, "roll": 0.01}
STEPS = {"eight": 20_000, "twenty_five": 40_000, "roll": 20_000}
ROW_TITLES = {
    "generator": "the generator",
    "latent": "chains in the latent space",
    "tilted": "chains in the latent space, with its prior",
    "data": "chains in data space",
    "energy": "exp(-E)/Z",
    "fitted": "exp(-bE)/Z, the best b",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Data, number of seeds, and size."""

    toys: tuple[str, ...] = tuple(TOYS)  # distributions, a table each; seed 100 chose the settings and is not reported
    # Generator steps, of five energy updates each; by default those that each lambda was chosen for.
    steps: int | None = None
    width: int = 128  # width of the three hidden layers of each network
    # The paper's size: width 512, 100,000 steps at a constant rate, lambda 0.1. Hours for each seed on a CPU.
    paper: bool = False

    name = "meg/toy"
    choices = {"toys": TOYS}
    small = {"toys": ("eight",), "steps": 400, "paper": False}

    def penalty(self, toy: str) -> float:
        """Weight of the score penalty."""
        return 0.1 if self.paper else PENALTIES[toy]

    def config(self, toy: str, seed: int) -> jaxgen.Config:
        """The paper's configuration, or a smaller one with a learning rate that decays."""
        steps = STEPS[toy] if self.steps is None else self.steps
        steps, width = (100_000, 512) if self.paper else (steps, self.width)
        generator, energy, statistic = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3)
        rate: Any = 1e-4 if self.paper else Cosine(1e-3, steps)
        method = methods.MEG(
            energy, generator, statistic=statistic, latent_dim=2, penalty=self.penalty(toy), learning_rate=rate
        )
        points = TOYS[toy].toy(n=100_000, test_n=1, seed=seed)
        return training.configure(method, points, steps=steps, batch_size=5 * 256, seed=seed)

    def cells(self) -> Iterator[Cell]:
        """Trained and untrained networks, samples of the distribution itself, and uniform points."""
        for toy in self.toys:
            for seed in self.seeds:
                config = self.config(toy, seed)
                for row, train in (("trained", True), ("untrained", False)):
                    measure = functools.partial(measured, config, toy, train)
                    yield Cell(f"{toy}-{row}", seed, measure, config)
                for row, control in (("floor", floor), ("chance", chance)):
                    yield Cell(f"{toy}-{row}", seed, functools.partial(control, toy, seed))

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each distribution."""
        return [self._table(toy, results) for toy in self.toys]

    def _table(self, toy: str, results: Results) -> report.Table:
        trained, untrained = results[f"{toy}-trained"], results[f"{toy}-untrained"]
        rows = [report.Row.of(title, [cell[key] for cell in trained], COLUMNS) for key, title in ROW_TITLES.items()]
        for key in ("generator", "energy"):
            rows.append(report.Row.of(f"untrained, {ROW_TITLES[key]}", [cell[key] for cell in untrained], COLUMNS))
        rows += [
            report.Row.of("the distribution itself (floor)", results[f"{toy}-floor"], COLUMNS),
            report.Row.of("uniform in the square (chance)", results[f"{toy}-chance"], COLUMNS),
        ]
        config = self.config(toy, self.first_seed)
        remarks = (
            f"Samples are counted on {toy_metrics.COARSE.bins}^2 cells and compared with the exact mass of each; the "
            f"density is that of {toy_metrics.FINE.bins}^2 cells over [-2, 2]^2. A peak is covered where a tenth "
            f"of its expected samples lies. {toy_metrics.NUM_CHAINS:,} chains keep {toy_metrics.CHAIN_STEPS} steps "
            f"each after {toy_metrics.ADAPTATION_STEPS} that adapt the step size. Trained {config.steps:,} steps with "
            f"lambda {self.penalty(toy):g}."
        )
        inverse = [{"inverse_temperature": cell["fitted"]["inverse_temperature"]} for cell in trained]
        runs = [
            {"history": cell["history"], "seconds": cell.get("seconds"), **fit}
            for cell, fit in zip(trained, inverse, strict=True)
        ]
        title, details = f"{TITLE}: {TOYS[toy].title}", {"config": jaxgen.to_json(config), "trained": runs}
        return report.Table(f"toy_{toy}", title, COLUMNS, rows, [remarks], details=details)

    def figures(self, results: Results) -> None:
        """A figure for each distribution, of the first seed."""
        for toy in self.toys:
            first = {**results[f"{toy}-trained"][0], "floor": results[f"{toy}-floor"][0]}
            draw(self.results_directory / f"toy_{toy}.png", first)


def measured(config: jaxgen.Config, toy: str, train: bool, directory: pathlib.Path) -> dict[str, Any]:
    """Measure the energy and the generator and, if they are trained, chains and means along the training."""
    result, times = training.timed(config, directory, train=train)
    measures = toy_metrics.measure_models(result, TOYS[toy], config.seed)
    if not train:
        return measures
    inverse = measures["fitted"]["inverse_temperature"]
    chains = toy_metrics.measure_chains(*training.first_model(result), TOYS[toy], config.seed, inverse)
    parts = {name: np.array_split(values[0], min(100, config.steps)) for name, values in result.history.items()}
    history = {name: [float(part.mean()) for part in split] for name, split in parts.items()}
    return {**measures, **chains, **times, "history": history}


def floor(toy: str, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    """Measure samples of the distribution itself."""
    distribution = TOYS[toy]
    (x,) = distribution.toy(n=toy_metrics.NUM_SAMPLES, test_n=1, seed=seed + 10_000).tables()
    return toy_metrics.measure_samples(distribution, x)


def chance(toy: str, seed: int, directory: pathlib.Path) -> dict[str, Any]:
    """Measure uniform points in the square."""
    square = toy_metrics.FINE.low, toy_metrics.FINE.high
    points = np.random.default_rng(seed).uniform(*square, (toy_metrics.NUM_SAMPLES, 2))
    return toy_metrics.measure_samples(TOYS[toy], points)


def draw(path: pathlib.Path, measures: dict[str, Any]) -> None:
    """Draw exp(-E)/Z as in Figure 3, the data, and samples of the generator and of chains."""
    shown = {
        "floor": "the data",
        "generator": "the generator",
        "latent": "latent chains",
        "tilted": "latent chains, prior kept",
        "data": "chains in data space",
    }
    with report.figure(path, 2, 3) as axes:
        first, *others = axes.flat
        density = 10 ** np.array(measures["energy"]["density"])
        first.imshow(density.T, origin="lower", extent=(-2, 2, -2, 2), cmap="magma")
        first.set(title="exp(-E)/Z")
        for axis, (row, title) in zip(others, shown.items(), strict=True):
            axis.plot(*np.array(measures[row]["points"]).T, ",", color="black", alpha=0.6)
            axis.set(title=title, xlim=(-2, 2), ylim=(-2, 2), aspect="equal")


if __name__ == "__main__":
    experiment.main(Experiment)
