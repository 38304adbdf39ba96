"""Memory of the extreme value loss against the size of the pool: the limit that section VI of Guttenberg (2019) names.

    python -m experiments.evl.opt_state                                # some minutes on two CPU cores
    python -m experiments.evl.opt_state --output-dir experiments/results      # the table there
    python -m experiments.evl.opt_state --quick                        # a minute

The paper takes 512 guesses "constrained by memory considerations", on 8 GB. Here a batch of 50 MNIST images is
compared with up to 65,536 guesses, 512 of them at a time. Temporaries are XLA's own count for the compiled step; what
is resident is the most that a fresh process held, with Python, JAX, the compiler and the data set, while it trained.
Expect for our network 100 MiB of temporaries for 4,096 guesses and 102 for 65,536, and 1.3 to 1.5 GiB resident for any
pool, of which the pool's size explains nothing that stands out from the noise between processes.
"""

import dataclasses
import pathlib
import time
from typing import Any

import jax
import tyro

import jaxgen
from experiments.common import cache, report, resources
from experiments.evl import images_models
from jaxgen import methods
from jaxgen.serialization.config_json import to_json

COLUMNS = [
    report.Column("temporaries", "temporaries, MiB", 1),
    report.Column("resident", "most resident, MiB", 0),
    report.Column("seconds", "seconds a step", 1),
]
WIDTHS = {"ours": images_models.WIDTHS, "paper": images_models.PAPER_WIDTHS}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which pools."""

    guesses: tuple[int, ...] = (512, 4096, 16_384, 65_536)
    """Sizes of the pool."""
    chunk: int = 512
    """Guesses made at a time."""
    paper: bool = False
    """Train the paper's network too; it takes ten minutes a step for 65,536 guesses on two CPU cores."""
    quick: bool = False
    """A minute's worth: 512 and 4,096 guesses."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/memory")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/memory")
    """Where the table goes."""


def config(network: str, guesses: int, chunk: int | None) -> jaxgen.Config:
    """Return what is trained: two steps of a network on MNIST."""
    ours = images_models.ours("mnist", 0, steps=2)
    generator = dataclasses.replace(ours.method.generator, widths=WIDTHS[network])
    scheme = methods.SharedPool(guesses, chunk)
    method: Any = dataclasses.replace(ours.method, generator=generator, candidates=scheme)
    return dataclasses.replace(ours, method=method, steps_per_call=1)


def measure(network: str, guesses: int, chunk: int | None, train: bool) -> dict[str, float]:
    """Compile one step, and take two where `train`; to be called in a process of its own."""
    made = config(network, guesses, chunk)
    method: Any = made.method
    found = {}
    if train:
        times: list[float] = []
        watch = lambda step, result: times.append(time.perf_counter())
        jaxgen.train(made, callback=watch, progress=False)
        resident = resources.most_resident()
        found = {"seconds": times[1] - times[0]} | ({} if resident is None else {"resident": resident})
    x = jax.ShapeDtypeStruct((made.batch_size, *images_models.IMAGE_SETS["mnist"].shape()), "float32")
    state = jax.eval_shape(method.init, jax.random.key(0), x)
    return found | resources.compiled(jax.jit(method.step, donate_argnums=1), jax.random.key(0), state, x)[1]


def cell(experiment: Experiment, network: str, guesses: int, chunk: int | None, train: bool) -> dict[str, float]:
    """Measure in a fresh process, or remember."""
    identity = {"widths": WIDTHS[network], "guesses": guesses, "chunk": chunk, "train": train}
    file = experiment.cache_dir / f"{network}-{guesses}-{chunk}.json"
    return cache.remembered(file, identity, lambda: resources.alone(measure, network, guesses, chunk, train))


def run(experiment: Experiment) -> report.Table:
    """Measure every cell, print the table and write it."""
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(experiment, guesses=experiment.guesses[:2], cache_dir=runs, output_dir=runs)
    rows = []
    for network in WIDTHS:
        for chunk in (experiment.chunk, None):
            for guesses in experiment.guesses:
                train = chunk is not None and (network == "ours" or experiment.paper)
                told = f"{network}, {guesses:,} guesses, " + (f"{chunk} at a time" if chunk else "all at once")
                print(told, flush=True)
                found = cell(experiment, network, guesses, chunk, train)
                rows.append(report.Row(told, {name: [value] for name, value in found.items()}))
    told = ", ".join(f"{widths} ({network})" for network, widths in WIDTHS.items())
    remark = f"Widths: {told}. Where nothing is resident, the step was compiled only."
    title = "Memory of a step: 50 images of MNIST and a pool of guesses"
    table = report.Table("evl_memory", title, COLUMNS, rows, [remark])
    configs = {network: to_json(config(network, experiment.guesses[0], experiment.chunk)) for network in WIDTHS}
    table.write(experiment.output_dir, {"chunk": experiment.chunk, "configs": configs})
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
