"""Table 3 of Kumar et al., Maximum entropy generators for energy-based models (2019): anomalies of KDD99.

    python -m experiments.meg.kdd99                                  # one seed of all protocols
    python -m experiments.meg.kdd99 --num-seeds 5 --output-dir experiments/results   # the tables there
    python -m experiments.meg.kdd99 --quick                          # a minute

Attacks are the inliers and normal connections the anomalies. The released protocol leaves the columns at their raw
scale, up to 7e8, and its table is that of the norm of the energy's gradient. Beside it stand the same rows scaled as
its code means to, without the repeated rows, and with all anomalies, as later papers have it. Which score each protocol
is judged by is fixed below; both are reported. A row is flagged where its score reaches the quantile of the test scores
at which the true share of anomalies would be flagged, as in the paper: that share is known to nobody who needs a
detector, so AUROC and AUPRC stand beside.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np
import tyro

from experiments.common import anomaly_metrics, cache, report, training
from experiments.meg import kdd99_protocols
from jaxgen import methods
from jaxgen.serialization.config_json import to_json

TITLE = "Table 3: KDD99, at the threshold that flags the anomalies' nominal share"
LAST = 10  # looks whose mean is reported, at the most


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which protocols, how many seeds, how long."""

    protocols: tuple[str, ...] = tuple(kdd99_protocols.PROTOCOLS)
    """Each has a table and a figure."""
    num_seeds: int = 1
    """How many seeds of the training; the split is the same for all, as in the paper."""
    first_seed: int = 0
    """The first of them."""
    epochs: int = 54
    """Most epochs of a training."""
    quick: bool = False
    """A minute: one seed, the rows without repetition, two epochs."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/kdd99")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/kdd99")
    """Where the tables and figures go."""


def looks(training: kdd99_protocols.Training, epochs: int) -> int:
    """Return of how many looks, one after each of the last epochs, the mean is reported: where rates fall, of one."""
    return 1 if training.falling is not None else min(LAST, epochs)


def scored(method: methods.MEG, state: Any, training: str) -> dict[str, Any]:
    """Judge both scores on the test rows of every protocol with a training."""
    found: dict[str, Any] = {}
    for name, protocol in kdd99_protocols.PROTOCOLS.items():
        if protocol.training != training:
            continue
        x, anomalous = protocol.connections.test()
        scores = anomaly_metrics.scores(method, state, x, kdd99_protocols.ROWS)
        found[name] = {
            kind: anomaly_metrics.judged(scores[kind], anomalous, protocol.flagged) for kind in anomaly_metrics.SCORES
        }
    return found


def trained(experiment: Experiment, name: str, seed: int) -> dict[str, Any]:
    """Train and judge, by every protocol: the mean over the last looks of each measure, and every look.

    Args:
        experiment: how long, and where runs are kept.
        name: of the training.
        seed: of the training.

    Returns:
        The means by protocol, score and measure; the `curve` of the looks; `energy_gap` at each; and the `seconds`.
    """
    config = kdd99_protocols.configure(kdd99_protocols.TRAININGS[name], seed, experiment.epochs)
    epochs = config.steps // config.steps_per_call
    last = looks(kdd99_protocols.TRAININGS[name], epochs)
    identity = {"config": to_json(config), "last": last, **_tests(name)}
    where = cache.place(experiment.cache_dir, f"{name}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        between = max(1, epochs // LAST)
        steps = [
            epoch * config.steps_per_call
            for epoch in range(1, epochs + 1)
            if epoch > epochs - last or not epoch % between
        ]
        look = lambda result: scored(result.config.method, result.state_of(0), name)
        run = training.followed(config, steps, look, checkpoint_dir=where, kept=where.with_suffix(".curve"))
        taken = run.curve[-last:]
        mean = lambda *path: float(np.mean([functools.reduce(lambda at, key: at[key], path, look) for look in taken]))
        means = {
            protocol: {
                score: {measure: mean(protocol, score, measure) for measure in anomaly_metrics.MEASURES}
                for score in anomaly_metrics.SCORES
            }
            for protocol in kdd99_protocols.PROTOCOLS
            if kdd99_protocols.PROTOCOLS[protocol].training == name
        }
        gaps = [float(run.result.history["energy_gap"][0, at["step"] - 1]) for at in run.curve]
        return {**means, "curve": run.curve, "energy_gap": gaps, "seconds": run.seconds}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def _tests(training: str) -> dict[str, Any]:
    """Describe the test rows that a training is judged on."""
    judged = {name: protocol for name, protocol in kdd99_protocols.PROTOCOLS.items() if protocol.training == training}
    return {name: (to_json(protocol.connections), protocol.flagged) for name, protocol in judged.items()}


def control(experiment: Experiment, name: str, seed: int) -> dict[str, Any]:
    """Judge the untrained networks of a training, by every protocol."""
    config = kdd99_protocols.configure(kdd99_protocols.TRAININGS[name], seed, 1)
    identity = {"untrained": to_json(config), **_tests(name)}
    where = cache.place(experiment.cache_dir, f"{name}-untrained-{seed}", to_json(config))
    compute = lambda: scored(*training.untrained(config), name)
    return cache.remembered(where.with_suffix(".json"), identity, compute)


def baseline(experiment: Experiment, name: str, detector: str, seed: int) -> dict[str, Any]:
    """Judge a detector of scikit-learn, or a bound."""
    protocol = kdd99_protocols.PROTOCOLS[name]
    identity = {"connections": to_json(protocol.connections), "flagged": protocol.flagged, "detector": detector}
    identity["rows"] = [anomaly_metrics.SVM_ROWS, anomaly_metrics.PCA_ROWS, anomaly_metrics.PCA_PARTS]
    where = cache.place(experiment.cache_dir, f"{name}-{detector}-{seed}", {**identity, "seed": seed})

    def compute() -> dict[str, Any]:
        (x,), (test, anomalous) = protocol.connections.tables(), protocol.connections.test()
        found = anomaly_metrics.DETECTORS[detector].score(np.random.RandomState(seed), x, test, anomalous)
        return {detector: anomaly_metrics.judged(found, anomalous, protocol.flagged)}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> list[report.Table]:
    """Train and judge every cell, and print and write a table and a figure for each protocol."""
    if unknown := set(experiment.protocols) - set(kdd99_protocols.PROTOCOLS):
        raise SystemExit(
            f"there are no protocols {sorted(unknown)}; choose from {', '.join(kdd99_protocols.PROTOCOLS)}."
        )
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment,
            protocols=("distinct",),
            num_seeds=1,
            epochs=min(experiment.epochs, 2),
            cache_dir=runs,
            output_dir=runs,
        )
    return [tabulated(experiment, name) for name in experiment.protocols]


def tabulated(experiment: Experiment, name: str) -> report.Table:
    """Train and judge every cell of a protocol, print its table, and write it with its figure."""
    protocol = kdd99_protocols.PROTOCOLS[name]
    training = kdd99_protocols.TRAININGS[protocol.training]
    cells: dict[str, list[dict[str, Any]]] = {"MEG": [], "MEG, untrained": []}
    seeds = range(experiment.first_seed, experiment.first_seed + experiment.num_seeds)
    for seed in seeds:
        print(f"{protocol.title}, seed {seed}", flush=True)
        cells["MEG"].append(trained(experiment, protocol.training, seed))
        cells["MEG, untrained"].append(control(experiment, protocol.training, seed))
    rows = []
    for title, made in cells.items():
        for score, told in anomaly_metrics.SCORES.items():
            judged = " (judged by)" if score == protocol.judged and title == "MEG" else ""
            paper = kdd99_protocols.PUBLISHED if judged and name == "released" else {}
            found = [cell[name][score] for cell in made]
            rows.append(report.Row.of(f"{title}, {told}{judged}", found, anomaly_metrics.COLUMNS, paper))
    for detector, kind in anomaly_metrics.DETECTORS.items():
        print(f"{protocol.title}, {kind.title}", flush=True)
        judged_alike = [baseline(experiment, name, detector, seed)[detector] for seed in seeds]
        rows.append(report.Row.of(kind.title, judged_alike, anomaly_metrics.COLUMNS))
    config = kdd99_protocols.configure(training, experiment.first_seed, experiment.epochs)
    epochs = config.steps // config.steps_per_call
    last = looks(training, epochs)
    judged_after = "the look after the last" if last == 1 else f"the mean of {last} looks, one after each of the last"
    remarks = (
        f"MEG: {epochs} epochs, and {judged_after}. The bound "
        "flags every anomaly first: recall stays below 1, or precision, where the nominal share is not the true one. "
        f"The one-class SVM and kernel PCA learn from {anomaly_metrics.SVM_ROWS:,} and "
        f"{anomaly_metrics.PCA_ROWS:,} rows drawn at "
        "random, the others from all. By which score the protocol is judged was fixed before; lambda is "
        f"{training.penalty:g}; {training.chosen}{protocol.seen}."
    )
    table = report.Table(f"meg_kdd99_{name}", f"{TITLE}: {protocol.title}", anomaly_metrics.COLUMNS, rows, [remarks])
    runs = [
        {
            "curve": [{"step": at["step"], name: at[name]} for at in cell["curve"]],
            "energy_gap": cell["energy_gap"],
            "seconds": cell["seconds"],
        }
        for cell in cells["MEG"]
    ]
    table.write(experiment.output_dir, {"config": to_json(config), "cache_dir": runs})
    draw(experiment.output_dir / f"{table.name}.png", name, runs)
    return table


def draw(path: pathlib.Path, name: str, runs: list[dict[str, Any]]) -> None:
    """Draw F1 by both scores against steps, and the energy gap, for each seed."""
    with report.figure(path, 1, 2) as axes:
        for run in runs:
            steps = np.array([at["step"] for at in run["curve"]])
            for place, score in enumerate(anomaly_metrics.SCORES):
                label = anomaly_metrics.SCORES[score] if run is runs[0] else None
                axes[0, 0].plot(steps, [at[name][score]["f1"] for at in run["curve"]], color=f"C{place}", label=label)
            axes[0, 1].plot(steps, run["energy_gap"], color="grey")
        axes[0, 0].set(title=kdd99_protocols.PROTOCOLS[name].title, xlabel="steps", ylabel="F1", ylim=(0, 1))
        axes[0, 0].legend(fontsize="small")
        axes[0, 1].set(xlabel="steps", ylabel="energy of data less that of samples")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
