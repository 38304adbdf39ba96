"""What penalties on weights do to a map: DaRocha (2024), section 3, whose f1 with L2 came to lie in a single point.

    python -m experiments.mmd.regularization                       # five seeds: a quarter of an hour on one CPU core
    python -m experiments.mmd.regularization --output-dir experiments/results     # the table there
    python -m experiments.mmd.regularization --quick               # a minute

The report's network, optimiser and epochs carry a normal law to a square, at the square's own bandwidth, with L1 or L2
of three weights on the kernels, or dropout. Beside the map stand how much smaller each layer's weights became than they
were drawn, and how many are next to nothing. Where the discrepancy's gradient is too small to hold against it, L2 alone
shrinks weights by exp(-2 lambda x learning rate x steps), 0.85, 0.20 and 1e-7 for 0.001, 0.01 and 0.1.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments.common import cache, report, training
from experiments.mmd import map_tasks
from jaxgen import data, methods
from jaxgen.serialization.config_json import to_json

TITLE = "f1, normal to square, with penalties on the weights"
LAYERS = ("first", "second", "third")
COLUMNS = [
    report.Column("own", "MMD^2, target's bandwidth", 4),
    report.Column("reported", f"MMD^2, bandwidth {map_tasks.BANDWIDTH}", 4),
    report.Column("narrow", "least deviation / target's"),
    report.Column("rejected", "share of 20 tests rejected", 2),
    *(report.Column(layer, f"{layer} layer, rms / as drawn") for layer in LAYERS),
    report.Column("sparse", "share of weights below 0.001"),
]
PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    **{f"L1, {weight:g}": {"l1": weight} for weight in (0.001, 0.01, 0.1)},
    **{f"L2, {weight:g}": {"l2": weight} for weight in (0.001, 0.01, 0.1)},
    **{f"dropout, {share:g}": {"dropout": share} for share in (0.1, 0.5)},
}
TASK = map_tasks.TASKS["f1"]
BINS = 61  # of a histogram of weights


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which penalties, how many seeds, how long."""

    penalties: tuple[str, ...] = tuple(PENALTIES)
    """Rows of the table."""
    num_seeds: int = 5
    """How many seeds, of data and training alike."""
    first_seed: int = 0
    """The first of them."""
    epochs: int = TASK.epochs
    """Of 8 minibatches of 100 points; the report's."""
    quick: bool = False
    """A minute: one seed, 20 epochs."""
    cache_dir: pathlib.Path = pathlib.Path("runs/mmd/regularization")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/mmd/regularization")
    """Where the table and the figure go."""


def configure(experiment: Experiment, penalty: str, seed: int) -> jaxgen.Config:
    """Return what is trained."""
    method = methods.MMDMap(
        TASK.network,
        bandwidth=TASK.median,
        learning_rate=TASK.rate,
        **PENALTIES[penalty],  # type: ignore[arg-type]
    )
    tables = data.Zip((TASK.source(n=800, test_n=map_tasks.POINTS, seed=seed), TASK.aim(800, seed)))
    steps = 8 * experiment.epochs
    return jaxgen.Config(method, tables, steps=steps, batch_size=100, steps_per_call=training.segment(steps), seed=seed)


def weights(params: Any) -> list[np.ndarray]:
    """Return each layer's kernel, the first one first."""
    return [np.asarray(params[f"Dense_{at}"]["kernel"], np.float64) for at in range(len(LAYERS))]


def trained(experiment: Experiment, penalty: str, seed: int) -> dict[str, Any]:
    """Train, judge the map, and look at the weights."""
    config = configure(experiment, penalty, seed)
    identity = {"config": to_json(config), "test": map_tasks.identity(TASK)}
    where = cache.place(experiment.cache_dir, f"{penalty.replace(', ', '-')}-{seed}", identity)

    def compute() -> dict[str, Any]:
        result, _ = training.timed(config, where)
        source, aim = (each.test() for each in config.data.datasets)  # type: ignore[attr-defined]
        mapped = map_tasks.carried(result, source)
        learned = weights(result.state_of(0).trained.params)
        # As a share of what they are drawn with.
        size = lambda kernel: float(np.sqrt(np.mean(kernel**2) / (2 / len(kernel))))
        everyone = np.concatenate([kernel.ravel() for kernel in learned])
        shares, edges = np.histogram(learned[1], BINS, (-0.5, 0.5))
        return {
            **map_tasks.judged(TASK, mapped, aim, seed=seed),
            **{layer: size(kernel) for layer, kernel in zip(LAYERS, learned, strict=True)},
            "sparse": float(np.mean(np.abs(everyone) < 1e-3)),
            "histogram": [shares.tolist(), edges.tolist()],
            "points": mapped[:1_000].tolist(),
        }

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> report.Table:
    """Train and judge every cell, print the table, and write it with its figure."""
    if unknown := set(experiment.penalties) - set(PENALTIES):
        raise SystemExit(f"there are no penalties {sorted(unknown)}; choose from {'; '.join(PENALTIES)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment, num_seeds=1, epochs=min(experiment.epochs, 20), cache_dir=runs, output_dir=runs
        )
    rows, first = [], {}
    for penalty in experiment.penalties:
        cells = []
        for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
            print(f"{penalty}, seed {seed}", flush=True)
            cells.append(trained(experiment, penalty, seed))
        rows.append(report.Row.of(penalty, cells, COLUMNS))
        first[penalty] = cells[0]
    remarks = [
        f"{TASK.network.widths} sigmoid units, plain SGD at {TASK.rate}, minibatches of 100 of 800 points, "
        f"{experiment.epochs} epochs. The floor of the share that is rejected is 0.05.",
    ]
    table = report.Table("mmd_regularisation", TITLE, COLUMNS, rows, remarks)
    configs = {name: to_json(configure(experiment, name, experiment.first_seed)) for name in experiment.penalties}
    table.write(experiment.output_dir, {"configs": configs})
    draw(experiment.output_dir / "mmd_regularisation.png", first)
    return table


def draw(path: pathlib.Path, first: dict[str, dict[str, Any]]) -> None:
    """Draw what each penalty leaves of the map, and of the second layer's weights."""
    with report.figure(path, 2, len(first), size=2.4) as axes:
        for place, (penalty, cell) in enumerate(first.items()):
            axes[0, place].scatter(*np.array(cell["points"]).T, s=1)
            axes[0, place].set(title=penalty, xlim=(-0.2, 1.2), ylim=(-0.2, 1.2))
            shares, edges = cell["histogram"]
            axes[1, place].stairs(shares, edges, fill=True)
            axes[1, place].set(yscale="log", xlabel="weight, second layer")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
