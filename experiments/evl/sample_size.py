"""Whether, and why, the extreme value paper's runs on 5,000 points beat its runs on 50,000 in four dimensions.

    python -m experiments.evl.sample_size              # a small network; 70 minutes on a core beside others
    python -m experiments.evl.sample_size --paper --num-seeds 1     # the paper's network: two hours on one CPU core
    python -m experiments.evl.sample_size --quick      # a minute

In the paper's stored results the networks trained on 5,000 points have the lower KL divergence wherever d >= 3. Both
went through their data 50 times, so the larger set meant ten times the steps. Here the paper's protocol runs on both
sets, and on the smaller one for as many steps as on the larger; along the way are measured the KL divergence, the
share of the test points in cells that no guess reached, and how far from their mean guesses and test points lie.
With the small network expect a KL of 1.2, 2.7 and 1.4: there the steps matter, and the number of points hardly. With
the paper's the KL is least within the first tenth of the steps, where the small set's run ends, and doubles after it.
"""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import tyro

import jaxgen
from experiments.common import cache, report, training
from experiments.evl import baselines
from experiments.evl.grid_metrics import DIVERGENCES, GRID, score, weigh
from jaxgen import data
from jaxgen.serialization.config_json import to_json

KL, FISHER, _ = DIVERGENCES
COLUMNS = [
    KL,
    report.Column("least", "least KL"),
    report.Column("at", "at step", 0),
    FISHER,
    report.Column("missed", "test mass missed", 4),
    report.Column("spread", "spread of the guesses"),
    report.Column("distance", "distance, training"),
]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which mixture, how many seeds, which network."""

    dimensions: int = 4
    """Of the data."""
    gaussians: int = 4
    """In the mixture."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Of data and training alike."""
    epochs: int = 50
    """Through each set of points."""
    paper: bool = False
    """The paper's five layers of 256 instead of three of 64."""
    quick: bool = False
    """A minute's worth: one seed, one epoch."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/sample_size")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/sample_size")
    """Where the table and the figure go."""


def follow(experiment: Experiment, name: str, config: jaxgen.Config) -> list[dict[str, float]]:
    """Train, and measure at up to twenty-five steps spread evenly over the logarithm of the step."""
    identity = {"config": to_json(config), "grid": to_json(GRID)}
    place = cache.place(experiment.cache_dir, f"{name}-{config.seed}", identity)
    steps = {
        int(at)
        for at in np.geomspace(config.steps_per_call, config.steps, 25) // config.steps_per_call * config.steps_per_call
    }

    def compute() -> dict[str, Any]:
        points = config.data.test()  # type: ignore[attr-defined]
        test = GRID(points)

        def look(result: jaxgen.Result) -> dict[str, Any]:
            method: Any = result.config.method
            found = weigh(method, result.state_of(0))
            plain = np.asarray(method.weighted_samples(jax.random.key(0), result.state_of(0), 20_000).samples)
            radius = lambda x: float(np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()))
            return {
                **score(test, found.shares),
                "missed": float(test[found.shares == 0].sum()),
                "spread": radius(plain) / radius(points),
                "distance": float(result.history["distance"][0, -config.steps_per_call :].mean()),
            }

        # The cell is its curve, so another grid means another run.
        run = training.followed(config, steps, look, checkpoint_dir=place, kept=place.with_suffix(".curve"))
        return {"curve": run.curve}

    return cache.remembered(place.with_suffix(".json"), identity, compute)["curve"]


def run(experiment: Experiment) -> report.Table:
    """Follow every run, print the table of where they ended, and write it with its figure."""
    if experiment.quick:
        place = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment, seeds=experiment.seeds[:1], epochs=1, cache_dir=place, output_dir=place
        )
    widths = (256,) * 5 if experiment.paper else (64,) * 3
    few, many = 5_000, 50_000
    longer = experiment.epochs * many // few
    plans = {
        f"{many:,} points, {experiment.epochs} epochs": (many, experiment.epochs),
        f"{few:,} points, {experiment.epochs} epochs": (few, experiment.epochs),
        f"{few:,} points, {longer} epochs": (few, longer),
    }
    curves: dict[str, list[list[dict[str, float]]]] = {title: [] for title in plans}
    configs: dict[str, Any] = {}  # with the first seed
    for seed in experiment.seeds:
        for title, (points, epochs) in plans.items():
            print(f"{title}, seed {seed}", flush=True)
            mixture = data.GaussianMixture(
                n=points, components=experiment.gaussians, dimensions=experiment.dimensions, seed=seed
            )
            config = baselines.extreme_value(
                mixture, seed, epochs=epochs, decays=experiment.epochs, widths=widths, looks=50
            )
            configs.setdefault(title, to_json(config))
            curves[title].append(follow(experiment, f"{points}-{epochs}", config))
    rows = []
    for title, seeds in curves.items():
        values = {c.name: [curve[-1][c.name] for curve in seeds if c.name in curve[-1]] for c in COLUMNS}
        best = [min(curve, key=lambda at: at["kl"]) for curve in seeds]
        values |= {"least": [at["kl"] for at in best], "at": [at["step"] for at in best]}
        rows.append(report.Row(title, values))
    told = f"{experiment.gaussians} Gaussians in {experiment.dimensions} dimensions, hidden layers {widths}"
    remarks = ["Spread: root mean squared distance of the guesses from their mean, over that of the test points."]
    name = "evl_contraction_paper" if experiment.paper else "evl_contraction"
    table = report.Table(name, f"The paper's protocol: {told}", COLUMNS, rows, remarks)
    table.write(experiment.output_dir, {"configs": configs, "curves": curves})
    draw(experiment.output_dir / f"{name}.png", curves)
    return table


def draw(path: pathlib.Path, curves: dict[str, list[list[dict[str, float]]]]) -> None:
    """Draw each measure against the step."""
    shown = {"kl": "KL, nats", "fisher": "Fisher, rad", "missed": "test mass missed", "spread": "spread"}
    with report.figure(path, 1, len(shown)) as axes:
        for axis, (name, title) in zip(axes[0], shown.items(), strict=True):
            for position, (plan, seeds) in enumerate(curves.items()):
                for number, curve in enumerate(seeds):
                    line = axis.plot([at["step"] for at in curve], [at[name] for at in curve], color=f"C{position}")
                    line[0].set_label(plan if number == 0 else None)
            axis.set(title=title, xscale="log", yscale="linear" if name == "spread" else "log", xlabel="step")
        axes[0, 0].legend(fontsize="x-small")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
