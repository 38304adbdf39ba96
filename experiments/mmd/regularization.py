"""What penalties on weights do to a map: DaRocha (2024), section 3, whose f1 with L2 collapsed to a single point.

    python -m experiments.mmd.regularization                                        # five seeds: 15 minutes on one core
    python -m experiments.mmd.regularization --output-dir experiments/results/mmd   # the committed table
    python -m experiments.mmd.regularization --quick                                # a minute

The report's network, optimizer and epochs map a normal distribution to a square, at the square's own bandwidth. The
penalty is L1 or L2 of three weights on the weight matrices, or dropout. The table has the map's accuracy, the size of
each layer's weights relative to their initial size, and the share of weights near zero. Where the gradient of the MMD
is too small to counter it, L2 alone shrinks weights by exp(-2 lambda x learning rate x steps): 0.85, 0.20 and 1e-7 for
0.001, 0.01 and 0.1.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import optax

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.mmd import map_tasks
from jaxgen import data, methods

TITLE = "f1, normal to square, with penalties on the weights"
LAYERS = ("first", "second", "third")
COLUMNS = [
    report.Column("own", "MMD^2, target's bandwidth", 4),
    report.Column("reported", f"MMD^2, bandwidth {map_tasks.BANDWIDTH}", 4),
    report.Column("narrow", "least std / target's"),
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Penalties, number of seeds, and length."""

    penalties: tuple[str, ...] = tuple(PENALTIES)  # rows of the table
    num_seeds: int = 5  # seeds, of data and training alike
    epochs: int = TASK.epochs  # of 8 minibatches of 100 points; the report's

    name = "mmd/regularization"
    choices = {"penalties": PENALTIES}
    small = {"epochs": 20}

    def config(self, penalty: str, seed: int) -> jaxgen.Config:
        """The report's network with a penalty."""
        method = methods.MMDMap(
            TASK.network,
            bandwidth=TASK.median,
            optimizer=optax.sgd,
            learning_rate=TASK.rate,
            **PENALTIES[penalty],  # type: ignore[arg-type]
        )
        tables = data.Zip((TASK.source(n=800, test_n=map_tasks.POINTS, seed=seed), TASK.target_points(800, seed)))
        return training.configure(method, tables, steps=8 * self.epochs, batch_size=100, seed=seed)

    def cells(self) -> Iterator[Cell]:
        """Every penalty and seed."""
        for penalty in self.penalties:
            for seed in self.seeds:
                config = self.config(penalty, seed)
                yield Cell(penalty, seed, functools.partial(measured, config), config)

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each penalty."""
        rows = [report.Row.of(penalty, cells, COLUMNS) for penalty, cells in results.items()]
        remark = (
            f"{TASK.network.widths} sigmoid units, plain SGD at {TASK.rate}, minibatches of 100 of 800 points, "
            f"{self.epochs} epochs. The share that is rejected is at least 0.05 for a perfect map."
        )
        configs = {penalty: jaxgen.to_json(self.config(penalty, self.first_seed)) for penalty in self.penalties}
        return [report.Table("regularization", TITLE, COLUMNS, rows, [remark], details={"configs": configs})]

    def figures(self, results: Results) -> None:
        """Mapped points and a histogram of the second layer's weights, of the first seed."""
        shown = {penalty: cells[0] for penalty, cells in results.items()}
        lines = -(-len(shown) // report.PANELS)
        with report.figure(self.results_directory / "regularization.png", 2 * lines, report.PANELS) as axes:
            for position, (penalty, cell) in enumerate(shown.items()):
                line, column = divmod(position, report.PANELS)
                top, bottom = axes[2 * line, column], axes[2 * line + 1, column]
                top.scatter(*np.array(cell["points"]).T, s=1)
                top.set(title=penalty, xlim=(-0.2, 1.2), ylim=(-0.2, 1.2))
                bottom.stairs(*cell["histogram"], fill=True)
                bottom.set(yscale="log", xlabel="weight, second layer")


def weights(params: Any) -> list[np.ndarray]:
    """Weight matrix of each layer, the first one first."""
    return [np.asarray(params[f"Dense_{layer}"]["kernel"], np.float64) for layer in range(len(LAYERS))]


def measured(config: jaxgen.Config, directory: pathlib.Path) -> dict[str, Any]:
    """Train, evaluate the map, and measure the weights."""
    result, _ = training.timed(config, directory)
    source, target = (dataset.test() for dataset in config.data.datasets)  # type: ignore[attr-defined]
    mapped = map_tasks.transported(result, source)
    learned = weights(result.state_of(0).train_state.params)
    # Relative to the standard deviation of the initial weights.
    size = lambda kernel: float(np.sqrt(np.mean(kernel**2) / (2 / len(kernel))))
    every_weight = np.concatenate([kernel.ravel() for kernel in learned])
    shares, edges = np.histogram(learned[1], BINS, (-0.5, 0.5))
    return {
        **map_tasks.evaluated(TASK, mapped, target, seed=config.seed),
        **{layer: size(kernel) for layer, kernel in zip(LAYERS, learned, strict=True)},
        "sparse": float(np.mean(np.abs(every_weight) < 1e-3)),
        "histogram": [shares.tolist(), edges.tolist()],
        "points": mapped[:1_000].tolist(),
    }


if __name__ == "__main__":
    experiment.main(Experiment)
