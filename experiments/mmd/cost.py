"""Cost of a maximum mean discrepancy, its gradient and its bandwidth against the number of points, blocked and whole.

    python -m experiments.mmd.cost                                # ten minutes on two CPU cores
    python -m experiments.mmd.cost --output-dir experiments/results      # the table and the figure there
    python -m experiments.mmd.cost --quick                        # seconds

As many points of a normal as of a uniform law in the plane, the median heuristic over both. `losses.mmd2` compares 256
rows at a time; the other keeps whole matrices and is left to autodiff. Temporaries are XLA's own count; what is
resident is the most that a fresh process held. The whole matrices are compiled only where they would take too much.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import tyro

from experiments.common import cache, report, resources
from experiments.speed import mmd

COLUMNS = [
    report.Column("seconds", "seconds"),
    report.Column("temporaries", "temporaries, MiB", 1),
    report.Column("resident", "most resident, MiB", 0),
]
WAYS: dict[str, Callable[..., Any]] = {
    "blocked": mmd.value_and_gradient,
    "whole matrices": mmd.whole,
}
# Points whose whole matrices are run, and compiled: their temporaries grow with the square.
LARGEST, COMPILED = 4_000, 20_000


@dataclasses.dataclass(frozen=True)
class Experiment:
    """How many points."""

    points: tuple[int, ...] = (1_000, 2_000, 4_000, 10_000, 20_000, 50_000)
    """Of each sample."""
    quick: bool = False
    """Seconds: the first two sizes."""
    cache_dir: pathlib.Path = pathlib.Path("runs/mmd/cost")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/mmd/cost")
    """Where the table and the figure go."""


def measure(way: str, n: int) -> dict[str, float]:
    """Compile, and run where it fits; to be called in a process of its own."""
    x, y = mmd.points(n)
    program, found = resources.compiled(jax.jit(WAYS[way]), x, y)
    if way != "blocked" and n > LARGEST:
        return found
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        jax.block_until_ready(program(x, y))
        times.append(time.perf_counter() - begun)
    resident = resources.most_resident()
    return found | {"seconds": min(times)} | ({} if resident is None else {"resident": resident})


def cell(experiment: Experiment, way: str, n: int) -> dict[str, float]:
    """Measure in a fresh process, or remember."""
    identity = {"way": way, "points": n}
    file = experiment.cache_dir / f"{way.split()[0]}-{n}.json"
    return cache.remembered(file, identity, lambda: resources.alone(measure, way, n))


def run(experiment: Experiment) -> report.Table:
    """Measure every cell, print the table, and write it with its figure."""
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(experiment, points=experiment.points[:2], cache_dir=runs, output_dir=runs)
    rows, curves = [], {}
    for way in WAYS:
        for n in experiment.points:
            if way != "blocked" and n > COMPILED:
                continue
            print(f"{way}, {n:,} points", flush=True)
            curves[way, n] = cell(experiment, way, n)
            rows.append(report.Row(f"{way}, {n:,} x {n:,} points", {k: [v] for k, v in curves[way, n].items()}))
    title = "MMD^2 with its gradient and the median heuristic, in the plane"
    remark = (
        "The best of three runs; where there are no seconds, the program was compiled only. Of the whole matrices' "
        "time nearly all is the sort for the median."
    )
    table = report.Table("mmd_cost", title, COLUMNS, rows, [remark], "runs")
    table.write(experiment.output_dir, {})
    with report.figure(experiment.output_dir / "mmd_cost.png", 1, 2) as axes:
        for axis, (name, told) in zip(axes[0], {"seconds": "seconds", "temporaries": "MiB"}.items(), strict=True):
            for way in WAYS:
                known = [(n, curves[way, n][name]) for n in experiment.points if name in curves.get((way, n), {})]
                axis.loglog(*zip(*known, strict=True), marker="o", label=way)
            axis.set(title=name, xlabel="points of each sample", ylabel=told)
        axes[0, 0].legend(fontsize="small")
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
