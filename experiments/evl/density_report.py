"""Table and figure of the guesses' density."""

import dataclasses
import pathlib
from typing import Any

import numpy as np

from experiments.common import report
from experiments.common.experiment import Results
from experiments.evl import density_cells, grid_metrics
from experiments.evl.density_cells import WEIGHTS, Network
from experiments.evl.density_data import Hills, fitted, log_density

TITLE = "Density of the guesses: its exponent of p, and the effect of weighting the guesses by it"
COLUMNS = [
    report.Column("exponent", "exponent"),
    report.Column("error", "standard error"),
    report.Column("expected", "d/(d+r)"),
    report.Column("optimum", "exact optimum"),
    dataclasses.replace(grid_metrics.DIVERGENCES[0], digits=4),
    grid_metrics.DIVERGENCES[1],
    report.Column("ess", "ESS share", 2),
    report.Column("sheets", "sheets", 2),
    grid_metrics.SECONDS,
]
CLAIM = {0.5: {"exponent": 1.0}, 1.0: {}, 2.0: {"exponent": 0.0}}  # section III; it does not treat r = 1
REMARKS = [
    "Exponents: mean and standard deviation over seeds, and the standard error of the mean. Section III of the paper "
    "expects 0 (uniform over the support) for r > 1 and 1 (according to p) for r < 1; its column says so.",
    "Exact optimum: of independent guesses, without a network, on a lattice, until nowhere one more guess would gain "
    "more than 1.0001 times the mean; left out where it leaves part of the fitted region nearly empty, as 8 guesses "
    "do.",
    "KL(truth || model) and Fisher distance on 15 cells along each dimension, of 40,000 guesses. The floor is the "
    "score of equally many samples of the truth; weighted guesses may score below it. Sheets: how often the map covers "
    "the cube [-1, 1]^d; 1 where it does not fold.",
]


def tabulate(experiment: Any, results: Results) -> report.Table:
    """Return the table: exponents of every network, then weights of those that are shown, then controls."""
    lines: list[report.Row] = []
    networks, optima = experiment.trained(), _optima(experiment, results)
    for network in networks:
        cell = results[network.name][0]
        values = _values([seed["bare"] for seed in cell["seeds"]], ("kl", "fisher"))
        values |= _exponents(cell["seeds"]) | {"expected": [network.expected]} | _values(cell["seeds"], ("sheets",))
        values |= {"seconds": [cell["seconds"]]} if "seconds" in cell else {}
        values |= {"optimum": [optima[network]]} if network in optima else {}
        lines.append(report.Row(network.title, values, CLAIM[network.power]))
    for network in networks:
        if network.guesses != experiment.shown:
            continue
        for name, title in WEIGHTS.items():
            if name == "bare" or (network.shared and name != "head"):  # in rows above, or equal without `shared`
                continue
            measures = [seed[name] for seed in results[network.name][0]["seeds"]]
            lines.append(report.Row(f"{network.title}: {title}", _values(measures)))
        if experiment.has_floor(network):
            seeds = results[f"floor_{network.name}"][0]["seeds"]
            values = _values(seeds) | _exponents(seeds) | {"expected": [network.expected]}
            lines.append(
                report.Row(f"{network.title}: exact samples of the expected density, weighted by it (floor)", values)
            )
    for d in (1, 2):
        for row, title in (("floor", "the truth itself (floor)"), ("chance", "uniform in the cube (chance)")):
            seeds = results[f"{row}_d{d}"][0]["seeds"]
            lines.append(report.Row(f"d = {d}: {title}", _values(seeds) | _exponents(seeds)))
        seeds = results[f"{Network(d, 2.0, experiment.shown).name}_untrained"][0]["seeds"]
        values = _values([seed["bare"] for seed in seeds]) | _exponents(seeds)
        lines.append(report.Row(f"d = {d}: untrained, guesses as they are", values))
    return report.Table("density", TITLE, COLUMNS, lines, REMARKS)


def _optima(experiment: Any, results: Results) -> dict[Network, float]:
    cells = {network: results.get(f"optimum_{network.name}") for network in experiment.trained()}
    optima = {network: cell[0]["optimum"] for network, cell in cells.items() if cell and not network.shared}
    return {network: exponent for network, exponent in optima.items() if exponent is not None}


def _values(seeds: list[dict[str, Any]], names: tuple[str, ...] = ("kl", "fisher", "ess")) -> dict[str, list[float]]:
    return {name: [seed[name] for seed in seeds] for name in names}


def _exponents(seeds: list[dict[str, Any]]) -> dict[str, list[float]]:
    exponents = [seed["exponent"] for seed in seeds]
    error = [float(np.std(exponents, ddof=1) / np.sqrt(len(exponents)))] if len(exponents) > 1 else []
    return {"exponent": exponents, "error": error}


def draw(path: pathlib.Path, experiment: Any, results: Results) -> None:
    """Draw log q against log p with both lines, and exponents and divergences against the number of guesses."""
    optima = _optima(experiment, results)
    measured = {network: results[network.name][0]["seeds"] for network in experiment.trained()}
    with report.figure(path, 4, 3) as axes:  # two rows for each number of dimensions
        for line, d in zip(axes.reshape(2, 6), (1, 2), strict=True):
            masses = Hills(dimensions=d).masses(density_cells.FINE[d])
            inside = fitted(masses)
            log_p = np.log(masses[inside] / masses.max())
            for axis, power in zip(line[:3], density_cells.POWERS, strict=False):
                network = Network(d, power, experiment.shown)
                seeds = [np.array(seed["shares"])[inside] for seed in measured[network]]
                top = np.average(log_density(np.mean(seeds, 0), density_cells.DRAWS), weights=masses[inside])
                top -= network.expected * np.average(log_p, weights=masses[inside])
                for shares in seeds:
                    log_q = log_density(shares, density_cells.DRAWS) - top
                    axis.plot(log_p, log_q, ".", color="grey", markersize=2, alpha=0.5)
                exponent = np.mean([seed["exponent"] for seed in measured[network]])
                middle = np.average(log_p, weights=masses[inside])
                ends = np.array([log_p.min(), 0.0])
                axis.plot(ends, network.expected * ends, "k--", label=f"expected {network.expected:.3f}")
                axis.plot(
                    ends, network.expected * middle + exponent * (ends - middle), "C3", label=f"fit {exponent:.3f}"
                )
                axis.set(title=f"d = {d}, r = {power:g}, {network.guesses} guesses", xlabel="log p", ylabel="log q")
                axis.legend(fontsize="x-small")
            for number, power in enumerate(density_cells.POWERS):
                networks = [network for network in measured if network == Network(d, power, network.guesses)]
                counts = [network.guesses for network in networks]
                values = np.array([[seed["exponent"] for seed in measured[network]] for network in networks])
                error = values.std(1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else None
                line[3].errorbar(counts, values.mean(1), error, color=f"C{number}", marker="o", label=f"r = {power:g}")
                line[3].axhline(networks[0].expected, color=f"C{number}", linestyle="--")
                known = [(network.guesses, optima[network]) for network in networks if network in optima]
                line[3].plot(*np.reshape(known, (-1, 2)).T, "x", color=f"C{number}", markersize=9)
                for name, style in (("bare", ":"), ("head", "-"), ("sheet", "--")):
                    kl = [np.mean([seed[name]["kl"] for seed in measured[network]]) for network in networks]
                    label = WEIGHTS[name].partition(",")[0] if number == 0 else None
                    line[4].plot(counts, kl, style, color=f"C{number}", label=label)
            line[3].set(title=f"d = {d}: exponent (expected --, exact x)", xscale="log", yscale="log", xlabel="guesses")
            line[4].set(title=f"d = {d}: KL, nats", xscale="log", yscale="log", xlabel="guesses")
            line[3].legend(fontsize="x-small")
            line[4].legend(fontsize="x-small", loc="upper right" if d == 1 else "lower left")
