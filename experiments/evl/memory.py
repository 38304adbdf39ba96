"""Memory of the extreme value loss against the size of the pool: the limit that section VI of Guttenberg (2019) names.

    python -m experiments.evl.memory                                # some minutes on two CPU cores
    python -m experiments.evl.memory --output-dir experiments/results/evl   # the committed table
    python -m experiments.evl.memory --quick                        # a minute

The paper takes 512 guesses "constrained by memory considerations", on 8 GB. Here a batch of 50 MNIST images is
compared with up to 65,536 guesses, 512 of them at a time. Temporaries are XLA's own count for the compiled step; what
is resident is the most that a fresh process held, with Python, JAX, the compiler and the data set, while it trained.
Expect for our network 100 MiB of temporaries for 4,096 guesses and 102 for 65,536, and 1.3 to 1.5 GiB resident for any
pool. The differences between pool sizes are within the noise between processes.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax

import jaxgen
from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.evl import images_models
from jaxgen import methods

COLUMNS = [
    report.Column("temporaries", "temporaries, MiB", 1),
    report.Column("resident", "most resident, MiB", 0),
    report.Column("seconds", "seconds a step", 1),
]
WIDTHS = {"ours": images_models.WIDTHS, "paper": images_models.PAPER_WIDTHS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Sizes of the pool."""

    guesses: tuple[int, ...] = (512, 4096, 16_384, 65_536)  # sizes of the pool
    chunk: int = 512  # guesses generated at a time
    # Train the paper's network too; it takes ten minutes a step for 65,536 guesses on two CPU cores.
    paper: bool = False

    name = "evl/memory"
    small = {"guesses": slice(2)}

    def rows(self) -> Iterator[tuple[str, str, int, int | None]]:
        """Title, network, size of the pool and guesses generated at a time, None for all, of each row."""
        for network in WIDTHS:
            for chunk in (self.chunk, None):
                for guesses in self.guesses:
                    title = f"{network}, {guesses:,} guesses, " + (f"{chunk} at a time" if chunk else "all at once")
                    yield title, network, guesses, chunk

    def cells(self) -> Iterator[Cell]:
        """Every network and pool, with and without chunks."""
        for title, network, guesses, chunk in self.rows():
            train = chunk is not None and (network == "ours" or self.paper)
            measured = functools.partial(measured_alone, network, guesses, chunk, train)
            yield Cell(title, self.first_seed, measured, config(network, guesses, chunk), {"train": train})

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each network and pool."""
        rows = [report.Row.of(title, results[title], COLUMNS) for title, *_ in self.rows()]
        widths = ", ".join(f"{widths} ({network})" for network, widths in WIDTHS.items())
        remark = f"Widths: {widths}. Where nothing is resident, the step was compiled only."
        title = "Memory of a step: 50 images of MNIST and a pool of guesses"
        configs = {network: jaxgen.to_json(config(network, self.guesses[0], self.chunk)) for network in WIDTHS}
        details = {"chunk": self.chunk, "configs": configs}
        return [report.Table("memory", title, COLUMNS, rows, [remark], details=details)]


def measured_alone(
    network: str, guesses: int, chunk: int | None, train: bool, directory: pathlib.Path
) -> dict[str, float]:
    """Measure in a fresh process."""
    return resources.in_fresh_process(measure, network, guesses, chunk, train)


def config(network: str, guesses: int, chunk: int | None) -> jaxgen.Config:
    """Return what is trained: two steps of a network on MNIST."""
    ours = images_models.ours("mnist", 0, steps=2)
    generator = dataclasses.replace(ours.method.generator, widths=WIDTHS[network])
    scheme = methods.SharedPool(guesses, chunk)
    method: Any = dataclasses.replace(ours.method, generator=generator, candidates=scheme)
    return dataclasses.replace(ours, method=method, steps_per_call=1)


def measure(network: str, guesses: int, chunk: int | None, train: bool) -> dict[str, float]:
    """Compile one step, and take two where `train`; to be called in a process of its own."""
    trained = config(network, guesses, chunk)
    method: Any = trained.method
    measures: dict[str, float] = {}
    if train:
        times: list[float] = []
        callback = lambda step, result: times.append(time.perf_counter())
        jaxgen.train(trained, callback=callback, progress=False)
        measures = {"seconds": times[1] - times[0], **resources.peak_memory()}
    x = jax.ShapeDtypeStruct((trained.batch_size, *images_models.IMAGE_SETS["mnist"].shape()), "float32")
    state = jax.eval_shape(method.init, jax.random.key(0), x)
    return measures | resources.compiled(jax.jit(method.step, donate_argnums=1), jax.random.key(0), state, x)[1]


if __name__ == "__main__":
    experiment.main(Experiment)
