"""Memory that preflight predicts for a CPU against the peak that a process measures: is the prediction right?

    python -m experiments.speed.preflight_memory                    # about five minutes on two CPU cores
    python -m experiments.speed.preflight_memory --output-dir experiments/results/speed     # the committed table
    python -m experiments.speed.preflight_memory --quick            # one case

Each case takes one step of a large batch in a fresh process on Linux. The program is compiled first. Then the peak of
the resident memory is reset, the state and the data are placed, and the step runs. The aim is a ratio between 0.75 and
1.25 in every case.
"""

import dataclasses
import functools
import gc
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.speed.preflight import METHODS, Rows
from jaxgen import methods
from jaxgen.accelerators.compiler import abstract_segment, placed_on

COLUMNS = [
    report.Column("predicted", "predicted, MiB", 0),
    report.Column("measured", "measured, MiB", 0),
    report.Column("ratio", "predicted / measured", 2),
]
# Method, batch size and number of seeds; they take 100 MiB or more, and the process itself about 10.
CASES = {
    "EVL, plane, batch 40,000": ("EVL, plane", 40_000, 1),
    "EVL, plane, batch 5,000, 4 seeds": ("EVL, plane", 5_000, 4),
    "MMDMap, plane, batch 40,000": ("MMDMap, plane", 40_000, 1),
    "MMDMap, plane, batch 10,000, 4 seeds": ("MMDMap, plane", 10_000, 4),
    "MEG, plane, batch 50,000": ("MEG, plane", 50_000, 1),
    "Flow, 10 columns, batch 50,000": ("Flow, 10 columns", 50_000, 1),
    "Flow, 10 columns, batch 10,000, 4 seeds": ("Flow, 10 columns", 10_000, 4),
    "MEG, 28 x 28, batch 500": ("MEG, 28 x 28", 500, 1),
    "WGAN-GP, 28 x 28, batch 500": ("WGAN-GP, 28 x 28", 500, 1),
    "NegativeSamplingVAE, 28 x 28, batch 512": ("NegativeSamplingVAE, 28 x 28", 512, 1),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Cases to compare."""

    cases: tuple[str, ...] = tuple(CASES)  # cases to measure

    name = "speed/preflight_memory"
    choices = {"cases": CASES}
    small = {"cases": slice(1)}

    def cells(self) -> Iterator[Cell]:
        """One cell for each case."""
        for case in self.cases:
            yield Cell(case, self.first_seed, functools.partial(measured, case), config(case))

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each case."""
        rows = [report.Row.of(title, cells, COLUMNS) for title, cells in results.items()]
        ratios = [cell["ratio"] for cells in results.values() for cell in cells]
        inside = sum(0.75 <= ratio <= 1.25 for ratio in ratios)
        remark = f"{inside} of {len(ratios)} ratios lie between 0.75 and 1.25. One step of each, in a fresh process."
        title = "Memory that preflight predicts for a CPU, and the peak of a process"
        return [report.Table("preflight_memory", title, COLUMNS, rows, [remark])]


def config(case: str) -> jaxgen.Config:
    """Return what is compared: one step of a large batch."""
    name, batch_size, num_seeds = CASES[case]
    method, shape = METHODS[name]
    rows = Rows((batch_size, *shape), 2 if isinstance(method, methods.MMDMap) else 1)
    return jaxgen.Config(method, rows, steps=1, steps_per_call=1, batch_size=batch_size, num_seeds=num_seeds)


def measured(case: str, directory: pathlib.Path) -> dict[str, float]:
    """Compare in a fresh process."""
    return resources.in_fresh_process(compare, case)


def compare(case: str) -> dict[str, float]:
    """Compile, place and run; to be called in a process of its own."""
    segment, arguments, _ = abstract_segment(placed_on(config(case), tuple(jax.devices()[:1])))
    compiled = segment.trace(*arguments).lower().compile()
    memory = compiled.memory_analysis()
    predicted = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    gc.collect()
    before = _resident("VmRSS")
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    random = np.random.default_rng(0)

    def drawn(struct: Any) -> np.ndarray:
        if np.issubdtype(struct.dtype, np.floating):
            return random.uniform(0.01, 0.02, struct.shape).astype(struct.dtype)
        return np.zeros(struct.shape, struct.dtype)

    placed = jax.tree.map(lambda struct: jax.device_put(drawn(struct), struct.sharding), arguments)
    result = jax.block_until_ready(compiled(*placed))
    peak = _resident("VmHWM") - before
    del placed, result
    return {"predicted": predicted / 2**20, "measured": peak, "ratio": predicted / 2**20 / peak}


def _resident(name: str) -> float:
    """Return a line of /proc/self/status in MiB."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    experiment.main(Experiment)
