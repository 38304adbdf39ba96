"""Density of guesses, section III of Guttenberg, Generating the support with extreme value losses (2019), for a normal.

    python -m experiments.evl.density                               # nine minutes of processor time
    python -m experiments.evl.density --networks own shared valley --output-dir experiments/results/evl  # committed
    python -m experiments.evl.density --quick                       # a minute

Guesses trained on the least of their distances to the power r in d dimensions have a density that goes as
p^(d / (d + r)). The paper expects a uniform density for r > 1 (exponent 0) and one that follows p for r < 1 (exponent
1). Here the exponent is fitted to trained networks and to the exact optimum of finitely many guesses. Three ways to
weight the guesses are compared: learned weights, and those that make up for the expected density, estimated twice.
With 128 guesses expect 0.59, 0.50 and 0.34 in one dimension for r = 1/2, 1 and 2, where d / (d + r) is 2/3, 1/2
and 1/3. With 512 guesses expect 0.78, 0.67 and 0.51 in two dimensions, where it is 4/5, 2/3 and 1/2.

The data are standard normal: log p varies by 2.3 within the fitted region. They have no edge from which guesses draw
back. They have no valley, which mass crosses slowly in one dimension, where a guess moves only by pushing its
neighbors; `--networks own shared valley` adds data with two hills.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.evl import density_cells, density_report
from experiments.evl.density_cells import Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Networks, number of seeds, and length of trainings."""

    guesses: tuple[int, ...] = (8, 32, 128)  # numbers of guesses that compete for a target
    # Further numbers in two dimensions, where the exponent converges more slowly and training is less noisy.
    planar: tuple[int, ...] = (512,)
    shown: int = 128  # the number in the rows that compare weights, and in the figure's panels of densities
    # `own`: weights by a network of their own. `shared`: by the generator's trunk. `valley`: two hills.
    networks: tuple[str, ...] = ("own", "shared")
    num_seeds: int = 5  # seeds, trained side by side
    steps: int = 5_000  # training steps

    name = "evl/density"
    choices = {"networks": ("own", "shared", "valley")}
    small = {"networks": ("own",), "num_seeds": 2, "steps": 500, "guesses": (32,), "planar": (), "shown": 32}

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.shown not in self.guesses:
            sizes = ", ".join(map(str, self.guesses))
            raise SystemExit(f"shown must be one of guesses (got {self.shown}); choose from {sizes}.")

    def trained(self) -> list[Network]:
        """Networks of the table."""
        kinds = list(itertools.product((1, 2), density_cells.POWERS))
        counts = {1: self.guesses, 2: (*self.guesses, *self.planar)}
        networks: list[Network] = []
        if "own" in self.networks:
            networks += [Network(d, r, k) for d, r in kinds for k in counts[d]]
        if "shared" in self.networks:
            networks += [Network(d, r, self.shown, shared=True) for d, r in kinds]
        if "valley" in self.networks:
            networks += [Network(1, r, self.shown, apart=4.0) for r in density_cells.POWERS]
        return networks

    def config(self, network: Network) -> jaxgen.Config:
        """All seeds of a network."""
        return density_cells.config(network, self.steps, self.num_seeds, self.first_seed)

    def cells(self) -> Iterator[Cell]:
        """Networks, exact optima, and controls; a cell has all seeds."""
        first, seeds = self.first_seed, tuple(self.seeds)

        def cell(network: Network, train: bool) -> Cell:
            # The search for the nearest of 32 pools takes as long as the training: only where the table shows it.
            search = network.guesses == self.shown and not network.shared
            weights = tuple(way for way in density_cells.WEIGHTS if way != "nearest" or search)
            config, row = self.config(network), network.name + "_untrained" * (not train)
            return Cell(row, first, functools.partial(density_cells.measured, config, network, weights, train), config)

        for network in self.trained():
            yield cell(network, True)
            if network.guesses == density_cells.RESOLVED and not network.shared:
                yield Cell(f"optimum_{network.name}", first, functools.partial(density_cells.measured_optimum, network))
            if self.has_floor(network):
                floor = functools.partial(density_cells.measured_floor, network, seeds)
                yield Cell(f"floor_{network.name}", first, floor)
        for d in (1, 2):
            yield cell(Network(d, 2.0, self.shown), False)
            for row in ("floor", "chance"):
                control = functools.partial(density_cells.measured_control, d, row, seeds)
                yield Cell(f"{row}_d{d}", first, control)

    def has_floor(self, network: Network) -> bool:
        """Whether the table has exact samples of a network's density."""
        return network.guesses == self.shown and not network.shared and not network.apart

    def tables(self, results: Results) -> list[report.Table]:
        """One table: exponents, weights and controls."""
        networks = self.trained()
        details = {
            "steps": self.steps,
            "configs": {network.name: jaxgen.to_json(self.config(network)) for network in networks},
            "cells": {
                network.name: [
                    {k: v for k, v in seed.items() if k != "shares"} for seed in results[network.name][0]["seeds"]
                ]
                for network in networks
            },
        }
        return [dataclasses.replace(density_report.tabulate(self, results), details=details)]

    def figures(self, results: Results) -> None:
        """Densities, exponents and divergences."""
        if "own" in self.networks:
            density_report.draw(self.results_directory / "density.png", self, results)


if __name__ == "__main__":
    experiment.main(Experiment)
