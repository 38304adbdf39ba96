"""Outliers drawn from the edge of a flow's latent space, and what learns from them: Bungert (2021), section 4.1.

    python -m experiments.flows.outliers                           # five seeds: half an hour on one CPU core
    python -m experiments.flows.outliers --output-dir experiments/results     # the table and figures there
    python -m experiments.flows.outliers --quick                   # a minute

The thesis shows pictures alone, of three Gaussians and of two moons; here every claim is a number. A flow of all rows,
and one with a law for each class, learn the inliers. From as many outliers of each sampler a discriminator learns to
tell them from inliers, and a classifier to be unsure of them; both then meet outliers that neither has seen: in a
square, on a ring, in the gaps within the data's hull, of the other law, and wide noise, of which what lies inside the
true region of 99 % is left out. Beside them stand the flow's density, a plain classifier's doubt, the distance to the
fifth neighbour, the true density, and networks that learned nothing. Settings were chosen on seeds 100 and 101.
"""

import dataclasses
import functools
import hashlib
import inspect
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from sklearn.neighbors import NearestNeighbors

import jaxgen
from experiments.common import cache, report, training
from experiments.flows import outlier_samplers, outliers_report, toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS, Flows
from jaxgen import data, methods, metrics, nets, optim
from jaxgen.serialization.config_json import to_json

TITLE = "Outliers from the latent edge, and who learns from them"
TRAINING, HELD_OUT, TESTED = 5_000, 1_000, 5_000  # rows of each seed


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which laws and samplers, how many seeds, how long."""

    laws: tuple[str, ...] = tuple(toy_distributions.LAWS)
    """Laws of the inliers."""
    samplers: tuple[str, ...] = tuple(SAMPLERS)
    """Laws of the outliers to learn from."""
    num_seeds: int = 5
    """How many seeds, of data and training alike."""
    first_seed: int = 0
    """The first of them."""
    depth: int = 8
    """Couplings of a flow."""
    steps: int = 1_000
    """Of a flow, 512 rows each."""
    judging: int = 1_500
    """Steps of a discriminator or classifier, 256 rows of each table each."""
    quick: bool = False
    """A minute: one seed, few steps, small flows, two samplers."""
    cache_dir: pathlib.Path = pathlib.Path("runs/flows/outliers")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/flows/outliers")
    """Where the tables and figures go."""


class Rows:
    """All rows of one law and seed: to learn from, held out, tested, and strange ones by kind."""

    def __init__(self, name: str, seed: int) -> None:
        self.law = toy_distributions.LAWS[name]
        generator = np.random.default_rng([seed, list(toy_distributions.LAWS).index(name)])
        draw = lambda n: self.law.draw(generator, n)
        (self.x, self.labels), (self.held_out, _), (self.test, self.truth) = map(draw, (TRAINING, HELD_OUT, TESTED))
        self.x, self.held_out = self.x.astype(np.float32), self.held_out.astype(np.float32)
        self.strange = {}
        for kind, drawn in toy_distributions.STRANGE.items():
            rows = drawn(self.law, generator, 6 * TESTED)
            rows = rows[self.law.log_density(rows) < self.law.bound(0.01)][:TESTED]
            if len(rows) > TESTED // 10:  # between the three Gaussians there is no gap
                self.strange[kind] = rows


@functools.lru_cache(2)
def drawn(name: str, seed: int) -> Rows:
    """Return the rows of one law and seed."""
    return Rows(name, seed)


def configure(experiment: Experiment, method: Any, tables: Any, steps: int, rows: int, seed: int) -> jaxgen.Config:
    """Return what is trained."""
    return jaxgen.Config(
        method, tables, steps=steps, batch_size=rows, steps_per_call=training.segment(steps, 5), seed=seed
    )


@functools.lru_cache(2)
def learned(experiment: Experiment, name: str, seed: int) -> Flows:
    """Return both flows of one law and seed, trained, or loaded where they are kept."""
    rows, schedule = drawn(name, seed), optim.Cosine(2e-3, experiment.steps)
    found: list[tuple[Any, Any]] = []
    for classes in (0, rows.law.classes):
        network = nets.dense_flow(2, depth=experiment.depth)
        flow = methods.Flow(network, classes=classes, learning_rate=schedule)
        table = data.Arrays((rows.x, rows.labels) if classes else rows.x)
        config = configure(experiment, flow, table, experiment.steps, 512, seed)
        label = f"{name}-{'classes' if classes else 'all'}-{seed}".replace(" ", "-")
        result, _ = training.timed(config, cache.place(experiment.cache_dir, label, {"config": to_json(config)}))
        found.append((result.config.method, result.state_of(0)))
    below = lambda flow, state: float(np.quantile(jax.jit(flow.log_prob)(state, jnp.asarray(rows.held_out)), 0.01))
    return Flows(found[0], found[1], (below(*found[0]), below(*found[1])), rows.x)


def quality(flows: Flows, rows: Rows) -> dict[str, float]:
    """Return the divergence of the truth from each flow in nats, on the tested rows, and the error of the inverse."""
    test = jnp.asarray(rows.test, jnp.float32)
    truth = rows.law.log_density(rows.test).mean()
    divergence = lambda flow, state: float(truth - jnp.mean(jax.jit(flow.log_prob)(state, test)))
    found = {"kl": divergence(*flows.plain), "kl by class": divergence(*flows.by_class)}
    return found | inversion(*flows.plain, rows.test)


def inversion(flow: Any, state: Any, x: np.ndarray) -> dict[str, float]:
    """Return how far rows are moved by the flow and its inverse: the median in single precision, the most in double."""
    there_and_back = lambda state, x: jnp.linalg.norm(flow.decode(state, flow.encode(state, x)) - x, axis=1)
    single = np.asarray(jax.jit(there_and_back)(state, jnp.asarray(x, jnp.float32)))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), state.params)
        double = np.asarray(jax.jit(there_and_back)(state._replace(params=wide), jnp.asarray(x, jnp.float64)))
    return {"error in single": float(np.median(single)), "error in double": float(double.max())}


def judged(scores: Any, rows: Rows) -> dict[str, Any]:
    """Judge a score, a function of rows `[n, 2]` to `[n]`, higher for outliers."""
    inliers = np.asarray(scores(rows.test), np.float64)
    found: dict[str, Any] = {}
    of_all, by_kind = [], {kind: np.asarray(scores(x), np.float64) for kind, x in rows.strange.items()}
    for kind, outliers in by_kind.items():
        told = metrics.detection(inliers, outliers)
        found[kind] = told.auroc
        of_all.append([told.auroc, told.auprc, metrics.detection(-outliers, -inliers).auprc, told.fpr])
    return found | dict(zip(("auroc", "auprc", "auprc_in", "fpr"), np.mean(of_all, 0).tolist(), strict=True))


def classified(method: Any, state: Any, rows: Rows) -> dict[str, Any]:
    """Judge a classifier: its doubt as a score, and its classes."""
    program = jax.jit(lambda x: method.log_probabilities(state, x))
    p = lambda x: np.exp(np.asarray(program(jnp.asarray(x, jnp.float32)), np.float64))
    entropy = lambda x: -np.mean(np.sum(p(x) * np.log(np.maximum(p(x), 1e-30)), 1)) / np.log(rows.law.classes)
    return {
        **judged(lambda x: 1 - p(x).max(1), rows),
        "accuracy": float(np.mean(p(rows.test).argmax(1) == rows.truth)),
        "ece": metrics.calibration_error(p(rows.test), rows.truth),
        "entropy": float(np.mean([entropy(x) for x in rows.strange.values()])),
    }


def scorer(method: Any, state: Any, name: str) -> Any:
    """Return a method's score as a compiled function of rows."""
    program = jax.jit(lambda x: method.scores(state, x)[name])
    return lambda x: program(jnp.asarray(x, jnp.float32))


def networks(rows: Rows, *, uniformity_weight: float) -> tuple[Any, Any]:
    """Return a discriminator and a classifier of this law."""
    return (
        methods.OutlierDiscriminator(nets.MLP((128, 128, 1), hidden=nets.torch_uniform), ema_decay=0.99),
        methods.Classifier(
            nets.MLP((128, 128, rows.law.classes), hidden=nets.torch_uniform),
            rows.law.classes,
            uniformity_weight,
            ema_decay=0.99,
        ),
    )


def baselines(experiment: Experiment, name: str, seed: int) -> dict[str, dict[str, Any]]:
    """Judge what learns from no outliers, and what has learned nothing."""
    rows = drawn(name, seed)
    flows = learned(experiment, name, seed)
    _, classifier = networks(rows, uniformity_weight=0.0)
    config = configure(experiment, classifier, data.Arrays((rows.x, rows.labels)), experiment.judging, 256, seed)
    result = jaxgen.train(config, progress=False)
    neighbours = NearestNeighbors(n_neighbors=5).fit(rows.x)
    both = data.Zip((data.Arrays(rows.x), data.Arrays(rows.x)))  # it learns from neither
    fresh = training.untrained(configure(experiment, networks(rows, uniformity_weight=0.0)[0], both, 5, 256, seed))
    found = {
        "flow": {**judged(scorer(*flows.plain, "nll"), rows), **quality(flows, rows)},
        "flow by class": judged(scorer(*flows.by_class, "nll"), rows),
        "plain classifier": classified(result.config.method, result.state_of(0), rows),
        "neighbours": judged(lambda x: neighbours.kneighbors(np.asarray(x, np.float32))[0][:, -1], rows),
        "truth": judged(lambda x: -rows.law.log_density(x), rows),
        "untrained": judged(scorer(*fresh, "logit"), rows),
    }
    if seed == experiment.first_seed:
        found["pictures"] = outliers_report.pictured(flows, result, rows)
    return found


def taught(experiment: Experiment, name: str, seed: int, sampler: str) -> dict[str, Any]:
    """Draw outliers, let both networks learn from them, and judge these."""
    rows = drawn(name, seed)
    flows = learned(experiment, name, seed)
    key = jax.random.fold_in(jax.random.key(seed), 7)
    outliers = np.asarray(SAMPLERS[sampler].draw(key, flows, rows.law, TRAINING), np.float32)
    inside = float(np.mean(rows.law.log_density(outliers) > rows.law.bound(0.05)))
    found: dict[str, Any] = {"points": outliers[:500].tolist()}
    discriminator, classifier = networks(rows, uniformity_weight=1.0)
    for kind, method, table in (
        ("discriminator", discriminator, data.Arrays(rows.x)),
        ("classifier", classifier, data.Arrays((rows.x, rows.labels))),
    ):
        both = data.Zip((table, data.Arrays(outliers)))
        result = jaxgen.train(configure(experiment, method, both, experiment.judging, 256, seed), progress=False)
        method, state = result.config.method, result.state_of(0)
        judge = (
            classified(method, state, rows) if kind == "classifier" else judged(scorer(method, state, "logit"), rows)
        )
        found[kind] = {**judge, "contamination": inside}
        if seed == experiment.first_seed:
            found[kind]["map"] = outliers_report.mapped(method, state)
    return found


def cell(experiment: Experiment, name: str, seed: int, part: str) -> dict[str, Any]:
    """Return a cell, computed or as it was kept."""
    identity = {"part": part, "law": name, "seed": seed, "steps": [experiment.steps, experiment.judging]}
    identity |= {
        "depth": experiment.depth,
        "first": seed == experiment.first_seed,
        "rows": [TRAINING, HELD_OUT, TESTED],
    }
    identity["networks"] = [to_json(network) for network in networks(drawn(name, seed), uniformity_weight=1.0)]
    # What laws and samplers draw is code and not a config.
    code = inspect.getsource(toy_distributions) + inspect.getsource(outlier_samplers)
    identity["drawn"] = hashlib.sha256(code.encode()).hexdigest()
    where = cache.place(experiment.cache_dir, f"{name}-{part}-{seed}".replace(" ", "-").replace(",", ""), identity)

    def compute() -> dict[str, Any]:
        if part == "baselines":
            return baselines(experiment, name, seed)
        return taught(experiment, name, seed, part)

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> report.Table:
    """Train and judge every cell, print the table and the answers, and write them with their figures."""
    for asked, known in ((experiment.laws, toy_distributions.LAWS), (experiment.samplers, SAMPLERS)):
        if unknown := set(asked) - set(known):
            raise SystemExit(f"there are no {sorted(unknown)}; choose from {'; '.join(known)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        few = tuple(name for name in experiment.samplers if name in ("extreme", "spread, rejected"))
        experiment = dataclasses.replace(
            experiment, samplers=few, num_seeds=1, depth=2, steps=20, judging=20, cache_dir=runs, output_dir=runs
        )
    cells: dict[str, dict[str, list[dict[str, Any]]]] = {name: {} for name in experiment.laws}
    for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
        for name in experiment.laws:
            for part in ("baselines", *experiment.samplers):
                print(f"{name}, seed {seed}: {part}", flush=True)
                found = cell(experiment, name, seed, part)
                for kind, numbers in found.items():
                    title = kind if part == "baselines" else f"{part}: {kind}"
                    cells[name].setdefault(title, []).append(numbers)
    return outliers_report.written(experiment, TITLE, cells)


if __name__ == "__main__":
    run(tyro.cli(Experiment))
