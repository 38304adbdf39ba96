r"""Figures 1 and 2 of Guttenberg, Generating the support with extreme value losses (2019): mixtures of unit Gaussians.

    python -m experiments.evl.gaussians                  # ours and the bounds
    python -m experiments.evl.gaussians --models floor chance empirical untrained ours gaussian_mixture \
        --output-dir experiments/results                        # the tables there
    python -m experiments.evl.gaussians --quick          # a minute

Mixtures of 1, 2, 4 and 10 Gaussians in 1 to 4 dimensions, 50,000 and 5,000 training points, the paper's seeds 1 to 5;
KL divergence and Fisher distance on a grid of 20^d cells, geometric means over the seeds as in the paper, and plain
means. The paper's numbers are those of its stored results. Cells are kept in `runs/` as they come.
"""

import dataclasses
import itertools
import pathlib
from typing import Any

import numpy as np
import tyro

import jaxgen
from experiments.common import report
from experiments.evl import baselines, grid_metrics
from jaxgen import data, methods, nets
from jaxgen.optim import Cosine

# Geometric means of KL and Fisher over seeds 1 to 5, from the results stored with the paper's code, by the number of
# training points, the model (`ours` stands for the paper's own network), dimensions, then for 1, 2, 4 and 10 Gaussians.
PUBLISHED = {
    50_000: {
        "ours": {
            1: [(0.00083, 0.039), (0.0025, 0.071), (0.0012, 0.049), (0.0013, 0.049)],
            2: [(0.0161, 0.130), (0.0323, 0.144), (0.0651, 0.172), (0.130, 0.201)],
            3: [(0.156, 0.240), (0.510, 0.330), (1.03, 0.457), (2.29, 0.628)],
            4: [(1.26, 0.451), (2.26, 0.579), (4.21, 0.763), (7.97, 1.04)],
        },
        "gaussian_mixture": {
            1: [(0.00098, 0.027), (0.0016, 0.034), (0.0019, 0.033), (0.0021, 0.037)],
            2: [(0.0052, 0.061), (0.0055, 0.065), (0.0057, 0.068), (0.0037, 0.062)],
            3: [(0.0200, 0.084), (0.0243, 0.089), (0.0297, 0.100), (0.0309, 0.120)],
            4: [(0.0646, 0.124), (0.102, 0.149), (0.141, 0.180), (0.219, 0.242)],
        },
        "gan_published": {
            1: [(0.0262, 0.216), (0.115, 0.366), (0.0498, 0.275), (0.159, 0.398)],
            2: [(0.542, 0.699), (0.488, 0.739), (5.11, 1.45), (3.72, 1.33)],
            3: [(2.76, 1.06), (5.19, 1.49), (6.17, 1.48), (8.87, 1.69)],
            4: [(8.57, 1.58), (18.4, 2.08), (24.6, 2.11), (18.1, 1.91)],
        },
    },
    5_000: {
        "ours": {
            1: [(0.0038, 0.086), (0.0025, 0.074), (0.0060, 0.114), (0.0065, 0.120)],
            2: [(0.0186, 0.126), (0.0143, 0.120), (0.0409, 0.244), (0.0499, 0.310)],
            3: [(0.101, 0.222), (0.172, 0.306), (0.272, 0.428), (0.583, 0.668)],
            4: [(0.547, 0.405), (0.974, 0.517), (1.45, 0.672), (6.32, 1.20)],
        },
        "gaussian_mixture": {
            1: [(0.0031, 0.042), (0.0038, 0.050), (0.0022, 0.053), (0.0030, 0.056)],
            2: [(0.0090, 0.085), (0.0090, 0.090), (0.0099, 0.100), (0.0076, 0.102)],
            3: [(0.0265, 0.120), (0.0316, 0.133), (0.0385, 0.149), (0.0472, 0.203)],
            4: [(0.0719, 0.167), (0.110, 0.194), (0.158, 0.223), (0.251, 0.291)],
        },
        "gan_published": {
            1: [(0.0099, 0.132), (0.0157, 0.172), (0.0155, 0.163), (0.0617, 0.292)],
            2: [(0.0889, 0.295), (0.536, 0.629), (0.580, 0.671), (0.354, 0.678)],
            3: [(2.11, 1.01), (2.85, 1.10), (5.16, 1.60), (3.09, 1.13)],
            4: [(1.16, 0.783), (19.0, 2.00), (24.8, 2.16), (15.1, 1.87)],
        },
    },
}
MIXTURES = (1, 2, 4, 10)
MEASURES = grid_metrics.DIVERGENCES[:2]


def ours(mixture: data.GaussianMixture, steps: int) -> jaxgen.Config:
    """Return our one configuration for all cells, chosen on data seed 81379 as the paper's was."""
    method = methods.EVL(
        generator=nets.WeightedGenerator(nets.MLP((128,) * 3 + (mixture.dimensions,)), nets.MLP((64, 64, 1))),
        candidates=methods.SharedPool(512),
        learning_rate=Cosine(1e-3, steps),
    )
    return jaxgen.Config(method, mixture, steps=steps, batch_size=500, steps_per_call=steps, seed=mixture.seed)


MODELS: dict[str, tuple[str, baselines.Cell]] = {
    **{name: baselines.MODELS[name] for name in ("floor", "chance", "empirical")},
    "untrained": ("EVL, untrained", baselines.trained(lambda e, mixture: ours(mixture, e.steps), train=False)),
    "ours": (
        "EVL, ours",
        baselines.trained(
            lambda e, mixture: ours(mixture, e.steps),
            fit=grid_metrics.widened,
            others={"bare": grid_metrics.bare},
            residual=grid_metrics.RESIDUAL,
        ),
    ),
    "gaussian_mixture": baselines.MODELS["gaussian_mixture"],
    "mixture_density": baselines.density_network(10),
    **{name: baselines.MODELS[name] for name in ("gan_published", "gan")},
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which models and cells, how many seeds, how long."""

    models: tuple[str, ...] = ("floor", "chance", "empirical", "untrained", "ours")
    """Models; baselines take most of the time."""
    dimensions: tuple[int, ...] = (1, 2, 3, 4)
    """Of the data."""
    gaussians: tuple[int, ...] = MIXTURES
    """In each mixture."""
    points: tuple[int, ...] = (50_000, 5_000)
    """For training."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Of data and training alike; the paper's are 1 to 5, and 81379 chose the configuration."""
    steps: int = 5_000
    """Training steps of `ours`."""
    epochs: int = 50
    """Epochs of the adversarial networks."""
    density_steps: int = 4_000
    """Training steps of the mixture density network."""
    quick: bool = False
    """A minute's worth: two cells, one seed, few steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/gaussians")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/evl/gaussians")
    """Where the table and the figure go."""


Found = dict[tuple[str, int, int, int], list[dict[str, Any]]]  # of (model, points, dimensions, Gaussians), by seed


def run(experiment: Experiment) -> Found:
    """Train and score every cell, print the tables, and write them with their figure."""
    if unknown := set(experiment.models) - set(MODELS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(MODELS)}.")
    if experiment.quick:
        experiment = dataclasses.replace(
            experiment,
            models=tuple(MODELS),
            dimensions=(1, 2),
            gaussians=(4,),
            points=(5_000,),
            seeds=experiment.seeds[:1],
            steps=min(experiment.steps, 500),
            epochs=min(experiment.epochs, 10),
            density_steps=min(experiment.density_steps, 500),
            cache_dir=experiment.cache_dir / "quick",
            output_dir=experiment.cache_dir / "quick",
        )
    for name, known in (("dimensions", PUBLISHED[50_000]["ours"]), ("gaussians", MIXTURES), ("points", PUBLISHED)):
        if unknown := set(getattr(experiment, name)) - set(known):
            raise SystemExit(f"the paper has no {name} {sorted(unknown)}; choose from {', '.join(map(str, known))}.")
    found: Found = {}
    grid = (experiment.seeds, experiment.models, experiment.points, experiment.dimensions, experiment.gaussians)
    make = lambda seed, points, d, n: data.GaussianMixture(n=points, components=n, dimensions=d, seed=seed)
    for seed, model, points, d, n in itertools.product(*grid):
        mixture = make(seed, points, d, n)
        name = f"{model}-{points}-{d}-{n}-{seed}"
        print(name, flush=True)
        found.setdefault((model, points, d, n), []).append(MODELS[model][1](experiment, name, mixture))
    experiment.output_dir.mkdir(parents=True, exist_ok=True)
    for points in experiment.points:
        table = tabulate(experiment, found, points)
        first = make(experiment.seeds[0], points, experiment.dimensions[0], experiment.gaussians[0])
        configs = baselines.configs(experiment.models, MODELS, experiment, first)
        table.write(experiment.output_dir, {"steps": experiment.steps, "configs": configs})
    draw(experiment, experiment.output_dir / "evl_gaussians.png", found)
    return found


def geometric(values: np.ndarray, digits: int) -> str:
    """Write the geometric mean, with the paper's band: the deviation of the logarithms as a factor over sqrt(4)."""
    mean = float(np.exp(np.log(values).mean()))
    band = mean * float(np.log(values).std()) / 2
    return f"{mean:.{digits}g} ± {band:.1g}; {values.mean():.{digits}g}"


def tabulate(experiment: Experiment, found: Found, points: int) -> report.Table:
    """Return the table of one size of training set: a line for each model in each cell."""
    columns = [
        *(dataclasses.replace(measure, written=geometric) for measure in MEASURES),
        grid_metrics.DIVERGENCES[2],
        grid_metrics.SECONDS,
    ]
    rows, better, cells = [], 0, 0
    for d, n in itertools.product(experiment.dimensions, experiment.gaussians):
        for model in experiment.models:
            known = PUBLISHED[points].get(model)
            published = dict(zip(("kl", "fisher"), known[d][MIXTURES.index(n)], strict=True)) if known else {}
            seeds = found[model, points, d, n]
            values = {c.name: [seed[c.name] for seed in seeds if c.name in seed] for c in columns}
            rows.append(report.Row(f"d = {d}, N = {n}: {MODELS[model][0]}", values, published))
            if model == "ours":
                bare = {c.name: [seed[f"bare_{c.name}"] for seed in seeds] for c in grid_metrics.DIVERGENCES}
                rows.append(report.Row(f"d = {d}, N = {n}: {MODELS[model][0]}, without the bandwidth", bare))
                means = {c.name: np.exp(np.log(values[c.name]).mean()) for c in MEASURES}
                better += all(means[name] < published[name] for name in means)
                cells += 1
    remarks = [
        "Geometric mean ± the paper's band; plain mean. The paper's numbers are geometric means.",
        *([f"Ours is better than the paper's in KL and in Fisher in {better} of {cells} cells."] if cells else []),
    ]
    title = f"Mixtures of N unit Gaussians in d dimensions, {points:,} training points"
    return report.Table(f"evl_gaussians_{points}", title, columns, rows, [" ".join(remarks)])


def draw(experiment: Experiment, path: pathlib.Path, found: Found) -> None:
    """Draw Figures 1 and 2: both measures against the number of Gaussians, a column for each dimension."""
    kinds = [(points, measure) for points in experiment.points for measure in MEASURES]
    shown = [model for model in experiment.models if model not in ("chance", "untrained")]
    with report.figure(path, len(kinds), len(experiment.dimensions)) as axes:
        for row, (points, measure) in zip(axes, kinds, strict=True):
            for axis, d in zip(row, experiment.dimensions, strict=True):
                for position, model in enumerate(shown):
                    logs = [
                        [np.log(seed[measure.name]) for seed in found[model, points, d, n]]
                        for n in experiment.gaussians
                    ]
                    mean, band = np.mean(logs, 1), np.std(logs, 1) / 2
                    line = axis.plot(experiment.gaussians, np.exp(mean), "o-", color=f"C{position}")
                    line[0].set_label(MODELS[model][0])
                    low, high = np.exp(mean) * (1 - band), np.exp(mean) * (1 + band)
                    axis.fill_between(experiment.gaussians, low, high, color=f"C{position}", alpha=0.2)
                published = [
                    PUBLISHED[points]["ours"][d][MIXTURES.index(n)][MEASURES.index(measure)]
                    for n in experiment.gaussians
                ]
                axis.plot(experiment.gaussians, published, "k--", label="EVL, the paper")
                axis.set(title=f"d = {d}, {points:,} points", yscale="log", xlabel="Gaussians", ylabel=measure.title)
        axes[0, 0].legend(fontsize="x-small")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
