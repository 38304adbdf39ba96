"""Densities of two- and three-dimensional shapes and of tables, learned by `methods.Flow` with its defaults.

    python -m experiments.flows.densities                          # five seeds: about two hours on one CPU core
    python -m experiments.flows.densities --peer-seeds 2 --output-dir experiments/results/flows  # committed: 5 shapes
    python -m experiments.flows.densities --quick                  # a minute

The affine couplings of `nets.dense_flow`, trained in the same way, show what the splines bring. FlowJAX's flow of
spline couplings is trained for as many steps on as many points. Other points of the shape instead of samples
are the floor, and an untrained flow is the control. The defaults were chosen on the first five shapes, those of
`experiments.flows.shapes.CHOOSING`, on seed 100, and on two tables that are not here; nothing was chosen on the others.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.spatial

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.flows import density_peers
from experiments.flows.density_tables import TABLES, Table, gaussian_nll
from experiments.flows.shapes import CHOOSING, SHAPES, Sampled
from jaxgen import data, methods, metrics, nets

COLUMNS = [
    report.Column("excess", "NLL above the truth's, nats"),
    report.Column("nll", "NLL, nats"),
    report.Column("off_data", "off the data"),
    report.Column("missed", "data missed"),
    report.Column("farthest", "farthest sample, diameters", 2),
    report.Column("accepted", "not rejected at 0.05", 2),
    report.Column("seconds", "processor seconds", 0),
]
TABLE_COLUMNS = [report.Column("nll", "test NLL, nats"), report.Column("seconds", "processor seconds", 0)]
COMPARED = 1_000  # samples and points that are compared
QUANTILE = 0.99  # distances beyond this quantile of the data's own are far
KINDS = ("truth", "spline", "affine", "FlowJAX", "untrained")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Shapes, tables, flows, number of seeds, and length."""

    shapes: tuple[str, ...] = tuple(SHAPES)  # shapes to learn
    tables_learned: tuple[str, ...] = tuple(TABLES)  # tables to learn
    kinds: tuple[str, ...] = KINDS  # flows to compare
    num_seeds: int = 5  # seeds, of data and training alike
    peer_seeds: int = 5  # at most this number of seeds of affine couplings and FlowJAX on shapes
    table_seeds: int = 5  # at most this number of seeds on tables
    points: int = 50_000  # training points of a shape
    steps: int = 10_000  # training steps on a shape, of 200 points each; the defaults of `jaxgen.Config`
    table_steps: int = 100  # training steps on a table, of at most 200 rows each

    name = "flows/densities"
    choices = {"shapes": SHAPES, "tables_learned": TABLES, "kinds": KINDS}
    small = {"shapes": slice(2), "tables_learned": slice(1), "steps": 20, "table_steps": 20, "points": 2_000}

    def cells(self) -> Iterator[Cell]:
        """Each shape by each flow, then each table by each coupling."""
        for seed in self.seeds:
            for name in self.shapes:
                for kind in self.kinds:
                    if kind not in ("affine", "FlowJAX") or seed - self.first_seed < self.peer_seeds:
                        yield self._shape_cell(name, kind, seed)
            for name in self.tables_learned if seed - self.first_seed < self.table_seeds else ():
                table = Table(name, seed)
                size = min(200, len(table.tables()[0]))
                for kind in ("spline", "affine"):
                    config = training.configure(
                        _method(kind, table), table, steps=self.table_steps, batch_size=size, seed=seed, calls=5
                    )
                    measure = functools.partial(measure_table, config, table.test())
                    yield Cell(f"{name}: {kind}", seed, measure, config)
                yield Cell(f"{name}: one Gaussian", seed, functools.partial(measure_gaussian, table))

    def tables(self, results: Results) -> list[report.Table]:
        """Densities of shapes, and of tables."""
        in_order = [f"{name}: {kind}" for name in self.shapes for kind in self.kinds]
        rows = [report.Row.of(title, results[title], COLUMNS) for title in in_order if title in results]
        chosen = ", ".join(name for name in self.shapes if name in CHOOSING)
        remark = (
            f"{self.points} points, {self.steps} steps. Truth: other points of the shape. Off the data, and data "
            "missed: share of 1,000 samples (points) whose nearest point (sample) is farther than 99 % of points are "
            "from others. Not rejected: share of seeds whose 1,000 samples the two-sample test does not distinguish "
            f"from 1,000 points. The defaults were chosen on other seeds of these shapes: {chosen}."
        )
        details = {"steps": self.steps, "table_steps": self.table_steps, "points": self.points}
        shown = [report.Table("densities", "Flows of shapes", COLUMNS, rows, [remark], details=details)]
        kinds = ("spline", "affine", "one Gaussian")
        titles = [f"{name}: {kind}" for name in self.tables_learned for kind in kinds]
        rows = [report.Row.of(title, results[title], TABLE_COLUMNS) for title in titles if title in results]
        remark = f"A test of 30 % of the rows, columns standardized; {self.table_steps} steps of at most 200 rows."
        return [*shown, report.Table("densities_tables", "Flows of tables", TABLE_COLUMNS, rows, [remark])]

    def _shape_cell(self, name: str, kind: str, seed: int) -> Cell:
        table = Sampled(name, self.points, seed)
        method = _method(kind, table)
        config = training.configure(method, table, steps=self.steps, batch_size=200, seed=seed, calls=5)
        settings = {"kind": kind, "points": self.points, "steps": self.steps}
        measure = functools.partial(MEASURES[kind], config, kind)
        trained = config if kind in ("spline", "affine") else None
        return Cell(f"{name}: {kind}", seed, measure, trained, settings)


def _method(kind: str, table: data.Dataset) -> methods.Flow:
    """Return the default, or the same with the affine couplings of `nets.dense_flow`."""
    return methods.Flow(nets.dense_flow(table.tables()[0].shape[1])) if kind == "affine" else methods.Flow()


def measure_flow(config: jaxgen.Config, kind: str, directory: pathlib.Path) -> dict[str, Any]:
    """Train a flow, or leave it untrained, and evaluate its density and samples."""
    start = time.process_time()
    result, whole = training.timed(config, directory, train=kind != "untrained")
    # A resumed run has no time.
    seconds = {"seconds": time.process_time() - start} if kind != "untrained" and whole else {}
    draw = lambda n: np.asarray(result.sample(training.fresh_key(config.seed), n)[0], np.float64)
    log_prob = lambda x: -np.asarray(result.scores(np.asarray(x, np.float32))["nll"][0])
    return seconds | evaluated(_sampled(config), draw, log_prob)


def measure_peer(config: jaxgen.Config, kind: str, directory: pathlib.Path) -> dict[str, Any]:
    """Train and evaluate FlowJAX's flow of spline couplings."""
    start = time.process_time()
    draw, log_prob = density_peers.trained(config)
    seconds = {"seconds": time.process_time() - start}
    return seconds | evaluated(_sampled(config), draw, log_prob)


def measure_truth(config: jaxgen.Config, kind: str, directory: pathlib.Path) -> dict[str, Any]:
    """Evaluate other points of the shape in place of samples."""
    shape = SHAPES[_sampled(config).shape]
    return evaluated(_sampled(config), functools.partial(shape.draw, config.seed + 3_000), None)


MEASURES: dict[str, Callable[..., dict[str, Any]]] = {
    "truth": measure_truth,
    "spline": measure_flow,
    "affine": measure_flow,
    "untrained": measure_flow,
    "FlowJAX": measure_peer,
}


def evaluated(
    table: Sampled,
    draw: Callable[[int], np.ndarray],
    log_prob: Callable[[np.ndarray], np.ndarray] | None,
) -> dict[str, float]:
    """Compare samples and log-densities, by default the shape's own, with points that were not trained on."""
    shape = SHAPES[table.shape]
    points = shape.draw(table.seed + 1_000, 10_000)
    samples = draw(10_000)
    truth = shape.log_density(points)
    found = {} if log_prob is None else {"nll": -float(np.mean(log_prob(points), dtype=np.float64))}
    if truth is not None:
        entropy = -float(truth.mean())
        found = {"excess": found["nll"] - entropy} | found if found else {"nll": entropy}
    data_part, other, drawn = points[:COMPARED], points[COMPARED : 2 * COMPARED], samples[:COMPARED]
    far = lambda x, pool, own: float(np.mean(_distance(x, pool) > np.quantile(own, QUANTILE)))
    test = metrics.permutation_test(drawn, other, num_permutations=199, seed=table.seed)
    diameter = scipy.spatial.distance.pdist(points[:COMPARED]).max()
    return {
        **found,
        "off_data": far(drawn, data_part, _distance(other, data_part)),
        "missed": far(data_part, drawn, _distance(data_part, other)),
        "farthest": float(_distance(samples, points).max() / diameter),
        "p_value": test.p_value,
        "accepted": float(test.p_value >= 0.05),
    }


def _sampled(config: jaxgen.Config) -> Sampled:
    table = config.data
    assert isinstance(table, Sampled)
    return table


def _distance(x: np.ndarray, pool: np.ndarray) -> np.ndarray:
    return scipy.spatial.cKDTree(pool).query(x)[0]


def measure_table(config: jaxgen.Config, test: np.ndarray, directory: pathlib.Path) -> dict[str, Any]:
    """Train a flow on a table, and return the test rows' mean negative log-likelihood."""
    start = time.process_time()
    result, whole = training.timed(config, directory)
    seconds = {"seconds": time.process_time() - start} if whole else {}
    log_prob = jax.jit(functools.partial(result.config.method.log_prob, result.state_of(0)))
    return {"nll": -float(jnp.mean(log_prob(jnp.asarray(test))))} | seconds


def measure_gaussian(table: Table, directory: pathlib.Path) -> dict[str, Any]:
    """Return the same of one Gaussian with the training rows' mean and covariance."""
    return {"nll": gaussian_nll(table.tables()[0], table.test())}


if __name__ == "__main__":
    experiment.main(Experiment)
