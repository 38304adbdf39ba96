"""Figure 3 of Kumar et al., Maximum entropy generators for energy-based models (2019): densities in the plane.

    python -m experiments.meg.toy                                    # one seed of all three
    python -m experiments.meg.toy --num-seeds 5 --output-dir experiments/results/meg   # tables and figures
    python -m experiments.meg.toy --paper                            # the paper's size: meant for a GPU
    python -m experiments.meg.toy --quick                            # a minute

The paper shows pictures of exp(-E) and prints no number. Measured here: how many peaks are found, how many samples lie
near one, and the divergence of the data's exact law from exp(-E)/Z and from the samples of the generator and of
chains, in its latent space and among the data. Nothing ties the scale of the energy to the data's log-density, so the
energy stands also at the inverse temperature b that fits the training points best, and chains walk at that one.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments.common import cache, report, training
from experiments.meg import toy_data, toy_metrics
from jaxgen import methods, nets
from jaxgen.optim import Cosine
from jaxgen.serialization.config_json import to_json

TITLE = "Figure 3: energies and samples in the plane"
TOYS = {"eight": toy_data.EIGHT, "twenty_five": toy_data.TWENTY_FIVE, "roll": toy_data.ROLL}
COLUMNS = [
    report.Column("found", "peaks found", 1),
    report.Column("within", "share within 4 sigma", 3),
    report.Column("kl", "KL of samples, nats"),
    report.Column("fisher", "Fisher of samples, rad"),
    report.Column("grid_kl", "KL of the density, nats"),
    report.Column("acceptance", "acceptance", 2),
]
# Lambda and steps, chosen on seed 100 by the generator's samples, their share within 4 sigma of a peak and their
# divergence:
# 25 Gaussians, 20,000 steps, 0.1: 0.52, 0.67 nats; 0.02: 0.89, 0.18; 0.01: 0.96, 0.24; 0.007: 0.96, 0.46; 0.005: 0.97,
# 0.71; 0.001: 0.97, 2.2; 40,000 steps, 0.01: 0.95, 0.16; 0.007: 0.97, 0.18;
# 8 Gaussians, 20,000 steps, 0.005: 0.97, 0.16; 0.003: 0.98, 0.60; 0.001: 0.99, 1.1.
PENALTIES = {"eight": 0.005, "twenty_five": 0.007, "roll": 0.01}
STEPS = {"eight": 20_000, "twenty_five": 40_000, "roll": 20_000}
ROWS = {
    "generator": "the generator",
    "latent": "chains in the latent space",
    "tilted": "chains in the latent space, with its prior",
    "data": "chains among the data",
    "energy": "exp(-E)/Z",
    "fitted": "exp(-bE)/Z, the best b",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which data, how many seeds, how long."""

    toys: tuple[str, ...] = tuple(TOYS)
    """Blocks of the table."""
    num_seeds: int = 1
    """How many seeds, of data and training alike."""
    first_seed: int = 0
    """The first of them; seed 100 is for trying, and is not reported."""
    steps: int | None = None
    """Steps of five updates of the energy and one of the generator; by default as many as each lambda is chosen for."""
    width: int = 128
    """Of the three hidden layers of each network."""
    paper: bool = False
    """512 wide, 100,000 steps at a constant rate, lambda 0.1: hours a seed on a CPU."""
    quick: bool = False
    """A minute: one seed of eight Gaussians, 400 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/toy")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/toy")
    """Where the table and the figure go."""


def configure(experiment: Experiment, name: str, seed: int) -> jaxgen.Config:
    """Return our configuration, smaller and with a rate that falls, or the paper's."""
    toy = TOYS[name].toy(n=100_000, test_n=1, seed=seed)
    steps = STEPS[name] if experiment.steps is None else experiment.steps
    steps, width = (100_000, 512) if experiment.paper else (steps, experiment.width)
    drawn = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3)
    method = methods.MEG(
        critic=drawn.energy,
        generator=drawn.generator,
        statistic=drawn.statistic,
        latent_dim=2,
        penalty=_penalty(experiment, name),
        learning_rate=1e-4 if experiment.paper else Cosine(1e-3, steps),
    )
    return jaxgen.Config(
        method, toy, steps=steps, batch_size=5 * 256, steps_per_call=training.segment(steps), seed=seed
    )


def _penalty(experiment: Experiment, name: str) -> float:
    return 0.1 if experiment.paper else PENALTIES[name]


def trained(experiment: Experiment, name: str, seed: int) -> dict[str, Any]:
    """Train and measure."""
    config = configure(experiment, name, seed)
    identity = {"config": to_json(config), **toy_metrics.sizes()}
    where = cache.place(experiment.cache_dir, f"{name}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        method, state, cell = training.networks(config, where, train=True)
        found = toy_metrics.measured(method, state, TOYS[name], seed)
        by_chains = toy_metrics.walked(method, state, TOYS[name], seed, found["fitted"]["inverse_temperature"])
        return {**found, **by_chains, **cell}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def control(experiment: Experiment, name: str, row: str, seed: int) -> dict[str, Any]:
    """Measure untrained networks, the truth itself, or points that know nothing but the square."""
    config = configure(experiment, name, seed)
    identity = {"row": row, "config": to_json(config), **toy_metrics.sizes()}
    where = cache.place(experiment.cache_dir, f"{name}-{row}-{seed}", to_json(config))
    law = TOYS[name]

    def compute() -> dict[str, Any]:
        if row == "floor":
            return toy_metrics.samples(law, law.toy(n=toy_metrics.DRAWS, test_n=1, seed=seed + 10_000).tables()[0])
        if row == "chance":
            return toy_metrics.samples(
                law,
                np.random.default_rng(seed).uniform(
                    toy_metrics.FINE.low, toy_metrics.FINE.high, (toy_metrics.DRAWS, 2)
                ),
            )
        method, state = training.untrained(config)
        return toy_metrics.measured(method, state, TOYS[name], seed)

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> list[report.Table]:
    """Train and measure every cell, and print and write a table and a figure for each toy."""
    if unknown := set(experiment.toys) - set(TOYS):
        raise SystemExit(f"there are no toys {sorted(unknown)}; choose from {', '.join(TOYS)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        steps = min(experiment.steps or 400, 400)
        experiment = dataclasses.replace(
            experiment, toys=("eight",), num_seeds=1, steps=steps, paper=False, cache_dir=runs, output_dir=runs
        )
    return [tabulated(experiment, name) for name in experiment.toys]


def tabulated(experiment: Experiment, name: str) -> report.Table:
    """Train and measure every cell of a toy, print its table, and write it with its figure."""
    cells: dict[str, list[dict[str, Any]]] = {}
    for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
        print(f"{TOYS[name].title}, seed {seed}", flush=True)
        cells.setdefault("trained", []).append(trained(experiment, name, seed))
        for row in ("untrained", "floor", "chance"):
            cells.setdefault(row, []).append(control(experiment, name, row, seed))
    rows = [report.Row.of(told, [cell[key] for cell in cells["trained"]], COLUMNS) for key, told in ROWS.items()]
    for key in ("generator", "energy"):
        rows.append(report.Row.of(f"untrained, {ROWS[key]}", [cell[key] for cell in cells["untrained"]], COLUMNS))
    rows += [
        report.Row.of("the truth itself (floor)", cells["floor"], COLUMNS),
        report.Row.of("uniform in the square (chance)", cells["chance"], COLUMNS),
    ]
    config = configure(experiment, name, experiment.first_seed)
    remarks = (
        f"Samples are counted on {toy_metrics.COARSE.bins}^2 cells and compared with the exact mass of each; the "
        "density is "
        f"that of {toy_metrics.FINE.bins}^2 cells over [-2, 2]^2. A peak is found where a tenth of its due "
        "samples lies. "
        f"Chains are {toy_metrics.CHAINS:,}, of which {toy_metrics.WALK} steps are kept after {toy_metrics.WARM} "
        "that adapt the step "
        f"size. Trained {config.steps:,} steps with lambda {_penalty(experiment, name):g}."
    )
    table = report.Table(f"meg_toy_{name}", f"{TITLE}: {TOYS[name].title}", COLUMNS, rows, [remarks])
    details = [
        {
            "history": cell["history"],
            "seconds": cell.get("seconds"),
            "inverse_temperature": cell["fitted"]["inverse_temperature"],
        }
        for cell in cells["trained"]
    ]
    table.write(experiment.output_dir, {"config": to_json(config), "trained": details})
    draw(experiment.output_dir / f"{table.name}.png", {**cells["trained"][0], "floor": cells["floor"][0]})
    return table


def draw(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draw the data, exp(-E)/Z as Figure 3 does, and the samples of the generator and of chains, of the first seed."""
    shown = {
        "floor": "the data",
        "generator": "the generator",
        "latent": "latent chains",
        "tilted": "latent chains, prior kept",
        "data": "chains among the data",
    }
    with report.figure(path, 1, len(shown) + 1) as axes:
        first, *others = axes[0]
        density = 10 ** np.array(found["energy"]["density"])
        first.imshow(density.T, origin="lower", extent=(-2, 2, -2, 2), cmap="magma")
        first.set(title="exp(-E)/Z")
        for axis, (row, title) in zip(others, shown.items(), strict=True):
            axis.plot(*np.array(found[row]["points"]).T, ",", color="black", alpha=0.6)
            axis.set(title=title, xlim=(-2, 2), ylim=(-2, 2), aspect="equal")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
