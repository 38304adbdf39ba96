"""A check of a machine with an accelerator: every method trained small, its speed, and its memory.

    python -m experiments.speed.accelerator_check                   # at most eight minutes on a GPU, without a network
    python -m experiments.speed.accelerator_check --output-dir DIR  # writes accelerator_check.json there
    python -m experiments.speed.accelerator_check --quick           # two methods, a few steps

Each method trains twice in a fresh process, with the settings of `speed.bfloat16` in single precision. The second
training finds everything compiled, and gives the time of a step. The validation loss of five seeds is compared with the
committed one of a CPU. Memory is the peak of the device, beside the compiler's prediction for the same program. The
bound on a step is that of `jaxgen.preflight`, where the chip is known.
"""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import expectations, experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.speed import bfloat16
from jaxgen.accelerators.compiler import Shapes, abstract_segment, compiled_report, placed_on
from jaxgen.accelerators.targets import CHIPS, Target
from jaxgen.parallel import Layout

MIB = 2**20
COMMITTED = expectations.RESULTS / "speed" / "bfloat16.json"
KINDS = {"H100": "h100", "H200": "h200", "v5 lite": "v5e", "v5e": "v5e", "v6": "v6e", "v4": "v4", "cpu": "cpu"}
COLUMNS = [
    report.Column("loss", "validation loss", 4),
    report.Column("cpu", "on a CPU", 4),
    report.Column("deviations", "difference in standard deviations of the CPU", 2),
    report.Column("step_seconds", "us a step", 0),
    report.Column("bound", "us a step, not faster than", 2),
    report.Column("predicted", "predicted, MiB", 1),
    report.Column("peak", "peak of the device, MiB", 1),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Methods, seeds and devices."""

    methods: tuple[str, ...] = tuple(bfloat16.CASES)  # methods to train
    num_seeds: int = 5
    share: float = 1.0  # of the steps of each method
    devices: int = 1  # devices to use; with more than one, every device draws noise of its own

    name = "speed/accelerator_check"
    choices = {"methods": bfloat16.CASES}
    small = {"methods": slice(4, 6), "num_seeds": 2, "share": 0.02}

    def cells(self) -> Iterator[Cell]:
        """One cell for each method."""
        for method in self.methods:
            base = bfloat16.Experiment(num_seeds=self.num_seeds, first_seed=self.first_seed, share=self.share)
            config = dataclasses.replace(base.config(method, "float32"), layout=Layout(devices=self.devices))
            measure = functools.partial(measured, method, config)
            yield Cell(method, self.first_seed, measure, config)

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each method, and its verdict."""
        committed = cpu_losses()
        rows = []
        for method, (cell, *_) in results.items():
            values = {key: value if isinstance(value, list) else [value] for key, value in cell.items()}
            compared = {"cpu": committed[method], "deviations": [bfloat16.deviations(committed[method], cell["loss"])]}
            rows.append(report.Row(method, values | compared))
        inside = sum(row.values["deviations"][0] <= 2 for row in rows)
        below = sum(row.values["step_seconds"][0] < row.values["bound"][0] for row in rows if "bound" in row.values)
        remark = (
            f"{inside} of {len(rows)} losses are within two standard deviations of the CPU's at full length. "
            f"{below} steps are faster than their bound, which would be an error of preflight."
        )
        return [report.Table("accelerator_check", "Every method on this machine", COLUMNS, rows, [remark])]


def cpu_losses() -> dict[str, list[float]]:
    """Return the committed validation losses of all seeds on a CPU, by method."""
    rows = json.loads(COMMITTED.read_text())["rows"]
    return {row["title"]: row["values"]["float32"] for row in rows}


def measured(method: str, config: jaxgen.Config, directory: pathlib.Path) -> dict[str, Any]:
    """Measure in a fresh process, since the peak of a device's memory never falls."""
    return resources.in_fresh_process(trained_twice, config)


def trained_twice(config: jaxgen.Config) -> dict[str, Any]:
    """Train, train again, and compare memory and time with what the compiler predicts."""
    losses = jaxgen.train(config, progress=False).history["validation_loss"][:, -1]
    begun = time.perf_counter()
    jaxgen.train(config, progress=False)
    found: dict[str, Any] = {"loss": losses.astype(float).tolist()}
    found["step_seconds"] = (time.perf_counter() - begun) / config.steps / 1e-6
    devices = tuple(jax.local_devices()[: config.layout.devices])
    statistics = devices[0].memory_stats() or {}
    if "peak_bytes_in_use" in statistics:
        found["peak"] = statistics["peak_bytes_in_use"] / MIB
    return found | predicted(config, devices)


def predicted(config: jaxgen.Config, devices: tuple[jax.Device, ...]) -> dict[str, float]:
    """Return the memory that the compiler predicts in MiB, and the bound on a step in us where the chip is known."""
    segment, arguments, split = abstract_segment(placed_on(config, devices))
    memory = segment.trace(*arguments, **split).lower().compile().memory_analysis()
    sizes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    found = {"predicted": sizes / MIB}
    chip = next((chip for text, chip in KINDS.items() if text in devices[0].device_kind), None)
    if chip is not None and CHIPS[chip].flops is not None:
        tables = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype), config.data.tables())
        shapes = dataclasses.replace(config, data=Shapes(tables))
        bound = compiled_report(shapes, Target(f"{chip}:{len(devices)}"), devices).step_seconds
        if bound is not None:
            found["bound"] = bound / 1e-6
    return found


if __name__ == "__main__":
    experiment.main(Experiment)
