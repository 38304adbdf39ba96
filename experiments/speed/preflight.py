"""Every method compiled for accelerators that are not there: does it fit, and what is the least time it can take?

    python -m experiments.speed.preflight                           # about five minutes on two CPU cores
    python -m experiments.speed.preflight --output-dir experiments/results/speed    # the committed table
    python -m experiments.speed.preflight --quick                   # one method for two simulated CPU devices

Needs the compilers: pip install 'jaxgen[preflight-tpu,preflight-cuda]', best in an environment of its own. Methods have
their default networks, on 60,000 images of 28 x 28 pixels, or on 60,000 rows of 2 or 10 columns; one seed. A bound is
not an estimate: it is what the chip's peaks allow, and most programs take several times as long.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from jaxgen import methods

MIB = 2**20
COLUMNS = [
    report.Column("argument_bytes", "arguments, MiB", 1),
    report.Column("temporary_bytes", "temporaries, MiB", 1),
    report.Column("needed_bytes", "needed, MiB", 1),
    report.Column("flops", "GFLOP a step", 3),
    report.Column("bytes_sent", "MiB sent a step", 2),
    report.Column("step_seconds", "us a step, not faster than", 1),
    report.Column("compile_seconds", "s to compile here", 0),
]
UNITS = {"flops": 1e9, "step_seconds": 1e-6, "compile_seconds": 1.0}
METHODS = {
    "EVL, plane": (methods.EVL(), (2,)),
    "MMDMap, plane": (methods.MMDMap(), (2,)),
    "MEG, plane": (methods.MEG(), (2,)),
    "Flow, 10 columns": (methods.Flow(), (10,)),
    "Archetypes, 10 columns": (methods.Archetypes(), (10,)),
    "MEG, 28 x 28": (methods.MEG(), (28, 28, 1)),
    "WGAN-GP, 28 x 28": (methods.WGANGP(), (28, 28, 1)),
    "NegativeSamplingVAE, 28 x 28": (methods.NegativeSamplingVAE(negatives=methods.ModelSamples()), (28, 28, 1)),
}


@dataclasses.dataclass(frozen=True)
class Rows:
    """Rows of zeros: only their shape matters."""

    shape: tuple[int, ...]  # number of rows and shape of each
    count: int = 1  # number of tables

    def tables(self) -> tuple[np.ndarray, ...]:
        """The tables."""
        return (np.zeros(self.shape, np.float32),) * self.count


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Methods and targets."""

    targets: tuple[str, ...] = ("v5e:2x2", "h100:4")  # devices to compile for
    methods: tuple[str, ...] = tuple(METHODS)  # methods to compile

    name = "speed/preflight"
    choices = {"methods": METHODS}
    small = {"targets": ("cpu:2",), "methods": ("MMDMap, plane",)}

    def cells(self) -> Iterator[Cell]:
        """Every method for every target."""
        for target in self.targets:
            for method in self.methods:
                measure = functools.partial(compiled, method, target)
                yield Cell(f"{method}, {target}", self.first_seed, measure, config(method))

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each method and target."""
        rows = [report.Row.of(title, cells, COLUMNS) for title, cells in results.items()]
        first = next(iter(results.values()))[0]
        remark = (
            f"Batches of {config(self.methods[0]).batch_size} rows over all devices, float32, one seed, "
            f"{first['versions']}. Bytes and operations are those of one device. Bounds follow from the vendors' peaks."
        )
        title = "Every method compiled for accelerators that are not there"
        return [report.Table("preflight", title, COLUMNS, rows, [remark], details={"reports": results})]


def config(method: str) -> jaxgen.Config:
    """Return what is compiled: a call of 100 steps."""
    chosen, shape = METHODS[method]
    rows = Rows((60_000, *shape), 2 if isinstance(chosen, methods.MMDMap) else 1)
    return jaxgen.Config(chosen, rows, steps=10_000, steps_per_call=100)


def compiled(method: str, target: str, directory: pathlib.Path) -> dict[str, Any]:
    """Return the report of one method, in the units of the table."""
    answer = jaxgen.preflight(config(method), target)
    print(answer, flush=True)
    numbers = {
        column.name: value / UNITS.get(column.name, MIB)
        for column in COLUMNS
        if (value := getattr(answer, column.name)) is not None
    }
    return {**numbers, "fits": answer.fits, "versions": answer.versions, "warnings": list(answer.warnings)}


if __name__ == "__main__":
    experiment.main(Experiment)
