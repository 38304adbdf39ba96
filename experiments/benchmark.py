"""How fast: training steps against the same steps done otherwise, and how much memory they take.

    python -m pip install -e '.[benchmark]'                       # PyTorch; without it its rows say that it is missing
    python -m experiments.benchmark --out experiments/results     # the table there: about ten minutes on two CPU cores
    python -m experiments.benchmark --quick                       # small networks, a minute; proves nothing about speed

In every race the first line is jaxgen as `train` runs it: the program between two looks, with the data on the device.
The others take the same step on the same shapes with the same network. One run of each in turn is a repeat, so that
what else the machine does falls on all of them. Expect the paper's protocol at least twice as fast as in eager
PyTorch, and a chunked pool at least twice as fast as differentiating through all of it.
"""

import dataclasses
import importlib.util
import itertools
import multiprocessing
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments import report
from experiments.evl_swiss_roll import paper
from jaxgen import data, methods, nets, training
from jaxgen.data.tables import row_specs
from jaxgen.descent import torch_rmsprop

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
MISSING = "left out: PyTorch is not installed; python -m pip install -e '.[benchmark]' brings it."
PRODUCT, PRODUCTS = 1024, 20  # rows and columns of the matrices whose product measures the peak; how many a repeat


class Ready(NamedTuple):
    """A contender that can run.

    Attributes:
        run: takes the contender's steps, and waits for them.
        costs: what it cost to make it ready, by column: seconds to compile, bytes of XLA's temporaries.
    """

    run: Callable[[], Any]
    costs: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to take the steps of a race.

    Attributes:
        title: what is done, and by what.
        steps: taken by one run.
        flop: arithmetic of one step: 2 for each multiplication of matrix products and convolutions.
        prepare: makes it ready.
        asked: how many times as fast the race's first contender should be.
        torch: whether it needs PyTorch.
    """

    title: str
    steps: int
    flop: float
    prepare: Callable[[], Ready]
    asked: float | None = None
    torch: bool = False


def trained(config: jaxgen.Config) -> Ready:
    """Make ready what `train` does between two looks: `config.every` steps in one compiled program."""
    tables = config.data.tables()
    config = training._resolved(config, row_specs(tables))
    placed = config.layout.place(tables)
    state = config.layout.place(training._initial(config, tables))
    segment = jax.jit(config.layout.spread(training._segment(config)), donate_argnums=0)
    seeds, done = np.zeros(config.seeds, np.int32), 0
    begun = time.perf_counter()
    program = segment.lower(state, seeds, seeds, placed, np.int32(done)).compile()
    seconds = time.perf_counter() - begun

    def run() -> None:
        nonlocal state, done
        state, _ = training._advance(config, program, state, placed, done)
        done += config.every

    memory: Any = program.memory_analysis()
    return Ready(run, {"compile": seconds, "temporaries": memory.temp_size_in_bytes / 2**20})


def plain(config: jaxgen.Config, steps: int, make: Callable[[Any], Any], guesses: int) -> Ready:
    """Make ready the same step in eager PyTorch.

    Args:
        config: what jaxgen trains.
        steps: taken by one run.
        make: makes the loss, given parameters.
        guesses: rows of noise in one step.

    Returns:
        The contender, whose loss was compared with jaxgen's for the same parameters and the same noise.
    """
    import torch

    from experiments import eager

    (table,) = config.data.tables()
    method: Any = config.method.sized(*row_specs((table,)))
    key, x = jax.random.key(0), table[: config.batch_size]
    params = method.init(key, jnp.asarray(x)).params
    loss = make(params)
    noise = np.array(jax.random.normal(key, (guesses, method.latent_dim)))
    ours, theirs = float(method.loss(key, params, {}, jnp.asarray(x))[0]), eager.value(loss, noise, x)
    if not abs(ours - theirs) <= 1e-4 * abs(ours):
        raise SystemExit(f"the losses are {ours} and {theirs}: the contenders do not take the same step.")
    optimiser = torch.optim.RMSprop(loss.parameters(), lr=5e-4)
    batches = torch.tensor(table[: steps * config.batch_size]).split(config.batch_size)

    def run() -> None:
        for batch in batches:
            eager.descend(loss, optimiser, noise.shape, batch)

    return Ready(run, {})


def dense_products(widths: Sequence[int]) -> list[int]:
    """Return the multiplications that each layer takes for one row; the first width is the input's."""
    return [inputs * outputs for inputs, outputs in itertools.pairwise(widths)]


def image_products(latent_dim: int, widths: Sequence[int], channels: int) -> list[int]:
    """Return the multiplications that each layer of the image generator takes for one row."""
    found = []
    for block, (inputs, outputs) in enumerate(zip((latent_dim, *widths), widths, strict=False)):
        found += [9 * 4 ** (block + 1) * outputs * features for features in (inputs, outputs)]
    return [*found, 9 * 4 ** len(widths) * widths[-1] * channels]


def forward(rows: int, products: Sequence[int]) -> float:
    """Return the arithmetic of evaluating a network."""
    return 2.0 * rows * sum(products)


def backward(rows: int, products: Sequence[int]) -> float:
    """Return the arithmetic of its gradient: of every kernel, and of every layer's input but the noise."""
    return 2.0 * rows * (2 * sum(products) - products[0])


def own(quick: bool) -> list[Contender]:
    """The paper's protocol in low dimensions: 128 guesses of its own for each of 200 targets, five layers of 256."""
    steps, guesses, chunk, widths = (2, 4, 50, (16,) * 2) if quick else (5, 128, 10, (256,) * 5)
    published = dataclasses.replace(paper(0), steps=1000 * steps, every=steps)
    network = nets.MLP((*widths, 4))

    def of(chunk: int | None) -> jaxgen.Config:
        method: Any = published.method
        method = dataclasses.replace(method, generator=network, scheme=methods.Own(guesses, chunk))
        return dataclasses.replace(published, method=method)

    products, rows = dense_products((16, *network.widths)), published.batch_size * guesses
    flop = forward(rows, products) + backward(rows, products)

    def make(params: Any) -> Any:
        from experiments import eager

        return eager.Own(eager.adopt(eager.dense((16, *network.widths)), params["generator"]))

    title = f"{published.batch_size} targets x {guesses} guesses of their own"
    return [
        Contender(f"{title}: jaxgen, {chunk} targets at a time", steps, flop, lambda: trained(of(chunk))),
        Contender(f"{title}: jaxgen, all targets at once", steps, flop, lambda: trained(of(None))),
        Contender(
            f"{title}: eager PyTorch", steps, flop, lambda: plain(of(None), steps, make, rows), asked=2, torch=True
        ),
    ]


def pool(quick: bool) -> list[Contender]:
    """The paper's images: 512 guesses shared by 50 targets, made by ten convolutions, with a head of four layers."""
    widths, head, guesses, chunk, batch = (
        ((16, 8, 8, 4, 4), (8,), 32, 8, 10) if quick else ((512, 256, 128, 128, 64), (256,) * 4, 512, 64, 50)
    )
    shape, latent_dim, steps = (28, 28, 1), 2, 1
    pixels = np.random.default_rng(0).uniform(size=(10 * batch, *shape)).astype(np.float32)  # as good as any images

    def of(chunk: int | None) -> jaxgen.Config:
        method = methods.EVL(
            generator=nets.ConvGenerator(shape, widths),
            head=nets.MLP((*head, 1)),
            latent_dim=latent_dim,
            scheme=methods.Pool(guesses, chunk),
            optimiser=torch_rmsprop,
            learning_rate=5e-4,
            average=None,
        )
        return jaxgen.Config(method, data.Arrays(pixels), steps=1000, batch_size=batch, every=steps, shuffle=False)

    def make(params: Any) -> Any:
        from experiments import eager

        generator = eager.adopt(eager.convolutional(latent_dim, widths, shape), params["generator"])
        return eager.Pool(generator, eager.adopt(eager.dense((latent_dim, *head, 1)), params["head"]))

    images, logits = image_products(latent_dim, widths, shape[2]), dense_products((latent_dim, *head, 1))
    both = [*images, *logits]
    all_of_it = forward(guesses, both) + backward(guesses, images) + backward(guesses, logits)
    winners = forward(batch, both) + backward(batch, images) + backward(batch, logits)
    normaliser = 2 * forward(guesses, logits) + backward(guesses, logits)
    search = 2.0 * batch * guesses * pixels[0].size
    searched = forward(guesses, images) + winners + normaliser
    title = f"{batch} images, {guesses} shared guesses"
    return [
        Contender(f"{title}: jaxgen, {chunk} at a time", steps, searched + search, lambda: trained(of(chunk))),
        Contender(f"{title}: jaxgen, through all of it", steps, all_of_it + search, lambda: trained(of(None)), asked=2),
        Contender(
            f"{title}: eager PyTorch, through all of it",
            steps,
            all_of_it + search,
            lambda: plain(of(None), steps, make, guesses),
            torch=True,
        ),
    ]


ROWS: dict[str, Callable[[bool], list[Contender]]] = {"own": own, "pool": pool}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which races, how often."""

    rows: tuple[str, ...] = tuple(ROWS)
    """Races to run."""
    repeats: int = 7
    """Runs of each contender, in turns."""
    quick: bool = False
    """Small networks and three repeats: shows that it runs, not how fast."""
    out: pathlib.Path = pathlib.Path("runs/benchmark")
    """Where the table goes."""


def run(experiment: Experiment) -> report.Table:
    """Run every race, print the table, and write it."""
    if unknown := set(experiment.rows) - set(ROWS):
        raise SystemExit(f"there are no rows {sorted(unknown)}; choose from {', '.join(ROWS)}.")
    if experiment.quick:
        experiment = dataclasses.replace(experiment, repeats=3, out=experiment.out / "quick")
    rows, details = [], {}
    for name in experiment.rows:
        found, details[name] = race(name, experiment)
        rows += found
    remarks = [
        f"Medians of {experiment.repeats} repeats, in each of which every contender runs once, and between what they "
        "lie; `jaxgen is faster` compares the race's first line with the others, repeat by repeat.",
        "Arithmetic is that of the line's own matrix products and convolutions; the peak is the best rate of a "
        f"{PRODUCT} x {PRODUCT} matrix product in float32 that any library reached among "
        f"{PRODUCTS} between any two repeats: " + "; ".join(_told(name, details[name]) for name in details) + ".",
        "Peak resident memory is that of a fresh process that compiles and runs once.",
        "Where a library's own matrix products reach less than that peak, its line is slow for this reason too.",
    ]
    versions = {"torch": metadata.version("torch")} if _has_torch() else {}
    table = report.Table("benchmark", TITLE, COLUMNS, rows, [" ".join(remarks)], "repeats", "asked")
    print(f"\n{table}\n")
    table.write(experiment.out, {"versions": versions, "races": details})
    print(f"written: {experiment.out / 'benchmark'}.{{json,md}}")
    return table


def race(name: str, experiment: Experiment) -> tuple[list[report.Row], dict[str, Any]]:
    """Run one race.

    Returns:
        A line for each contender; and every repeat's seconds by clock and by all cores together, the peaks, how many
        cores were busy with other processes, and the machine's load before.
    """
    contenders = ROWS[name](experiment.quick)
    running = {place: c for place, c in enumerate(contenders) if not c.torch or _has_torch()}
    resident = {}
    for place in running:
        print(f"{contenders[place].title}: memory", flush=True)
        # A process of its own, for the peak of a process never falls.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            resident[place] = fresh.submit(weigh, name, place, experiment.quick).result()
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
    taken = {place: np.array(seconds[place]).T / contenders[place].steps for place in ready}
    rows = []
    for place, contender in enumerate(contenders):
        if place not in ready:
            rows.append(report.Row(contender.title, {}, {}, MISSING))
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
        rows.append(report.Row(contender.title, values, {} if contender.asked is None else {"times": contender.asked}))
    return rows, {"seconds": seconds, "peaks": peaks, "others": others, "load": load}


def weigh(name: str, place: int, quick: bool) -> list[float]:
    """Run one contender once, in a process of its own.

    Returns:
        MiB of the process when it was largest; nothing where the system does not tell.
    """
    ROWS[name](quick)[place].prepare().run()
    status = pathlib.Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _products() -> dict[str, Callable[[], Any]]:
    """A big matrix product in each library."""
    ones = np.ones((PRODUCT, PRODUCT), np.float32)
    mine, product = jnp.asarray(ones), jax.jit(jnp.matmul)
    found: dict[str, Callable[[], Any]] = {"JAX": lambda: product(mine, mine).block_until_ready()}
    if _has_torch():
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
