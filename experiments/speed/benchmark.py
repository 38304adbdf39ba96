"""How fast: training steps against the same steps done otherwise, and how much memory they take.

    python -m pip install -e '.[benchmark]'                       # the others; without them their rows say so
    python -m experiments.speed.benchmark --output-dir experiments/results/speed   # a quarter of an hour on two cores
    python -m experiments.speed.benchmark --quick  # small networks, a minute; says nothing about speed

In every race the first line is jaxgen: a training step as `train` runs it, in the program between two looks, with the
data on the device; or chains. The others do the same on the same shapes with the same network. One run of each in turn
is a repeat, so that what else the machine does falls on all of them. What each race aims at stands in the table.
"""

import dataclasses
import importlib.util
import os
import pathlib
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.common import report, resources
from experiments.speed import evl, first_step, flows, meg, mmd, negvae
from jaxgen.serialization.config_json import to_json

TITLE = "Speed: a training step of jaxgen, and the same step done otherwise"
MEDIAN = report.median_and_range
COLUMNS = [
    report.Column("milliseconds", "ms a step", 1, MEDIAN),
    report.Column("cores", "core ms a step", 1, MEDIAN),
    report.Column("times", "jaxgen is faster, times", 2, MEDIAN),
    report.Column("gflop", "GFLOP a step", 1, MEDIAN),
    report.Column("share", "share of the peak", 2, MEDIAN),
    report.Column("compile", "to compile, s", 1, MEDIAN),
    report.Column("temporaries", "XLA's temporaries, MiB", 0, MEDIAN),
    report.Column("resident", "peak resident, MiB", 0, MEDIAN),
]
MISSING = "left out: {} is not installed; python -m pip install -e '.[benchmark]' brings it."
LIBRARIES = {"torch": "PyTorch", "blackjax": "BlackJAX", "flowjax": "FlowJAX"}
RACES: dict[str, Callable[[bool], list[evl.Contender]]] = {
    "own": evl.own,
    "pool": evl.pool,
    "plane": meg.plane,
    "digits": meg.digits,
    "chains": meg.chains,
    "auxiliary": negvae.auxiliary,
    "adversarial": negvae.adversarial,
    "discrepancy": mmd.discrepancy,
    "couplings": flows.couplings,
}
FIRST = "first_step"
PRODUCT, PRODUCTS = 1024, 20  # rows and columns of the matrices whose product measures the peak; how many a repeat


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which races, how often."""

    rows: tuple[str, ...] = (*RACES, FIRST)
    """Races to run, and the time to the first step, which has a table of its own."""
    repeats: int = 7
    """Runs of each contender, in turns."""
    quick: bool = False
    """Small networks and three repeats: shows that it runs, not how fast."""
    output_dir: pathlib.Path = pathlib.Path("runs/speed/benchmark")
    """Where the table goes."""


def run(experiment: Experiment) -> report.Table:
    """Run every race, print the table, and write it."""
    if unknown := set(experiment.rows) - {*RACES, FIRST}:
        raise SystemExit(f"there are no rows {sorted(unknown)}; choose from {', '.join((*RACES, FIRST))}.")
    if jax.default_backend() != "cpu":
        raise SystemExit("the others run on the CPU; set JAX_PLATFORMS=cpu to race jaxgen there too.")
    if FIRST in experiment.rows:
        seconds = first_step.run(first_step.Experiment(quick=experiment.quick, output_dir=experiment.output_dir))
        experiment = dataclasses.replace(experiment, rows=tuple(name for name in experiment.rows if name != FIRST))
        if not experiment.rows:
            return seconds
    if experiment.quick:
        experiment = dataclasses.replace(experiment, repeats=3, output_dir=experiment.output_dir / "quick")
    rows, details = [], {}
    for name in experiment.rows:
        found, details[name] = race(name, experiment)
        rows += found
    remarks = [
        f"Medians of {experiment.repeats} repeats, in each of which every contender runs once, and between what they "
        "lie; `jaxgen is faster` compares the race's first line with the others, repeat by repeat.",
        "Arithmetic is that of the line's own matrix products and convolutions, of steps of energies and autoencoders "
        "what XLA counts in jaxgen's; the peak is the best rate of a "
        f"{PRODUCT} x {PRODUCT} matrix product in float32 that any library reached among "
        f"{PRODUCTS} between any two repeats: " + "; ".join(_told(name, details[name]) for name in details) + ".",
        "Peak resident memory is that of a fresh process that compiles and runs once.",
        "Where a library's own matrix products reach less than that peak, its line is slow for this reason too.",
    ]
    versions = {name: metadata.version(name) for name in LIBRARIES if _has(name)}
    table = report.Table("benchmark", TITLE, COLUMNS, rows, [" ".join(remarks)], "repeats", "aim")
    table.write(experiment.output_dir, {"versions": versions, "races": details})
    return table


def race(name: str, experiment: Experiment) -> tuple[list[report.Row], dict[str, Any]]:
    """Run one race.

    Returns:
        A line for each contender; and every repeat's seconds by clock and by all cores together, the peaks, how many
        cores were busy with other processes, the machine's load before, and what jaxgen trained.
    """
    racing = RACES[name](experiment.quick)
    running = {place: c for place, c in enumerate(racing) if not c.needs or _has(c.needs)}
    resident = {}
    for place in running:
        print(f"{racing[place].title}: memory", flush=True)
        resident[place] = resources.alone(weigh, name, place, experiment.quick)
    products = _products()
    ready = {place: contender.prepare() for place, contender in running.items()}
    for place in ready:
        ready[place].run()
    seconds: dict[int, list[tuple[float, float]]] = {place: [] for place in ready}
    peaks: dict[str, list[float]] = {library: [] for library in products}
    others, load = [], os.getloadavg()
    for repeat in range(experiment.repeats):
        print(f"{name}: repeat {repeat + 1} of {experiment.repeats}", flush=True)
        begun, before = time.perf_counter(), _busy()
        for library, product in products.items():
            # Short ones, of which the fastest had the cores for itself.
            peaks[library].append(2 * PRODUCT**3 / min(_clock(product)[0] for _ in range(PRODUCTS)))
        for place in ready:
            seconds[place].append(_clock(ready[place].run))
        others.append((_busy() - before) / (time.perf_counter() - begun))
    peak = max(map(max, peaks.values()))
    taken = {place: np.array(seconds[place]).T / racing[place].steps for place in ready}
    rows = []
    for place, contender in enumerate(racing):
        if place not in ready:
            rows.append(report.Row(contender.title, {}, {}, MISSING.format(LIBRARIES[contender.needs])))
            continue
        by_clock, by_cores = taken[place]
        values = {
            "milliseconds": list(1e3 * by_clock),
            "cores": list(1e3 * by_cores),
            "times": list(by_clock / taken[0][0]) if place else [],
            "gflop": [contender.flop / 1e9],
            "share": [contender.flop / np.median(by_clock) / peak],
            "resident": resident[place],
            **{cost: [number] for cost, number in ready[place].costs.items()},
        }
        rows.append(report.Row(contender.title, values, {} if contender.aim is None else {"times": contender.aim}))
    configs = {contender.title: to_json(contender.config) for contender in racing if contender.config}
    return rows, {"seconds": seconds, "peaks": peaks, "others": others, "load": load, "configs": configs}


def weigh(name: str, place: int, quick: bool) -> list[float]:
    """Run one contender once, in a process of its own.

    Returns:
        MiB of the process when it was largest; nothing where the system does not tell.
    """
    RACES[name](quick)[place].prepare().run()
    resident = resources.most_resident()
    return [] if resident is None else [resident]


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _products() -> dict[str, Callable[[], Any]]:
    """A big matrix product in each library."""
    ones = np.ones((PRODUCT, PRODUCT), np.float32)
    mine, product = jnp.asarray(ones), jax.jit(jnp.matmul)
    found: dict[str, Callable[[], Any]] = {"JAX": lambda: product(mine, mine).block_until_ready()}
    if _has("torch"):
        import torch

        theirs = torch.tensor(ones)
        found["PyTorch"] = lambda: theirs @ theirs
    for run in found.values():
        run()
    return found


def _clock(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds that something takes by the clock, and by all cores together."""
    begun, worked = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - begun, time.process_time() - worked


def _busy() -> float:
    """Seconds that the machine's cores have worked for other processes; 0 where the system does not tell."""
    told = pathlib.Path("/proc/stat")
    if not told.is_file():
        return 0.0
    user, nice, system = map(int, told.read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def _told(name: str, found: dict[str, Any]) -> str:
    """Say at what peaks and beside what other work a race was run."""
    peaks = ", ".join(f"{library} {max(rates) / 1e9:.0f} GFLOP/s" for library, rates in found["peaks"].items())
    return f"{name}: {peaks}, beside other processes on {np.mean(found['others']):.1f} cores"


if __name__ == "__main__":
    run(tyro.cli(Experiment))
