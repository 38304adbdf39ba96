"""Image methods compiled for a TPU with networks in single precision and in bfloat16: how much memory is saved?

    python -m experiments.speed.preflight_bfloat16                  # an hour on two CPU cores
    python -m experiments.speed.preflight_bfloat16 --output-dir experiments/results/speed    # the committed table
    python -m experiments.speed.preflight_bfloat16 --quick          # one method for this CPU

Needs the compiler: pip install 'jaxgen[preflight-tpu]', best in an environment of its own. Networks and batches are
those of the papers. The aim is that temporaries in bfloat16 take at most 0.6 of those in single precision.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from experiments.speed.preflight import MIB
from jaxgen import methods
from jaxgen.parallel import Layout

DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
COLUMNS = [
    report.Column("float32", "temporaries in float32, MiB", 1),
    report.Column("bfloat16", "in bfloat16, MiB", 1),
    report.Column("ratio", "ratio", 2),
    report.Column("state", "state, MiB", 1),
    report.Column("needed_float32", "needed in float32, MiB", 1),
    report.Column("needed_bfloat16", "in bfloat16, MiB", 1),
    report.Column("step_float32", "us a step, not faster than", 1),
    report.Column("step_bfloat16", "in bfloat16", 1),
]
VAE = methods.NegativeSamplingVAE(negatives=methods.ModelSamples())
# Method, shape of a row, and rows of a batch.
METHODS: dict[str, tuple[Any, tuple[int, ...], int]] = {
    "NegativeSamplingVAE, 28 x 28 x 1, batch 50": (VAE, (28, 28, 1), 50),
    "NegativeSamplingVAE, 32 x 32 x 3, batch 50": (VAE, (32, 32, 3), 50),
    "MEG, 28 x 28 x 3, batch 5 x 64": (methods.MEG(), (28, 28, 3), 320),
    "WGANGP, 28 x 28 x 3, batch 5 x 64": (methods.WGANGP(), (28, 28, 3), 320),
}


@dataclasses.dataclass(frozen=True)
class Images:
    """Black images as bytes, as image sets are stored."""

    shape: tuple[int, ...]  # number of images and shape of each
    signed: bool  # between -1 and 1, in place of 0 and 1

    def tables(self) -> tuple[np.ndarray]:
        """One table."""
        return (np.zeros(self.shape, np.int8 if self.signed else np.uint8),)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Methods and target."""

    target: str = "v5e:1"  # what to compile for
    methods: tuple[str, ...] = tuple(METHODS)  # methods to compile

    name = "speed/preflight_bfloat16"
    choices = {"methods": METHODS}
    small = {"methods": slice(1), "target": "cpu"}

    def cells(self) -> Iterator[Cell]:
        """Every method in both dtypes."""
        for method in self.methods:
            for dtype in DTYPES:
                measure = functools.partial(compiled, method, dtype, self.target)
                yield Cell(f"{method}, {dtype}, {self.target}", self.first_seed, measure, config(method, dtype))

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each method."""
        rows = []
        for method in self.methods:
            single, half = (results[f"{method}, {dtype}, {self.target}"][0] for dtype in DTYPES)
            values = {"float32": [single["temporary_bytes"] / MIB], "bfloat16": [half["temporary_bytes"] / MIB]}
            values["ratio"] = [half["temporary_bytes"] / single["temporary_bytes"]]
            values["state"] = [single["state_bytes"] / MIB]
            for dtype, found in (("float32", single), ("bfloat16", half)):
                values[f"needed_{dtype}"] = [found["needed_bytes"] / MIB]
                if found["step_seconds"] is not None:
                    values[f"step_{dtype}"] = [found["step_seconds"] * 1e6]
            rows.append(report.Row(method, values))
        versions = next(iter(results.values()))[0]["versions"]
        remark = (
            f"Compiled for {self.target}, one seed, {versions}. The state is that of the networks and optimizers, in "
            "float32 with both. Bounds follow from the vendor's peaks."
        )
        title = "Image methods with networks in single precision and in bfloat16, compiled for a TPU"
        return [report.Table("preflight_bfloat16", title, COLUMNS, rows, [remark], details={"reports": results})]


def config(method: str, dtype: str) -> jaxgen.Config:
    """Return what is compiled: a call of 100 steps."""
    chosen, shape, batch_size = METHODS[method]
    layout = Layout(compute_dtype=DTYPES[dtype])
    images = Images((60_000, *shape), signed=chosen is not VAE)
    return jaxgen.Config(chosen, images, steps=10_000, steps_per_call=100, batch_size=batch_size, layout=layout)


def compiled(method: str, dtype: str, target: str, directory: pathlib.Path) -> dict[str, Any]:
    """Return the report of one method in one dtype."""
    answer = jaxgen.preflight(config(method, dtype), target)
    print(answer, flush=True)
    return answer.to_json()


if __name__ == "__main__":
    experiment.main(Experiment)
