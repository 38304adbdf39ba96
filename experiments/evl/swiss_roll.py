"""Table I and Figure 3 of Guttenberg, Generating the support with extreme value losses (2019): the swiss roll.

    python -m experiments.evl.swiss_roll            # a first result: our model, one seed
    python -m experiments.evl.swiss_roll --quick    # a smoke test: the same with fewer steps
    python -m experiments.evl.swiss_roll --full     # every row but the paper's own protocol: eight minutes
    python -m experiments.evl.swiss_roll --full --models ours --num-seeds 5    # the headline of the committed table
    python -m experiments.evl.swiss_roll --full --num-seeds 5 --paper-seeds 1 --output-dir experiments/results/evl

50,000 training and 400,000 test points, KL divergence and Fisher distance on a grid of 20^3 cells.
Without an argument expect KL 0.006 to 0.090 and Fisher 0.163 to 0.239.
That takes 14,000 steps and a minute of processor time.
With `--quick` expect KL 0.091 to 0.136 and Fisher 0.679 to 0.823, after 4,000 steps and half a minute.
These are 95% prediction intervals from seeds 30 to 34, and a run prints whether it falls inside.
With `--full`, ours reached KL 0.020 +- 0.011 and Fisher 0.153 +- 0.007; the paper prints 0.204 and 0.411.

Without `--full` the other rows are printed from the committed table, marked as such. The paper's own protocol takes
27 minutes a seed, so it runs with `--paper-seeds` alone. Cells and checkpoints are kept in `runs/`, from which an
interrupted run resumes.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

import jaxgen
from experiments.common import expectations, experiment, report
from experiments.common.expectations import Expectation
from experiments.common.experiment import Cell, Results
from experiments.evl import baselines, grid_metrics
from experiments.evl.baselines import Model
from experiments.evl.swiss_roll_tuning import BANDWIDTH, EVALUATIONS, FULL, OURS, QUICK, SHORT, Setting, ours
from jaxgen import data

TITLE = "Table I: the swiss roll in three dimensions, KL(test || model) and Fisher distance"
COLUMNS = [*grid_metrics.DIVERGENCES, report.Column("ess", "ESS share", 2), grid_metrics.SECONDS]
REMARKS = [
    "KL is over the cells with test points alone; mass off support is the mass of the others. The floor is the score "
    "of equally many samples of the truth; weighted or widened guesses may score below it."
]


def smoothed(roll: data.SwissRoll) -> np.ndarray:
    """Sample the kernel density estimate of the training points, at the bandwidth of our guesses."""
    (x,), generator = roll.tables(), np.random.default_rng(roll.seed)
    points = x[generator.integers(len(x), size=roll.test_n)]
    return points + BANDWIDTH * generator.standard_normal(points.shape)


def _ours(experiment: "Experiment", roll: data.SwissRoll) -> jaxgen.Config:
    return ours(roll, experiment.setting, experiment.length)


# Other ways to count the samples of `ours` double the evaluation, so only `--full` has them.
OURS_FULL = {"others": {"rejected": grid_metrics.reject, "bare": grid_metrics.bare}}
MODELS = {
    **{name: baselines.MODELS[name] for name in ("floor", "chance", "empirical")},
    "smoothed": Model("the training points, smoothed", smoothed),
    "gaussian_mixture": baselines.MODELS["gaussian_mixture"],
    "mixture_density": baselines.mixture_density_model(100),
    **{name: baselines.MODELS[name] for name in ("gan_published", "gan")},
    "untrained": Model("EVL, untrained", config=_ours, options={"train": False}),
    "paper": Model(
        "EVL, the paper's protocol",
        config=lambda e, roll: baselines.extreme_value(roll, roll.seed, epochs=e.paper_epochs),
        options={"others": {"rejected": grid_metrics.reject}},
    ),
    "ours": Model(OURS, config=_ours, options={"evaluations": EVALUATIONS}),
}
PUBLISHED = {  # Table I
    "empirical": {"kl": 0.054, "fisher": 0.126},
    "gaussian_mixture": {"kl": 0.312, "fisher": 1.294},
    "gan_published": {"kl": 0.246, "fisher": 0.647},
    "paper": {"kl": 0.204, "fisher": 0.411},
    "ours": {"kl": 0.204, "fisher": 0.411},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Rows of the table, number of seeds, and length of trainings."""

    models: tuple[str, ...] = ()  # rows of the table; without any, `ours` alone, and with `--full` all
    full: bool = False  # every row, and `ours` in the setting of the committed table, 30,000 steps
    first_seed: int = 30  # the first seed; lower ones chose the configuration, and are not reported
    paper_seeds: int = 0  # seeds of the paper's own protocol, each of which takes 27 minutes on two CPU cores
    paper_epochs: int = 50  # epochs of the paper's own protocol; fewer are the beginning of the same run
    steps: int | None = None  # training steps of `ours`; by default the setting's own
    epochs: int = 50  # epochs of the adversarial networks
    density_steps: int = 4_000  # training steps of the mixture density network

    name = "evl/swiss_roll"
    choices = {"models": MODELS}
    small = {"paper_epochs": 1, "epochs": 5, "density_steps": 1_000}

    def __post_init__(self) -> None:
        """Check the fields."""
        super().__post_init__()
        if self.full and self.quick:
            raise SystemExit("`--full` and `--quick` must not be combined; give one of them.")

    @property
    def setting(self) -> Setting:
        """The setting of `ours`."""
        return FULL if self.full else QUICK if self.quick else SHORT

    @property
    def length(self) -> int:
        """Training steps of `ours`."""
        return self.steps or self.setting.steps

    @property
    def rows(self) -> tuple[str, ...]:
        """Models of the table."""
        return self.models or (tuple(MODELS) if self.full else ("ours",))

    def reduced(self) -> "Experiment":
        """The same seeds, and few epochs of the other rows that are named; `ours` has a setting of its own."""
        return dataclasses.replace(super().reduced(), num_seeds=self.num_seeds, paper_seeds=max(1, self.paper_seeds))

    def cells(self) -> Iterator[Cell]:
        """Every model on every seed."""
        for name in self.rows:
            model = MODELS[name]
            if name == "ours" and self.full:
                model = dataclasses.replace(model, options=OURS_FULL)
            count = self.paper_seeds if name == "paper" else self.num_seeds
            for seed in range(self.first_seed, self.first_seed + count):
                yield model.cell(self, name, data.SwissRoll(seed=seed))

    def tables(self, results: Results) -> list[report.Table]:
        """One table: a row for each model, and for each other way to count its samples."""
        rows = []
        for name, cells in results.items():
            title = MODELS[name].title
            row = report.Row.of(title, cells, COLUMNS, PUBLISHED.get(name, {}))
            rows.append(dataclasses.replace(row, note=self._note(name)))
            for other, described in (("rejected", "rejection sampled"), ("bare", "without the bandwidth")):
                if f"{other}_kl" in cells[0]:
                    values = {c.name: [cell[f"{other}_{c.name}"] for cell in cells] for c in grid_metrics.DIVERGENCES}
                    share = f"{np.mean([cell[f'{other}_share'] for cell in cells]):.0%} of the guesses are kept."
                    note = share if other == "rejected" else ""
                    rows.append(report.Row(f"{title}, {described}", values, {}, note))
        details = {
            "steps": self.length,
            "first": self.first_seed,
            "configs": baselines.configs(results, MODELS, self, data.SwissRoll(seed=self.first_seed)),
            "curves": curves(results),
        }
        return [report.Table("swiss_roll", TITLE, COLUMNS, rows, REMARKS, details=details)]

    def printed(self, table: report.Table) -> report.Table:
        """Without `--full`, the table with the rows of the committed one."""
        return table if self.full else expectations.with_committed_rows(table, FULL.file)

    def expected(self, table: report.Table) -> Mapping[str, Expectation]:
        """Measures of `ours` in the committed runs of its setting."""
        return {OURS: self.setting.expected()}

    def figures(self, results: Results) -> None:
        """Samples of the first seed, and both measures along training."""
        draw(self.results_directory / "swiss_roll.png", results, data.SwissRoll(seed=self.first_seed))

    def _note(self, name: str) -> str:
        if name == "paper":
            return f"{self.paper_epochs} of 50 epochs; {self.paper_seeds} seed(s), at 27 minutes each."
        if name == "smoothed":
            return f"each stands for a Gaussian of standard deviation {BANDWIDTH}."
        if name == "ours":
            note = f"each guess stands for a Gaussian of standard deviation {self.setting.bandwidth}"
            if self.full:
                return f"{note}; {self.length:,} of {FULL.steps:,} steps."
            return f"{note}; {self.length:,} steps in a smaller setting than the {FULL.steps:,} steps of `--full`."
        return ""


def curves(results: Results) -> dict[str, list[Any]]:
    """Return the evaluations along training, of each model and seed."""
    return {name: [cell["curve"] for cell in cells if cell.get("curve")] for name, cells in results.items()}


def draw(path: pathlib.Path, results: Results, roll: data.SwissRoll) -> None:
    """Draw Figure 3, the models' points from the side, and both measures against training steps."""
    evaluations = curves(results)
    shown = [name for name in ("gaussian_mixture", "gan_published", "paper", "ours") if name in results]
    points = {"the test points": grid_metrics.some(roll.test())}
    points |= {MODELS[name].title: results[name][0]["points"] for name in shown}
    learned = [name for name, by_seed in evaluations.items() if by_seed]
    panels = len(points) + 2 + (len(learned) > 1)  # with many curves, their legend takes a panel
    with report.figure(path, -(-panels // report.PANELS), min(panels, report.PANELS), size=2.7) as axes:
        for axis, (title, samples) in zip(axes.flat, points.items(), strict=False):
            x, _, z = np.array(samples).T
            axis.plot(x, z, ",", color="black", alpha=0.5)
            axis.set(title=title, xlim=(-8, 8), ylim=(-8, 8), xlabel="$x_1$", ylabel="$x_3$", aspect="equal")
        last = axes.flat[len(points) : len(points) + 2]
        for axis, measure in zip(last, grid_metrics.DIVERGENCES[:2], strict=True):
            for position, name in enumerate(learned):
                for number, curve in enumerate(evaluations[name]):
                    share = np.array([at["step"] for at in curve]) / curve[-1]["step"]
                    label = MODELS[name].title if number == 0 else None
                    axis.plot(share, [at[measure.name] for at in curve], color=f"C{position}", label=label)
            for known, line, label in (("empirical", ":", "training points"), ("ours", "--", "EVL")):
                value = PUBLISHED[known][measure.name]
                axis.axhline(value, color="grey", linestyle=line, label=f"paper: {label}")
            axis.set(title=measure.title, yscale="log", xlabel="share of the training", xlim=(0, 1))
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        if len(learned) > 1:
            axes.flat[panels - 1].legend(*last[0].get_legend_handles_labels(), loc="center left", fontsize="small")
        else:
            last[1].legend(fontsize="x-small", loc="lower left", handlelength=1.5, borderaxespad=0.3)


if __name__ == "__main__":
    experiment.main(Experiment)
