"""The density law of Guttenberg, Generating the support with extreme value losses (2019), section III, on a normal law.

    python -m experiments.evl.density                               # nine minutes of processor time
    python -m experiments.evl.density --cells law shared valley --output-dir experiments/results       # the table there
    python -m experiments.evl.density --quick                       # a minute of it

Guesses trained on the least of their distances to the power r in d dimensions lie at a density that goes as
p^(d / (d + r)). The paper expects a uniform density for r > 1 (exponent 0) and one that follows p for r < 1 (exponent
1). Here the exponent is fitted to trained networks and to the exact optimum of finitely many guesses, and three ways
to weigh the guesses are compared: a learned head, and the law itself with two estimates of the guesses' density. With
128 guesses expect 0.59, 0.50 and 0.34 in one dimension for r = 1/2, 1 and 2, where the law has 2/3, 1/2 and 1/3, and
with 512 guesses 0.78, 0.67 and 0.51 in two, where it has 4/5, 2/3 and 1/2.

The data are standard normal: log p varies by 2.3 within the fitted region, has no edge from which guesses draw back,
and no valley, which mass crosses slowly in one dimension, where a guess moves only by pushing its neighbours;
`--cells law shared valley` has two hills as well.
"""

import dataclasses
import itertools
import pathlib

import numpy as np
import tyro

from experiments.common import report
from experiments.evl import density_cells, density_report
from experiments.evl.density_cells import Cell
from jaxgen.serialization.config_json import to_json


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which networks, how many seeds, how long."""

    guesses: tuple[int, ...] = (8, 32, 128)
    """How many guesses compete for a target."""
    planar: tuple[int, ...] = (512,)
    """How many besides in two dimensions, where the law is slower to hold and its training less noisy."""
    shown: int = 128
    """How many of them in the rows that compare weights, and in the figure's first six panels."""
    cells: tuple[str, ...] = ("law", "shared")
    """`law`: the exponents. `shared`: a head on the generator's trunk. `valley`: two hills in one dimension."""
    num_seeds: int = 5
    """How many seeds, side by side."""
    steps: int = 5_000
    """Training steps."""
    quick: bool = False
    """A minute or two: two seeds, a tenth of the steps, 32 guesses."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/density")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/density")
    """Where the table and the figure go."""


def run(experiment: Experiment) -> report.Table:
    """Train and measure every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.cells) - {"law", "shared", "valley"}:
        raise SystemExit(f"there are no cells {sorted(unknown)}; choose from law, shared, valley.")
    if experiment.quick:
        quick = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            cells=("law",),
            guesses=(32,),
            planar=(),
            shown=32,
            num_seeds=2,
            steps=min(experiment.steps, 500),
            cache_dir=quick,
            output_dir=quick,
        )
    elif experiment.shown not in experiment.guesses:
        raise SystemExit(f"shown is {experiment.shown}, which is none of guesses; choose from {experiment.guesses}.")
    kinds = list(itertools.product((1, 2), density_cells.POWERS))
    counts = {1: experiment.guesses, 2: (*experiment.guesses, *experiment.planar)}
    wanted: list[Cell] = []
    if "law" in experiment.cells:
        wanted += [Cell(d, r, k) for d, r in kinds for k in counts[d]]
    if "shared" in experiment.cells:
        wanted += [Cell(d, r, experiment.shown, shared=True) for d, r in kinds]
    if "valley" in experiment.cells:
        wanted += [Cell(1, r, experiment.shown, apart=4.0) for r in density_cells.POWERS]
    found = {}
    for cell in wanted:
        print(f"{cell.title} ...", end=" ", flush=True)
        found[cell] = density_cells.trained(experiment, cell)
        exponents = [seed["exponent"] for seed in found[cell]["seeds"]]
        print(f"exponent {np.mean(exponents):.3f}, law {cell.law:.3f}, {found[cell]['seconds']:.0f} s", flush=True)
    resolved = [cell for cell in wanted if cell.guesses == density_cells.RESOLVED and not cell.shared]
    exact = {cell: density_cells.exact(experiment.cache_dir, cell) for cell in resolved}
    optima = {cell: exponent for cell, exponent in exact.items() if exponent is not None}
    table = density_report.tabulate(experiment, found, optima)
    configs = {
        cell.name: to_json(density_cells.config(cell, experiment.steps, experiment.num_seeds)) for cell in wanted
    }
    all_params = {
        cell.name: [{k: v for k, v in seed.items() if k != "shares"} for seed in kept["seeds"]]
        for cell, kept in found.items()
    }
    table.write(experiment.output_dir, {"steps": experiment.steps, "configs": configs, "cells": all_params})
    if "law" in experiment.cells:
        density_report.draw(experiment.output_dir / "evl_density.png", experiment, found, optima)
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
