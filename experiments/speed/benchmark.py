"""Time and memory of training steps, compared with other implementations of the same steps.

    python -m pip install -e '.[benchmark]'                       # other libraries; rows of missing ones say so
    python -m experiments.speed.benchmark --output-dir experiments/results/speed   # a quarter of an hour on two cores
    python -m experiments.speed.benchmark --quick  # small networks, a minute; the times mean nothing

The first row of each comparison is jaxgen: a training step of `train` within one compiled call, with the data on the
device; or a transition of chains. The other rows take the same step with the same shapes and networks, and their losses
are checked to be equal. All implementations run once in each repeat, so that other load on the machine affects all of
them. The table has an aim for each comparison.
"""

import dataclasses
import functools
import importlib.util
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.speed import evl, first_step, flows, meg, mmd, negvae
from experiments.speed.case import Case

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
COMPARISONS: dict[str, Callable[[bool], list[Case]]] = {
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
FIRST_STEP = "first_step"
SIDE, PRODUCTS = 1024, 20  # the peak is measured by products of square matrices: their side, and products per repeat


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Comparisons, and number of repeats."""

    # Comparisons to run; `first_step`, the time to the first training step, has its own table.
    comparisons: tuple[str, ...] = (*COMPARISONS, FIRST_STEP)
    repeats: int = 7  # runs of each implementation, interleaved

    name = "speed/benchmark"
    choices = {"comparisons": (*COMPARISONS, FIRST_STEP)}

    def run(self) -> list[report.Table]:
        """Measure the time to the first step if it is among the comparisons, then the others."""
        others = tuple(name for name in self.comparisons if name != FIRST_STEP)
        tables = []
        if others != self.comparisons and not self.configs:
            tables.append(first_step.run(first_step.Experiment(quick=self.quick, output_dir=self.results_directory)))
        if others:
            tables += experiment.Experiment.run(dataclasses.replace(self, comparisons=others))
        return tables

    def reduced(self) -> "Experiment":
        """Three repeats; the networks are small too."""
        return dataclasses.replace(self, num_seeds=1, repeats=3)

    def cells(self) -> Iterator[Cell]:
        """One cell for each comparison, with the configuration of its first case."""
        if jax.devices()[0].platform != "cpu":
            raise SystemExit(
                f"the backend must be the CPU, where the other libraries run (got {jax.devices()[0].platform}); set "
                "JAX_PLATFORMS=cpu."
            )
        for name in (name for name in self.comparisons if name != FIRST_STEP):
            cases = COMPARISONS[name](self.quick)
            measure = functools.partial(compare, name, cases, self.repeats, self.quick)
            yield Cell(name, self.first_seed, measure, cases[0].config)

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Measure without the cache: times depend on the library's code, which no cell's identity holds."""
        return cell.measure(self.directory)

    def tables(self, results: Results) -> list[report.Table]:
        """One table; a row for each case."""
        details = {name: cell["details"] for name, (cell,) in results.items()}
        remark = (
            f"Medians of {self.repeats} repeats, in each of which every implementation runs once, and their range. "
            "`jaxgen is faster` compares the comparison's first row with the others, repeat by repeat. Floating-point "
            "operations are those of the row's own matrix products and convolutions; for energies and autoencoders, "
            f"XLA's count for jaxgen's step. The peak is the best rate of a {SIDE} x {SIDE} matrix product in float32 "
            f"that any library reached among {PRODUCTS} between any two repeats: "
            + "; ".join(_peaks(name, details[name]) for name in details)
            + ". Peak resident memory is that of a fresh process that compiles and runs once. Where a library's own "
            "matrix products reach less than that peak, its row is slow for this reason too."
        )
        versions = {name: metadata.version(name) for name in LIBRARIES if _installed(name)}
        rows = [report.Row(**row) for (cell,) in results.values() for row in cell["rows"]]
        details = {"versions": versions, "comparisons": details}
        return [report.Table("benchmark", TITLE, COLUMNS, rows, [remark], "repeats", "aim", details)]


def compare(name: str, cases: Sequence[Case], repeats: int, quick: bool, directory: pathlib.Path) -> dict[str, Any]:
    """Run one comparison."""
    available = {place: case for place, case in enumerate(cases) if not case.needs or _installed(case.needs)}
    resident = {}
    for place, case in available.items():
        print(f"{case.title}: memory", flush=True)
        resident[place] = resources.in_fresh_process(peak_memory, name, place, quick)
    products = _products()
    ready = {place: case.prepare() for place, case in available.items()}
    for place in ready:
        ready[place].run()
    seconds: dict[int, list[tuple[float, float]]] = {place: [] for place in ready}
    peaks: dict[str, list[float]] = {library: [] for library in products}
    others, load = [], os.getloadavg()
    for repeat in range(repeats):
        print(f"{name}: repeat {repeat + 1} of {repeats}", flush=True)
        start, before = time.perf_counter(), _busy()
        for library, product in products.items():
            # Products are short, so that the fastest of them had all cores to itself.
            peaks[library].append(2 * SIDE**3 / min(_clock(product)[0] for _ in range(PRODUCTS)))
        for place in ready:
            seconds[place].append(_clock(ready[place].run))
        others.append((_busy() - before) / (time.perf_counter() - start))
    peak = max(map(max, peaks.values()))
    by_step = {place: np.array(seconds[place]).T / cases[place].steps for place in ready}
    rows: list[dict[str, Any]] = []
    for place, case in enumerate(cases):
        if place not in ready:
            rows.append({"title": case.title, "values": {}, "note": MISSING.format(LIBRARIES[case.needs])})
            continue
        wall, cores = by_step[place]
        values = {
            "milliseconds": list(1e3 * wall),
            "cores": list(1e3 * cores),
            "times": list(wall / by_step[0][0]) if place else [],
            "gflop": [case.flop / 1e9],
            "share": [case.flop / np.median(wall) / peak],
            "resident": resident[place],
            **{cost: [number] for cost, number in ready[place].costs.items()},
        }
        paper = {} if case.aim is None else {"times": case.aim}
        rows.append({"title": case.title, "values": values, "paper": paper})
    configs = {case.title: jaxgen.to_json(case.config) for case in cases if case.config}
    details = {"seconds": seconds, "peaks": peaks, "others": others, "load": load, "configs": configs}
    return {"rows": rows, "details": details}


def peak_memory(name: str, place: int, quick: bool) -> list[float]:
    """Prepare and run one case; return the peak resident memory of the process in MiB, or [] where it is unknown."""
    COMPARISONS[name](quick)[place].prepare().run()
    return list(resources.peak_memory().values())


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _products() -> dict[str, Callable[[], Any]]:
    """A product of large matrices in each library."""
    ones = np.ones((SIDE, SIDE), np.float32)
    matrix, product = jnp.asarray(ones), jax.jit(jnp.matmul)
    products: dict[str, Callable[[], Any]] = {"JAX": lambda: product(matrix, matrix).block_until_ready()}
    if _installed("torch"):
        import torch

        tensor = torch.tensor(ones)
        products["PyTorch"] = lambda: tensor @ tensor
    for run in products.values():
        run()
    return products


def _clock(run: Callable[[], Any]) -> tuple[float, float]:
    """Time a call: wall time, and time of all cores together, in seconds."""
    start, cores = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cores


def _busy() -> float:
    """Seconds that the machine's cores have worked for other processes; 0 where /proc does not exist."""
    status = pathlib.Path("/proc/stat")
    if not status.is_file():
        return 0.0
    user, nice, system = map(int, status.read_text().split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:2])


def _peaks(name: str, details: dict[str, Any]) -> str:
    """Peak rates of a comparison, and the load by other processes."""
    peaks = ", ".join(f"{library} {max(rates) / 1e9:.0f} GFLOP/s" for library, rates in details["peaks"].items())
    return f"{name}: {peaks}, with other processes on {np.mean(details['others']):.1f} cores"


if __name__ == "__main__":
    experiment.main(Experiment)
