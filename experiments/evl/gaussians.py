r"""Figures 1 and 2 of Guttenberg, Generating the support with extreme value losses (2019): mixtures of unit Gaussians.

    python -m experiments.evl.gaussians                  # ours and the bounds
    python -m experiments.evl.gaussians --models floor chance empirical untrained ours gaussian_mixture \
        --output-dir experiments/results/evl             # the committed tables
    python -m experiments.evl.gaussians --quick          # a minute

Mixtures of 1, 2, 4 and 10 Gaussians in 1 to 4 dimensions, 50,000 and 5,000 training points, and the paper's seeds 1 to
5. KL divergence and Fisher distance are on a grid of 20^d cells; their means over the seeds are geometric, as in the
paper, and plain. The paper's numbers are those of its stored results.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.evl import baselines, grid_metrics
from experiments.evl.baselines import Model
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
    """Return our configuration, the same for all cells; data seed 81379 chose it, as it chose the paper's."""
    method = methods.EVL(
        generator=nets.WeightedGenerator(nets.MLP((128,) * 3 + (mixture.dimensions,)), nets.MLP((64, 64, 1))),
        candidates=methods.SharedPool(512),
        learning_rate=Cosine(1e-3, steps),
    )
    return training.configure(method, mixture, steps=steps, batch_size=500, seed=mixture.seed, calls=1)


MODELS = {
    **{name: baselines.MODELS[name] for name in ("floor", "chance", "empirical")},
    "untrained": Model("EVL, untrained", config=lambda e, mixture: ours(mixture, e.steps), options={"train": False}),
    "ours": Model(
        "EVL, ours",
        config=lambda e, mixture: ours(mixture, e.steps),
        options={"fit": grid_metrics.widened, "others": {"bare": grid_metrics.bare}},
    ),
    "gaussian_mixture": baselines.MODELS["gaussian_mixture"],
    "mixture_density": baselines.mixture_density_model(10),
    **{name: baselines.MODELS[name] for name in ("gan_published", "gan")},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Models, mixtures, number of seeds, and length of trainings."""

    # Models; baselines take most of the time.
    models: tuple[str, ...] = ("floor", "chance", "empirical", "untrained", "ours")
    dimensions: tuple[int, ...] = (1, 2, 3, 4)  # dimensions of the data
    gaussians: tuple[int, ...] = MIXTURES  # numbers of Gaussians in a mixture
    points: tuple[int, ...] = (50_000, 5_000)  # numbers of training points, a table each
    num_seeds: int = 5  # seeds, of data and training alike
    first_seed: int = 1  # the first of them; the paper's are 1 to 5, and 81379 chose the configuration
    steps: int = 5_000  # training steps of `ours`
    epochs: int = 50  # epochs of the adversarial networks
    density_steps: int = 4_000  # training steps of the mixture density network

    name = "evl/gaussians"
    choices = {"models": MODELS, "dimensions": PUBLISHED[50_000]["ours"], "gaussians": MIXTURES, "points": PUBLISHED}
    small = {
        "models": tuple(MODELS),
        "dimensions": (1, 2),
        "gaussians": (4,),
        "points": (5_000,),
        "steps": 500,
        "epochs": 10,
        "density_steps": 500,
    }

    def mixture(self, points: int, d: int, n: int, seed: int) -> data.GaussianMixture:
        """The data of a cell."""
        return data.GaussianMixture(n=points, components=n, dimensions=d, seed=seed)

    def cells(self) -> Iterator[Cell]:
        """Every model on every mixture."""
        grid = (self.seeds, self.models, self.points, self.dimensions, self.gaussians)
        for seed, model, points, d, n in itertools.product(*grid):
            yield MODELS[model].cell(self, row_name(model, points, d, n), self.mixture(points, d, n, seed))

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each number of training points: a row for each model in each cell."""
        return [self._table(results, points) for points in self.points]

    def _table(self, results: Results, points: int) -> report.Table:
        columns = [
            *(dataclasses.replace(measure, format=geometric) for measure in MEASURES),
            grid_metrics.DIVERGENCES[2],
            grid_metrics.SECONDS,
        ]
        rows, better, cells = [], 0, 0
        for d, n in itertools.product(self.dimensions, self.gaussians):
            for model in self.models:
                known = PUBLISHED[points].get(model)
                published = dict(zip(("kl", "fisher"), known[d][MIXTURES.index(n)], strict=True)) if known else {}
                by_seed, title = results[row_name(model, points, d, n)], f"d = {d}, N = {n}: {MODELS[model].title}"
                row = report.Row.of(title, by_seed, columns, published)
                rows.append(row)
                if model == "ours":
                    bare = {c.name: [seed[f"bare_{c.name}"] for seed in by_seed] for c in grid_metrics.DIVERGENCES}
                    rows.append(report.Row(f"{title}, without the bandwidth", bare))
                    means = {c.name: np.exp(np.log(row.values[c.name]).mean()) for c in MEASURES}
                    better += all(means[name] < published[name] for name in means)
                    cells += 1
        remarks = [
            "Geometric mean ± the paper's band; plain mean. The paper's numbers are geometric means.",
            *([f"Ours is better than the paper's in KL and in Fisher in {better} of {cells} cells."] if cells else []),
        ]
        first = self.mixture(points, self.dimensions[0], self.gaussians[0], self.first_seed)
        return report.Table(
            f"gaussians_{points}",
            f"Mixtures of N unit Gaussians in d dimensions, {points:,} training points",
            columns,
            rows,
            [" ".join(remarks)],
            details={"steps": self.steps, "configs": baselines.configs(self.models, MODELS, self, first)},
        )

    def figures(self, results: Results) -> None:
        """Figures 1 and 2: both measures against the number of Gaussians, a column for each dimension."""
        kinds = [(points, measure) for points in self.points for measure in MEASURES]
        with report.figure(self.results_directory / "gaussians.png", len(kinds), len(self.dimensions)) as axes:
            for row, (points, measure) in zip(axes, kinds, strict=True):
                for axis, d in zip(row, self.dimensions, strict=True):
                    self._draw(axis, results, points, d, measure)
            axes[0, 0].legend(fontsize="x-small")

    def _draw(self, axis: Any, results: Results, points: int, d: int, measure: report.Column) -> None:
        shown = [model for model in self.models if model not in ("chance", "untrained")]
        for position, model in enumerate(shown):
            cells = [results[row_name(model, points, d, n)] for n in self.gaussians]
            logs = np.log([[seed[measure.name] for seed in by_seed] for by_seed in cells])
            mean, band = np.exp(logs.mean(1)), logs.std(1) / 2
            axis.plot(self.gaussians, mean, "o-", color=f"C{position}", label=MODELS[model].title)
            axis.fill_between(self.gaussians, mean * (1 - band), mean * (1 + band), color=f"C{position}", alpha=0.2)
        of_paper = PUBLISHED[points]["ours"][d]
        published = [of_paper[MIXTURES.index(n)][MEASURES.index(measure)] for n in self.gaussians]
        axis.plot(self.gaussians, published, "k--", label="EVL, the paper")
        axis.set(title=f"d = {d}, {points:,} points", yscale="log", xlabel="Gaussians", ylabel=measure.title)


def row_name(model: str, points: int, d: int, n: int) -> str:
    """Return the name of the cells of one model on one mixture."""
    return f"{model}-{points}-{d}-{n}"


def geometric(values: np.ndarray, digits: int) -> str:
    """Write the geometric mean, with the paper's band: the std of the logarithms as a factor over sqrt(4)."""
    mean = float(np.exp(np.log(values).mean()))
    band = mean * float(np.log(values).std()) / 2
    return f"{mean:.{digits}g} ± {band:.1g}; {values.mean():.{digits}g}"


if __name__ == "__main__":
    experiment.main(Experiment)
