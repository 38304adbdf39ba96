"""Data larger than memory: steps per second of a stream next to the same data in memory, and the memory of a process.

    python -m experiments.speed.streams                     # about ten minutes on two CPU cores, and 6 GB of disk
    python -m experiments.speed.streams --output-dir experiments/results/speed     # the committed tables
    python -m experiments.speed.streams --quick             # a small file; the numbers mean nothing

A file of random rows of 784 numbers is written to a temporary directory, and removed at the end. Its first part is
trained on in three ways, in turns: as `data.Arrays` in memory, as `data.Stream` of the memory-mapped file, and fed by
PyTorch's `DataLoader`, which reads the same file, to the same compiled program. Then a fresh process trains on the
whole file. The aims are 0.9 of the speed in memory, at least that of the `DataLoader`, and 1.5 GiB of resident memory.
"""

import dataclasses
import functools
import importlib.util
import itertools
import pathlib
import resource
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import numpy as np

import jaxgen
from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.negvae import ood_evaluation
from jaxgen import data, methods, nets
from jaxgen.data.stream_table import in_memory
from jaxgen.parallel import Layout
from jaxgen.training.compilation import programs, root_keys, start_arguments
from jaxgen.training.feed import Feed
from jaxgen.training.loop import run_segment
from jaxgen.training.preparation import prepared

WIDTH, CLASSES = 784, 10  # numbers of a row, and labels
MODELS = {"MLP": (256, 100, 1), "28 x 28 VAE": (64, 10, 5)}  # batch, steps of a call, and by how much fewer calls
FEEDS = {"in memory": None, "stream": None, "DataLoader": 0, "DataLoader, 2 workers": 2}
CHUNK = 10_000  # rows written at a time
SPEED = [
    report.Column("rate", "steps/s", 1, report.median_and_range),
    report.Column("cores", "core ms per step", 2, report.median_and_range),
    report.Column("ratio", "speed / in memory", 2, report.median_and_range),
    report.Column("loader", "speed / DataLoader", 2, report.median_and_range),
    report.Column("waiting", "waiting for data, %", 1, report.median_and_range),
]
MEMORY = [
    report.Column("rate", "steps/s", 1),
    report.Column("file", "file, MiB", 0),
    report.Column("read", "of it read, MiB", 0),
    report.Column("before", "resident before, MiB", 0),
    report.Column("resident", "peak resident, MiB", 0),
    report.Column("anonymous", "peak anonymous, MiB", 0),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Models, size of the file, and repeats."""

    models: tuple[str, ...] = tuple(MODELS)  # models to train
    rows: int = 1_920_000  # rows of the file, 3,136 bytes each
    part: int = 320_000  # rows of the file of the comparison
    calls: int = 6  # compiled calls of a repeat
    repeats: int = 3  # each feed, in turns

    name = "speed/streams"
    choices = {"models": MODELS}
    small = {"models": slice(1), "rows": 2_000, "part": 2_000, "calls": 1, "repeats": 1}

    def cells(self) -> Iterator[Cell]:
        """A comparison and a process with the whole file for each model."""
        for model in self.models:
            sizes: dict[str, Any] = {"part": self.part, "calls": self.calls, "repeats": self.repeats}
            yield Cell(model, self.first_seed, functools.partial(compared, model, **sizes), settings=sizes)
            sizes = {"rows": self.rows, "calls": 3 * self.calls}
            whole = functools.partial(of_whole_file, model, **sizes)
            yield Cell(f"{model}, whole file", self.first_seed, whole, settings=sizes)

    def tables(self, results: Results) -> list[report.Table]:
        """Speeds, and memory."""
        speeds = [
            report.Row(f"{model}, {feed}", cells[0][feed])
            for model, cells in results.items()
            if model in MODELS
            for feed in cells[0]
        ]
        whole = [report.Row.of(model, cells, MEMORY) for model, cells in results.items() if model not in MODELS]
        turns = (
            f"Medians and ranges of {self.repeats} repeats in turns. Speeds are divided by those of the same turn, and "
            "that of the DataLoader is the better of both. Core time is that of training and of reading together; "
            "workers are not included."
        )
        peak = (
            "The peak counts pages of the file that are mapped at that moment, and the libraries. Anonymous memory is "
            "what the process has of its own."
        )
        return [
            report.Table("streams", "Steps per second by how the data arrive", SPEED, speeds, [turns], "repeats"),
            report.Table("streams_memory", "Memory of a process that trains on a file", MEMORY, whole, [peak]),
        ]


def config(model: str, rows: Any, calls: int) -> jaxgen.Config:
    """Return the training of a model: a classifier of dense layers, or the convolutional autoencoder."""
    batch_size, steps, fewer = MODELS[model]
    method: Any = methods.Classifier(nets.MLP((512, 512, CLASSES)), CLASSES)
    if model != "MLP":
        method = ood_evaluation.grayscale(methods.Bernoulli(), None)
    # One more call is not timed, and one more is read ahead.
    count = steps * (max(calls // fewer, 1) + 2)
    one = Layout(devices=1)
    return jaxgen.Config(method, rows, steps=count, steps_per_call=steps, batch_size=batch_size, layout=one)


def opened(model: str, folder: str, mode: Literal["r"] | None) -> Any:
    """Return the rows of the file as a model trains on them: memory-mapped, or in memory if the mode is None."""
    x = np.load(f"{folder}/x.npy", mmap_mode=mode)
    return (x, np.load(f"{folder}/labels.npy")) if model == "MLP" else x.reshape(-1, 28, 28, 1)


def write(folder: pathlib.Path, rows: int) -> None:
    """Write random rows and labels in pieces."""
    random = np.random.default_rng(0)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (rows, WIDTH))
    for start in range(0, rows, CHUNK):
        x[start : start + CHUNK] = random.random((min(CHUNK, rows - start), WIDTH), np.float32)
    np.save(folder / "labels.npy", random.integers(0, CLASSES, rows))


def compared(model: str, directory: pathlib.Path, *, part: int, calls: int, repeats: int) -> dict[str, Any]:
    """Compare the ways in which data arrive, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), part)
        return dict(resources.in_fresh_process(race, model, folder, calls, repeats))


def race(model: str, folder: str, calls: int, repeats: int) -> dict[str, dict[str, list[float]]]:
    """Train in turns, to be called in a process of its own.

    Returns:
        Measures of each feed, one number per repeat.
    """
    feeds = [feed for feed in FEEDS if "DataLoader" not in feed or importlib.util.find_spec("torch")]
    runs = {feed: runner(feed, model, folder, calls) for feed in feeds}
    measured: dict[str, list[dict[str, float]]] = {feed: [] for feed in feeds}
    for _ in range(repeats):
        for feed, run in runs.items():
            measured[feed].append(run())
    best = lambda turn: max((found[turn]["rate"] for feed, found in measured.items() if "Data" in feed), default=np.nan)
    for turn in range(repeats):
        memory, loader = measured["in memory"][turn]["rate"], best(turn)
        for found in measured.values():
            found[turn] |= {"ratio": found[turn]["rate"] / memory, "loader": found[turn]["rate"] / loader}
    return {
        feed: {column.name: [one[column.name] for one in found] for column in SPEED} for feed, found in measured.items()
    }


def runner(feed: str, model: str, folder: str, calls: int) -> Callable[[], dict[str, float]]:
    """Compile a training, and return a function that runs it and measures."""
    workers = FEEDS[feed]
    rows = opened(model, folder, None if feed == "in memory" else "r")
    run = prepared(config(model, data.Arrays(rows) if feed == "in memory" else data.Stream(rows), calls))
    examples = Examples(model, folder)
    trained, roots = run.config, root_keys(run.config)
    compiled, placed = programs(trained), trained.layout.place(in_memory(run.tables))
    begun = trained.layout.place(compiled.start(*start_arguments(trained, roots, run.tables)))

    def measure() -> dict[str, float]:
        state, waited = begun, 0.0
        with Feed(trained, roots, run.tables, 0) if workers is None else Loader(trained, examples, workers) as feed:
            for done in range(0, trained.steps - trained.steps_per_call, trained.steps_per_call):
                if done == trained.steps_per_call:
                    jax.block_until_ready(state)
                    feed.stalled()
                    clock, used = time.perf_counter(), _cores()
                state, _ = run_segment(trained, compiled.segment, state, roots, placed, done, None, feed(done))
            jax.block_until_ready(state)
            waited = feed.stalled() or 0.0
            seconds, cores = time.perf_counter() - clock, _cores() - used
        steps = trained.steps - 2 * trained.steps_per_call
        return {"rate": steps / seconds, "cores": 1e3 * cores / steps, "waiting": 100 * waited}

    return measure


class Examples:
    """Rows by number, as `torch.utils.data.Dataset`; each process maps the file itself."""

    def __init__(self, model: str, folder: str) -> None:
        self._model, self._folder, self._rows = model, folder, None

    def _opened(self) -> Any:
        if self._rows is None:
            self._rows = opened(self._model, self._folder, "r")
        return self._rows

    def __len__(self) -> int:
        return len(jax.tree.leaves(self._opened())[0])

    def __getitem__(self, number: int) -> Any:
        return jax.tree.map(lambda part: np.array(part[number]), self._opened())


class Loader:
    """Minibatches of PyTorch's `DataLoader` for the same compiled program, with the interface of `Feed`."""

    def __init__(self, config: jaxgen.Config, examples: Examples, workers: int) -> None:
        from torch.utils.data import DataLoader

        self._config, self._waited, self._since = config, 0.0, time.perf_counter()
        # Workers are spawned, since a fork of a process that uses JAX may hang.
        more = {"multiprocessing_context": "spawn", "persistent_workers": True} if workers else {}
        loader: Any = DataLoader(
            examples,
            config.batch_size,
            shuffle=True,
            num_workers=workers,
            drop_last=True,
            **more,
        )
        self._batches = itertools.chain.from_iterable(itertools.repeat(loader))  # epoch after epoch

    def __call__(self, done: int) -> tuple[Any, ...]:
        """Return the minibatches of one call."""
        begun = time.perf_counter()
        batches = [jax.tree.map(np.asarray, next(self._batches)) for _ in range(self._config.steps_per_call)]
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves)[None, None], *batches)
        stacked = jax.tree.map(lambda leaf: leaf.astype(jax.dtypes.canonicalize_dtype(leaf.dtype)), stacked)
        self._waited += time.perf_counter() - begun
        return (self._config.layout.place_split(tuple(stacked) if isinstance(stacked, list) else stacked),)

    def stalled(self) -> float:
        """Return the share of time spent waiting since the last call of this."""
        now = time.perf_counter()
        share, self._waited, self._since = self._waited / (now - self._since), 0.0, now
        return share

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        del self._batches  # ends the workers


def of_whole_file(model: str, directory: pathlib.Path, *, rows: int, calls: int) -> dict[str, Any]:
    """Train on a file in a fresh process, and measure its memory."""
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), rows)
        return dict(resources.in_fresh_process(memory, model, folder, calls))


def memory(model: str, folder: str, calls: int) -> dict[str, float]:
    """Return the peak memory of a training, to be called in a process of its own."""
    rows = opened(model, folder, "r")
    whole = config(model, data.Stream(rows), calls)
    before, peak, ended = _resident("VmRSS"), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            peak[0] = max(peak[0], _resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    times: list[float] = []
    try:
        jaxgen.train(whole, progress=False, callback=lambda step, result: times.append(time.perf_counter()))
    finally:
        ended.set()
        watcher.join()
    rate = (len(times) - 1) * whole.steps_per_call / (times[-1] - times[0])
    read = whole.steps * whole.batch_size * 4 * WIDTH / 2**20
    sizes = {"file": jax.tree.leaves(rows)[0].nbytes / 2**20, "read": read, "before": before, "anonymous": peak[0]}
    return {"rate": rate, "resident": _resident("VmHWM"), **sizes}


def _cores() -> float:
    """Return the seconds that all cores have worked for this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident(name: str) -> float:
    """Return a line of /proc/self/status in MiB."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    experiment.main(Experiment)
