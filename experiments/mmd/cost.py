"""Time and memory of MMD^2 with its gradient and bandwidth, in blocks and by whole matrices.

    python -m experiments.mmd.cost                                           # ten minutes on two CPU cores
    python -m experiments.mmd.cost --output-dir experiments/results/mmd      # the committed table and figure
    python -m experiments.mmd.cost --quick                                   # seconds

Both samples have the same number of points in the plane, one normal and one uniform; the bandwidth is the median
heuristic over both. `losses.mmd2` compares 256 rows at a time; the reference holds whole matrices and is differentiated
by autodiff. Temporaries are XLA's own count. Resident memory is the peak of a fresh process. Whole matrices that would
need too much memory are compiled and not run.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from jaxgen import losses

COLUMNS = [
    report.Column("seconds", "seconds"),
    report.Column("temporaries", "temporaries, MiB", 1),
    report.Column("resident", "most resident, MiB", 0),
]


def points(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal and uniform points, `[n, 2]` each."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(n, 2)).astype(np.float32), generator.uniform(size=(n, 2)).astype(np.float32)


def value_and_gradient(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """MMD^2 at the pooled median as bandwidth, and its gradient with respect to the first sample, by the library."""
    value = lambda x: losses.mmd2(x, y, bandwidth=losses.median_bandwidth(x, y))
    return jax.value_and_grad(value)(x)


def whole(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same in the plainest form: all distances in one matrix, differentiated by autodiff."""
    pooled = jnp.concatenate([x, y])
    square = lambda a, b: sum((a[:, None, i] - b[None, :, i]) ** 2 for i in range(a.shape[1]))
    # Off the diagonal each pair occurs twice, which does not change the median.
    r = jnp.median(square(pooled, pooled).reshape(-1)[1:].reshape(len(pooled) - 1, len(pooled) + 1)[:, :-1])

    def value(x: jax.Array) -> jax.Array:
        kernel = lambda a, b: jnp.sum(jnp.exp(-square(a, b) / r))
        n, m = len(x), len(y)
        within = (kernel(x, x) - n) / (n * (n - 1)) + (kernel(y, y) - m) / (m * (m - 1))
        return within - 2 * kernel(x, y) / (n * m)

    return jax.value_and_grad(value)(x)


IMPLEMENTATIONS: dict[str, Callable[..., Any]] = {
    "blocked": value_and_gradient,
    "whole matrices": whole,
}
# Most points whose whole matrices are run, and compiled: temporaries grow with the square.
LARGEST, COMPILED = 4_000, 20_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Numbers of points."""

    points: tuple[int, ...] = (1_000, 2_000, 4_000, 10_000, 20_000, 50_000)  # of each sample

    name = "mmd/cost"
    small = {"points": slice(2)}

    def cells(self) -> Iterator[Cell]:
        """Every implementation at every size that it can be compiled at, in a process of its own."""
        for name in IMPLEMENTATIONS:
            for n in self.points:
                if name == "blocked" or n <= COMPILED:
                    yield Cell(_row(name, n), self.first_seed, functools.partial(measured_alone, name, n))

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each implementation and size."""
        rows = [report.Row(row, {key: [value] for key, value in cell.items()}) for row, (cell,) in results.items()]
        title = "MMD^2 with its gradient and the median heuristic, in the plane"
        remark = (
            "The best of three runs; a row without seconds was compiled only. The sort for the median takes nearly all "
            "of the time of the whole matrices."
        )
        return [report.Table("cost", title, COLUMNS, rows, [remark], "runs")]

    def figures(self, results: Results) -> None:
        """Time and temporaries against the number of points."""
        with report.figure(self.results_directory / "cost.png", 1, 2) as axes:
            for axis, measure, unit in zip(axes[0], ("seconds", "temporaries"), ("seconds", "MiB"), strict=True):
                for name in IMPLEMENTATIONS:
                    cells = [(n, cell[0]) for n in self.points if (cell := results.get(_row(name, n)))]
                    line = [(n, cell[measure]) for n, cell in cells if measure in cell]
                    axis.loglog(*zip(*line, strict=True), marker="o", label=name)
                axis.set(title=measure, xlabel="points of each sample", ylabel=unit)
            axes[0, 0].legend(fontsize="small")


def _row(name: str, n: int) -> str:
    return f"{name}, {n:,} x {n:,} points"


def measured_alone(name: str, n: int, directory: pathlib.Path) -> dict[str, float]:
    """Measure in a fresh process, since the peak of a process's memory never falls."""
    return resources.in_fresh_process(measured, name, n)


def measured(name: str, n: int) -> dict[str, float]:
    """Compile, and run where memory suffices."""
    x, y = points(n)
    program, costs = resources.compiled(jax.jit(IMPLEMENTATIONS[name]), x, y)
    if name != "blocked" and n > LARGEST:
        return costs
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(program(x, y))
        times.append(time.perf_counter() - start)
    return costs | {"seconds": min(times)} | resources.peak_memory()


if __name__ == "__main__":
    experiment.main(Experiment)
