"""The density law's table and figure."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from experiments.common import report
from experiments.evl import density_cells, grid_metrics
from experiments.evl.density_cells import WEIGHTS, Cell
from experiments.evl.density_data import Hills, fitted, log_density

__all__ = ["draw", "tabulate"]

TITLE = "The density law: exponent of p to which the guesses lie, and what weighing them by it is worth"
COLUMNS = [
    report.Column("exponent", "exponent"),
    report.Column("error", "standard error"),
    report.Column("law", "d/(d+r)"),
    report.Column("optimum", "exact optimum"),
    dataclasses.replace(grid_metrics.DIVERGENCES[0], digits=4),
    grid_metrics.DIVERGENCES[1],
    report.Column("ess", "ESS share", 2),
    report.Column("sheets", "sheets", 2),
    grid_metrics.SECONDS,
]
CLAIM = {0.5: {"exponent": 1.0}, 1.0: {}, 2.0: {"exponent": 0.0}}  # section III: it says nothing of q = 1
REMARKS = [
    "Exponents: mean and standard deviation over seeds, and the standard error of the mean. Section III of the paper "
    "expects 0 (uniform over the support) for r > 1 and 1 (according to p) for r < 1; its column says so.",
    "Exact optimum: of independent guesses, without a network, on a lattice, until nowhere one more guess would gain "
    "more than 1.0001 times the mean; left out where it leaves part of the fitted region all but empty, as 8 guesses "
    "do.",
    "KL(truth || model) and Fisher distance on 15 cells along each dimension, of 40,000 guesses. The floor is what as "
    "many plain draws score; weighed guesses may score below it. Sheets: how often the map covers the cube [-1, 1]^d; "
    "1 where it does not fold.",
]


def tabulate(experiment: Any, found: dict[Cell, dict[str, Any]], optima: dict[Cell, float]) -> report.Table:
    """Return the table: exponents of every cell, then weights where cells are shown, then controls."""
    lines: list[report.Row] = []
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
            exact_draws = density_cells.floor(cell, experiment.num_seeds)
            values = {measure: [seed[measure] for seed in exact_draws] for measure in ("kl", "fisher", "ess")}
            values |= _exponents([seed["exponent"] for seed in exact_draws]) | {"law": [cell.law]}
            lines.append(report.Row(f"{cell.title}: exact draws of the law, weighed by it (floor)", values))
    for d in (1, 2):
        for truth, told in ((True, "the truth itself (floor)"), (False, "uniform in the cube (chance)")):
            seeds = density_cells.drawn(d, experiment.num_seeds, truth=truth)
            values = {measure: [seed[measure] for seed in seeds] for measure in ("kl", "fisher", "ess")}
            lines.append(report.Row(f"d = {d}: {told}", values | _exponents([seed["exponent"] for seed in seeds])))
        untrained = density_cells.trained(experiment, Cell(d, 2.0, experiment.shown), train=False)["seeds"]
        values = {measure: [seed["bare"][measure] for seed in untrained] for measure in ("kl", "fisher", "ess")}
        values |= _exponents([seed["exponent"] for seed in untrained])
        lines.append(report.Row(f"d = {d}: untrained, guesses as they are", values))
    return report.Table("evl_density", TITLE, COLUMNS, lines, REMARKS)


def _exponents(exponents: list[float]) -> dict[str, list[float]]:
    error = [float(np.std(exponents, ddof=1) / np.sqrt(len(exponents)))] if len(exponents) > 1 else []
    return {"exponent": exponents, "error": error}


def draw(path: pathlib.Path, experiment: Any, found: dict[Cell, dict[str, Any]], optima: dict[Cell, float]) -> None:
    """Draw log q against log p with both lines, and exponents and divergences against the number of guesses."""
    with report.figure(path, 2, 5) as axes:
        for line, d in zip(axes, (1, 2), strict=True):
            masses = Hills(dimensions=d).masses(density_cells.FINE[d])
            inside = fitted(masses)
            log_p = np.log(masses[inside] / masses.max())
            for axis, power in zip(line, density_cells.POWERS, strict=False):
                cell = Cell(d, power, experiment.shown)
                seeds = [np.array(seed["shares"])[inside] for seed in found[cell]["seeds"]]
                top = np.average(log_density(np.mean(seeds, 0), density_cells.DRAWS), weights=masses[inside])
                top -= cell.law * np.average(log_p, weights=masses[inside])
                for shares in seeds:
                    axis.plot(
                        log_p,
                        log_density(shares, density_cells.DRAWS) - top,
                        ".",
                        color="grey",
                        markersize=2,
                        alpha=0.5,
                    )
                exponent = np.mean([seed["exponent"] for seed in found[cell]["seeds"]])
                middle = np.average(log_p, weights=masses[inside])
                ends = np.array([log_p.min(), 0.0])
                axis.plot(ends, cell.law * ends, "k--", label=f"law {cell.law:.3f}")
                axis.plot(ends, cell.law * middle + exponent * (ends - middle), "C3", label=f"fit {exponent:.3f}")
                axis.set(title=f"d = {d}, r = {power:g}, {cell.guesses} guesses", xlabel="log p", ylabel="log q")
                axis.legend(fontsize="x-small")
            for number, power in enumerate(density_cells.POWERS):
                cells = [cell for cell in found if cell == Cell(d, power, cell.guesses)]
                counts = [cell.guesses for cell in cells]
                values = np.array([[seed["exponent"] for seed in found[cell]["seeds"]] for cell in cells])
                error = values.std(1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else None
                line[3].errorbar(counts, values.mean(1), error, color=f"C{number}", marker="o", label=f"r = {power:g}")
                line[3].axhline(cells[0].law, color=f"C{number}", linestyle="--")
                known = [(cell.guesses, optima[cell]) for cell in cells if cell in optima]
                line[3].plot(*np.reshape(known, (-1, 2)).T, "x", color=f"C{number}", markersize=9)
                for name, style in (("bare", ":"), ("head", "-"), ("sheet", "--")):
                    kl = [np.mean([seed[name]["kl"] for seed in found[cell]["seeds"]]) for cell in cells]
                    label = WEIGHTS[name].partition(",")[0] if number == 0 else None
                    line[4].plot(counts, kl, style, color=f"C{number}", label=label)
            line[3].set(title=f"d = {d}: exponent (law --, exact x)", xscale="log", yscale="log", xlabel="guesses")
            line[4].set(title=f"d = {d}: KL, nats", xscale="log", yscale="log", xlabel="guesses")
            line[3].legend(fontsize="x-small")
            line[4].legend(fontsize="x-small", loc="upper right" if d == 1 else "lower left")
