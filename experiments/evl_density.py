"""The density law of Guttenberg, Generating the support with extreme value losses (2019), section III, on a normal law.

    python -m experiments.evl_density                               # nine minutes of processor time
    python -m experiments.evl_density --cells law shared valley --out experiments/results       # the table there
    python -m experiments.evl_density --quick                       # a minute of it

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
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments import hills, histograms, report, trials
from experiments.hills import Hills, fitted, log_density, optimum, slope
from jaxgen import methods, metrics, nets, samplers
from jaxgen.descent import Cosine
from jaxgen.description import describe

TITLE = "The density law: exponent of p to which the guesses lie, and what weighing them by it is worth"
COLUMNS = [
    report.Column("exponent", "exponent"),
    report.Column("error", "standard error"),
    report.Column("law", "d/(d+r)"),
    report.Column("optimum", "exact optimum"),
    dataclasses.replace(histograms.DIVERGENCES[0], digits=4),
    histograms.DIVERGENCES[1],
    report.Column("ess", "ESS share", 2),
    report.Column("sheets", "sheets", 2),
    histograms.SECONDS,
]
POWERS = (0.5, 1.0, 2.0)
CLAIM = {0.5: {"exponent": 1.0}, 1.0: {}, 2.0: {"exponent": 0.0}}  # section III: it says nothing of q = 1
FINE = {1: metrics.Grid(100, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exponent is fitted
COARSE = metrics.Grid(15, -3.0, 3.0)  # where divergences are taken, each cell of which 40,000 points should hit
LATTICE = {1: metrics.Grid(800, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exact optimum lies
RESOLVED = 32  # more guesses than this lie closer to each other than three or so places of the lattice
DRAWS, WEIGHED = 200_000, 40_000  # guesses counted for the exponent, and for the divergences
WEIGHTS = {
    "bare": "guesses as they are",
    "head": "learned head",
    "nearest": "the law, density by nearest guesses",
    "sheet": "the law, density by change of variables",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network of the table."""

    dimensions: int
    power: float
    guesses: int
    shared: bool = False  # whether the logit shares the generator's trunk, as in the paper's code
    apart: float = 0.0

    @property
    def name(self) -> str:
        """Return the file's name."""
        kind = ("_shared" if self.shared else "") + (f"_apart{self.apart:g}" if self.apart else "")
        return f"d{self.dimensions}_r{self.power:g}_k{self.guesses}{kind}"

    @property
    def title(self) -> str:
        """Return the row's title."""
        kind = (", head on the trunk" if self.shared else "") + (", two hills" if self.apart else "")
        return f"d = {self.dimensions}, r = {self.power:g}, {self.guesses} guesses{kind}"

    @property
    def law(self) -> float:
        """Return the exponent that the law expects."""
        return samplers.zador_exponent(self.dimensions, self.power)


def config(cell: Cell, steps: int, seeds: int) -> jaxgen.Config:
    """Return a cell's configuration.

    As many dimensions of noise as of data, and a smooth activation, so that the density can be had by change of
    variables. A head of its own leaves the generator's gradient alone. What a step tells about the density is nearly
    drowned in the noise of a guess's place between its neighbours, the more so the nearer they are and the smaller
    the power: hence the large minibatches in one dimension, and a lower rate for smaller powers. With too low a rate
    the density stays where its start was: guesses are dense long before they lie as densely as they should.
    """
    d = cell.dimensions
    widths = (32, 32)
    method = methods.EVL(
        generator=nets.MLP((*widths, d + cell.shared), jnp.tanh),
        head=None if cell.shared else nets.MLP((*widths, 1), jnp.tanh),
        latent_dim=d,
        scheme=methods.Pool(cell.guesses),
        power=cell.power,
        learning_rate=Cosine(5e-3 * cell.power, steps),
    )
    rows = Hills(dimensions=d, apart=cell.apart)
    return jaxgen.Config(method, rows, steps=steps, every=steps, batch_size=1024 if d == 1 else 256, seeds=seeds)


def exact(experiment: "Experiment", cell: Cell) -> dict[str, Any]:
    """Return the exponent of the exact optimum, where a lattice of a few hundred places resolves it."""
    grid = LATTICE[cell.dimensions]
    masses = Hills(dimensions=cell.dimensions, apart=cell.apart).masses(grid)

    def compute() -> dict[str, Any]:
        axis = grid.low + (np.arange(grid.bins) + 0.5) * (grid.high - grid.low) / grid.bins
        places = np.stack(np.meshgrid(*[axis] * cell.dimensions, indexing="ij"), -1).reshape(-1, cell.dimensions)
        shares = optimum(masses, places, cell.guesses, cell.power)
        return {"optimum": slope(shares, 10**12, masses)}

    identity = {"optimum": dataclasses.asdict(cell), "grid": describe(grid), "ratio": hills.RATIO}
    return trials.remembered(experiment.runs / f"optimum_{cell.name}.json", identity, compute)


def score(masses: np.ndarray, points: Any, log_weights: jax.Array) -> dict[str, float]:
    """Return the divergences of weighted points from the truth, and the share of the effective sample size."""
    weights = np.exp(np.asarray(log_weights, float) - float(np.max(log_weights)))
    share = float(samplers.effective_sample_size(log_weights)) / len(points)
    return {**histograms.score(masses, COARSE(points, weights)), "ess": share}


def measure(cell: Cell, method: Any, states: Sequence[Any], ways: Sequence[str]) -> list[dict[str, Any]]:
    """Measure each network: the exponent, the divergences under some ways to weigh, and the folds."""
    rows = Hills(dimensions=cell.dimensions, apart=cell.apart)
    fine, coarse = rows.masses(FINE[cell.dimensions]), rows.masses(COARSE)
    guess, closed_form = (jax.jit(make, static_argnums=2) for make in (method.guess, method.closed_form_guess))
    decode, log_density = jax.jit(method.decode), jax.jit(method.log_density)
    key = jax.random.key(1)
    noise = jax.random.normal(key, (WEIGHED, method.latent_dim))  # of the guesses that are weighed
    found = []
    for state in states:
        shares = FINE[cell.dimensions](guess(jax.random.key(0), state, DRAWS).samples)
        guesses, log_q = decode(state, noise), log_density(state, noise)
        weights = {
            "bare": lambda: jnp.zeros(WEIGHED),
            "head": lambda: guesses.log_weights,  # noqa: B023
            "nearest": lambda: closed_form(key, state, WEIGHED).log_weights,  # noqa: B023
            "sheet": lambda: samplers.zador_log_weights(log_q, dimensions=cell.dimensions, power=cell.power),  # noqa: B023
        }
        # The mean of 1 / q over the guesses in a region is its volume as often as sheets of the map lie over it.
        inside = np.all(np.abs(np.asarray(guesses.samples)) < 1, 1)
        sheets = np.mean(np.where(inside, np.exp(-np.asarray(log_q, float)), 0)) / 2**cell.dimensions
        found.append(
            {
                "exponent": slope(shares, DRAWS, fine),
                "sheets": float(sheets),
                "shares": shares.tolist(),
                **{name: score(coarse, guesses.samples, weights[name]()) for name in ways},
            }
        )
    return found


def trained(experiment: "Experiment", cell: Cell, *, train: bool = True) -> dict[str, Any]:
    """Train one cell's networks and measure each; `train=False` measures them as they were drawn."""
    made = config(cell, experiment.steps, experiment.seeds)
    # The search for the nearest of 32 pools takes as long as the training: only where the table shows it.
    ways = [way for way in WEIGHTS if way != "nearest" or (cell.guesses == experiment.shown and not cell.shared)]

    def compute() -> dict[str, Any]:
        begun = time.perf_counter()
        if train:
            result = jaxgen.train(made, progress=False)
            method, states = result.config.method, [result.of(seed) for seed in range(made.seeds)]
        else:
            method, states = (
                made.method,
                [trials.untrained(dataclasses.replace(made, seed=seed))[1] for seed in range(made.seeds)],
            )
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "seeds": measure(cell, method, states, ways)}

    identity = {"config": describe(made), "train": train, "ways": ways, "draws": [DRAWS, WEIGHED], "ratio": hills.RATIO}
    name = cell.name if train else f"{cell.name}_untrained"
    return trials.remembered(experiment.runs / f"{name}.json", identity, compute)


def floor(cell: Cell, seeds: int) -> list[dict[str, Any]]:
    """Measure exact draws of p^(d / (d + r)), weighed by the law."""
    d, rows = cell.dimensions, []
    fine, coarse = (Hills(dimensions=d).masses(grid) for grid in (FINE[d], COARSE))
    for seed in range(seeds):
        generator = np.random.default_rng(1000 + seed)
        many = generator.standard_normal((DRAWS, d)) / np.sqrt(cell.law)
        few = many[:WEIGHED]
        log_q = -0.5 * cell.law * np.sum(few**2, 1)
        weights = samplers.zador_log_weights(jnp.asarray(log_q), dimensions=d, power=cell.power)
        rows.append({"exponent": slope(FINE[d](many), DRAWS, fine), **score(coarse, few, weights)})
    return rows


def drawn(dimensions: int, seeds: int, *, truth: bool) -> list[dict[str, Any]]:
    """Measure as many draws as guesses: of the truth (floor), or uniform over [-4, 4]^d (chance)."""
    masses, rows = [Hills(dimensions=dimensions).masses(grid) for grid in (FINE[dimensions], COARSE)], []
    for seed in range(seeds):
        generator = np.random.default_rng(2000 + seed)
        shape = (DRAWS, dimensions)
        points = generator.standard_normal(shape) if truth else generator.uniform(-4.0, 4.0, shape)
        exponent = slope(FINE[dimensions](points), DRAWS, masses[0])
        rows.append({"exponent": exponent, **score(masses[1], points[:WEIGHED], jnp.zeros(WEIGHED))})
    return rows


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
    seeds: int = 5
    """How many seeds, side by side."""
    steps: int = 5_000
    """Training steps."""
    quick: bool = False
    """A minute or two: two seeds, a tenth of the steps, 32 guesses."""
    runs: pathlib.Path = pathlib.Path("runs/evl_density")
    """Where cells are kept."""
    out: pathlib.Path = pathlib.Path("runs/evl_density")
    """Where the table and the figure go."""


def run(experiment: Experiment) -> report.Table:
    """Train and measure every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.cells) - {"law", "shared", "valley"}:
        raise SystemExit(f"there are no cells {sorted(unknown)}; choose from law, shared, valley.")
    if experiment.quick:
        quick = experiment.runs / "quick"
        experiment = dataclasses.replace(
            experiment,
            cells=("law",),
            guesses=(32,),
            planar=(),
            shown=32,
            seeds=2,
            steps=min(experiment.steps, 500),
            runs=quick,
            out=quick,
        )
    elif experiment.shown not in experiment.guesses:
        raise SystemExit(f"shown is {experiment.shown}, which is none of guesses; choose from {experiment.guesses}.")
    kinds = list(itertools.product((1, 2), POWERS))
    counts = {1: experiment.guesses, 2: (*experiment.guesses, *experiment.planar)}
    wanted: list[Cell] = []
    if "law" in experiment.cells:
        wanted += [Cell(d, r, k) for d, r in kinds for k in counts[d]]
    if "shared" in experiment.cells:
        wanted += [Cell(d, r, experiment.shown, shared=True) for d, r in kinds]
    if "valley" in experiment.cells:
        wanted += [Cell(1, r, experiment.shown, apart=4.0) for r in POWERS]
    found = {}
    for cell in wanted:
        print(f"{cell.title} ...", end=" ", flush=True)
        found[cell] = trained(experiment, cell)
        exponents = [seed["exponent"] for seed in found[cell]["seeds"]]
        print(f"exponent {np.mean(exponents):.3f}, law {cell.law:.3f}, {found[cell]['seconds']:.0f} s", flush=True)
    optima = {
        cell: exact(experiment, cell)["optimum"] for cell in wanted if cell.guesses <= RESOLVED and not cell.shared
    }
    table = report.Table("evl_density", TITLE, COLUMNS, rows(experiment, found, optima), REMARKS)
    print(f"\n{table}\n")
    configs = {cell.name: describe(config(cell, experiment.steps, experiment.seeds)) for cell in wanted}
    everything = {
        cell.name: [{k: v for k, v in seed.items() if k != "shares"} for seed in kept["seeds"]]
        for cell, kept in found.items()
    }
    table.write(experiment.out, {"steps": experiment.steps, "configs": configs, "cells": everything})
    if "law" in experiment.cells:
        draw(experiment.out / "evl_density.png", experiment, found, optima)
    print(f"written: {experiment.out / 'evl_density'}.{{json,md,png}}")
    return table


REMARKS = [
    "Exponents: mean and standard deviation over seeds, and the standard error of the mean. Section III of the paper "
    "expects 0 (uniform over the support) for r > 1 and 1 (according to p) for r < 1; its column says so.",
    "Exact optimum: of independent guesses, without a network, on a lattice, whose width changes it by 0.03 at most "
    "for 32 guesses; 8 guesses leave the region's edge empty, so there is hardly an exponent to speak of.",
    "KL(truth || model) and Fisher distance on 15 cells along each dimension, of 40,000 guesses; no model can be "
    "expected below the floor. Sheets: how often the map covers the cube [-1, 1]^d; 1 where it does not fold.",
]


def rows(experiment: Experiment, found: dict[Cell, dict[str, Any]], optima: dict[Cell, float]) -> Sequence[report.Row]:
    """Return the lines of the table: exponents of every cell, then weights where cells are shown, then controls."""
    lines = []
    for cell, kept in found.items():
        exponents = [seed["exponent"] for seed in kept["seeds"]]
        values: dict[str, Any] = {name: [seed["bare"][name] for seed in kept["seeds"]] for name in ("kl", "fisher")}
        values |= _exponents(exponents) | {"law": [cell.law], "seconds": [kept["seconds"]]}
        values |= {"sheets": [seed["sheets"] for seed in kept["seeds"]]}
        values |= {"optimum": [optima[cell]]} if cell in optima else {}
        lines.append(report.Row(cell.title, values, CLAIM[cell.power]))
    for cell, kept in found.items():
        if cell.guesses != experiment.shown:
            continue
        for name, told in WEIGHTS.items():
            if name == "bare" or (cell.shared and name != "head"):  # told above, or the same as without a shared trunk
                continue
            values = {measure: [seed[name][measure] for seed in kept["seeds"]] for measure in ("kl", "fisher", "ess")}
            lines.append(report.Row(f"{cell.title}: {told}", values))
        if not cell.shared and not cell.apart:
            exact_draws = floor(cell, experiment.seeds)
            values = {measure: [seed[measure] for seed in exact_draws] for measure in ("kl", "fisher", "ess")}
            values |= _exponents([seed["exponent"] for seed in exact_draws]) | {"law": [cell.law]}
            lines.append(report.Row(f"{cell.title}: exact draws of the law, weighed by it (floor)", values))
    for d in (1, 2):
        for truth, told in ((True, "the truth itself (floor)"), (False, "uniform in the cube (chance)")):
            seeds = drawn(d, experiment.seeds, truth=truth)
            values = {measure: [seed[measure] for seed in seeds] for measure in ("kl", "fisher", "ess")}
            lines.append(report.Row(f"d = {d}: {told}", values | _exponents([seed["exponent"] for seed in seeds])))
        untrained = trained(experiment, Cell(d, 2.0, experiment.shown), train=False)["seeds"]
        values = {measure: [seed["bare"][measure] for seed in untrained] for measure in ("kl", "fisher", "ess")}
        values |= _exponents([seed["exponent"] for seed in untrained])
        lines.append(report.Row(f"d = {d}: untrained, guesses as they are", values))
    return lines


def _exponents(exponents: list[float]) -> dict[str, list[float]]:
    error = [float(np.std(exponents, ddof=1) / np.sqrt(len(exponents)))] if len(exponents) > 1 else []
    return {"exponent": exponents, "error": error}


def draw(
    path: pathlib.Path, experiment: Experiment, found: dict[Cell, dict[str, Any]], optima: dict[Cell, float]
) -> None:
    """Draw log q against log p with both lines, and exponents and divergences against the number of guesses."""
    with report.figure(path, 2, 5) as axes:
        for line, d in zip(axes, (1, 2), strict=True):
            masses = Hills(dimensions=d).masses(FINE[d])
            inside = fitted(masses)
            log_p = np.log(masses[inside] / masses.max())
            for axis, power in zip(line, POWERS, strict=False):
                cell = Cell(d, power, experiment.shown)
                seeds = [np.array(seed["shares"])[inside] for seed in found[cell]["seeds"]]
                top = np.average(log_density(np.mean(seeds, 0), DRAWS), weights=masses[inside])
                top -= cell.law * np.average(log_p, weights=masses[inside])
                for shares in seeds:
                    axis.plot(log_p, log_density(shares, DRAWS) - top, ".", color="grey", markersize=2, alpha=0.5)
                exponent = np.mean([seed["exponent"] for seed in found[cell]["seeds"]])
                middle = np.average(log_p, weights=masses[inside])
                ends = np.array([log_p.min(), 0.0])
                axis.plot(ends, cell.law * ends, "k--", label=f"law {cell.law:.3f}")
                axis.plot(ends, cell.law * middle + exponent * (ends - middle), "C3", label=f"fit {exponent:.3f}")
                axis.set(title=f"d = {d}, r = {power:g}, {cell.guesses} guesses", xlabel="log p", ylabel="log q")
                axis.legend(fontsize="x-small")
            for number, power in enumerate(POWERS):
                cells = [cell for cell in found if cell == Cell(d, power, cell.guesses)]
                counts = [cell.guesses for cell in cells]
                values = np.array([[seed["exponent"] for seed in found[cell]["seeds"]] for cell in cells])
                error = values.std(1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else None
                line[3].errorbar(counts, values.mean(1), error, color=f"C{number}", marker="o", label=f"r = {power:g}")
                line[3].axhline(cells[0].law, color=f"C{number}", linestyle="--")
                known = [(cell.guesses, optima[cell]) for cell in cells if cell in optima]
                line[3].plot(*np.array(known).T, "x", color=f"C{number}", markersize=9)
                for name, style in (("bare", ":"), ("head", "-"), ("sheet", "--")):
                    kl = [np.mean([seed[name]["kl"] for seed in found[cell]["seeds"]]) for cell in cells]
                    label = WEIGHTS[name].partition(",")[0] if number == 0 else None
                    line[4].plot(counts, kl, style, color=f"C{number}", label=label)
            line[3].set(title=f"d = {d}: exponent (law --, exact x)", xscale="log", yscale="log", xlabel="guesses")
            line[4].set(title=f"d = {d}: KL, nats", xscale="log", yscale="log", xlabel="guesses")
            line[3].legend(fontsize="x-small")
            line[4].legend(fontsize="x-small", loc="upper right" if d == 1 else "lower left")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
