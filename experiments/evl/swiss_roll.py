"""Table I and Figure 3 of Guttenberg, Generating the support with extreme value losses (2019): the swiss roll.

    python -m experiments.evl.swiss_roll            # a first result: our model, one seed
    python -m experiments.evl.swiss_roll --quick    # a smoke test: the same with fewer steps
    python -m experiments.evl.swiss_roll --full     # every row but the paper's own protocol: eight minutes
    python -m experiments.evl.swiss_roll --full --models ours --num-seeds 5    # the headline of the committed table
    python -m experiments.evl.swiss_roll --full --num-seeds 5 --paper-seeds 1 --output-dir experiments/results    # all of it

50,000 training and 400,000 test points, KL divergence and Fisher distance on a grid of 20^3 cells.
Without an argument expect KL 0.006 to 0.090 and Fisher 0.163 to 0.239.
That takes 14,000 steps and a minute of processor time.
With `--quick` expect KL 0.091 to 0.136 and Fisher 0.679 to 0.823, after 4,000 steps and half a minute.
These are 95% prediction intervals from seeds 30 to 34, and a run prints whether it falls inside.
With `--full`, ours reached KL 0.020 +- 0.011 and Fisher 0.153 +- 0.007; the paper prints 0.204 and 0.411.

Without `--full` the other rows are printed from the committed table, marked as such. The paper's own protocol takes
27 minutes a seed, so it runs with `--paper-seeds` alone. Cells and checkpoints are kept in `runs/`, so a table that was
cut off continues where it stopped.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
import tyro
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.common import committed, report
from experiments.evl import baselines, grid_metrics
from experiments.evl.swiss_roll_tuning import (
    BANDWIDTH,
    EVALUATIONS,
    FULL,
    NAME,
    OURS,
    QUICK,
    RESULTS,
    SHORT,
    Setting,
    ours,
)
from jaxgen import data

TITLE = "Table I: the swiss roll in three dimensions, KL(test || model) and Fisher distance"
COLUMNS = [*grid_metrics.DIVERGENCES, report.Column("ess", "ESS share", 2), grid_metrics.SECONDS]
REMARKS = [
    "KL sees only the cells with test points; mass off support is what it does not see. "
    "The floor is what as many plain draws score; weighed or widened guesses may score below it."
]


def smoothed(roll: data.SwissRoll) -> np.ndarray:
    """Draw from the kernel density of the training points, at the bandwidth of our guesses."""
    (x,), generator = roll.tables(), np.random.default_rng(roll.seed)
    points = x[generator.integers(len(x), size=roll.test_n)]
    return points + BANDWIDTH * generator.standard_normal(points.shape)


def train_ours(experiment: "Experiment", name: str, roll: data.SwissRoll) -> dict[str, Any]:
    """Train and score ours; the other ways to count its samples, which double the evaluation, with `--full` alone."""
    config = ours(roll, experiment.setting, experiment.steps)
    if experiment.full:
        return grid_metrics.trained(
            experiment.cache_dir, name, config, others={"rejected": grid_metrics.reject, "bare": grid_metrics.bare}
        )
    return grid_metrics.trained(experiment.cache_dir, name, config, evaluations=EVALUATIONS)


MODELS: dict[str, tuple[str, baselines.Cell]] = {
    **{name: baselines.MODELS[name] for name in ("floor", "chance", "empirical")},
    "smoothed": ("the training points, smoothed", baselines.drawn(smoothed, bandwidth=BANDWIDTH)),
    "gaussian_mixture": baselines.MODELS["gaussian_mixture"],
    "mixture_density": baselines.density_network(100),
    **{name: baselines.MODELS[name] for name in ("gan_published", "gan")},
    "untrained": ("EVL, untrained", baselines.trained(lambda e, roll: ours(roll, e.setting, e.steps), train=False)),
    "paper": (
        "EVL, the paper's protocol",
        baselines.trained(
            lambda e, roll: baselines.extreme_value(roll, roll.seed, epochs=e.paper_epochs),
            others={"rejected": grid_metrics.reject},
        ),
    ),
    "ours": (OURS, baselines.Cell(train_ours, lambda e, roll: ours(roll, e.setting, e.steps))),
}
PUBLISHED = {  # Table I
    "empirical": {"kl": 0.054, "fisher": 0.126},
    "gaussian_mixture": {"kl": 0.312, "fisher": 1.294},
    "gan_published": {"kl": 0.246, "fisher": 0.647},
    "paper": {"kl": 0.204, "fisher": 0.411},
    "ours": {"kl": 0.204, "fisher": 0.411},
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Which rows of the table, how many seeds, how long."""

    models: tuple[str, ...] = ()
    """Rows of the table; without any, `ours` alone, and with `--full` all."""
    full: bool = False
    """Every row, and `ours` in the setting of the committed table, 30,000 steps."""
    quick: bool = False
    """A smoke test: `ours` with few steps, and other rows that are named with few epochs."""
    num_seeds: int = 1
    """How many seeds, of data and training alike."""
    first_seed: int = 30
    """The first of them; lower ones chose the configuration, and are not reported."""
    paper_seeds: int = 0
    """Seeds of the paper's own protocol, each of which takes 27 minutes on two CPU cores."""
    paper_epochs: int = 50
    """Epochs of the paper's own protocol; fewer are the beginning of the same run."""
    steps: int = 0
    """Training steps of `ours`; 0 takes the setting's own."""
    epochs: int = 50
    """Epochs of the adversarial networks."""
    density_steps: int = 4_000
    """Training steps of the mixture density network."""
    cache_dir: pathlib.Path = pathlib.Path("runs/evl/swiss_roll")
    """Where cells and checkpoints are kept."""
    out: pathlib.Path | None = None
    """Where the table and the figure go; by default beside the cells."""

    @property
    def setting(self) -> Setting:
        """The setting of `ours`."""
        return FULL if self.full else QUICK if self.quick else SHORT


def planned(experiment: Experiment) -> Experiment:
    """Fill in what the command line left open.

    Raises:
        SystemExit: if a model is unknown, or the experiment is to be both full and quick.
    """
    if unknown := set(experiment.models) - set(MODELS):
        raise SystemExit(f"there are no models {sorted(unknown)}; choose from {', '.join(MODELS)}.")
    if experiment.full and experiment.quick:
        raise SystemExit("`--full` and `--quick` must not be combined; give one of them.")
    models = experiment.models or (tuple(MODELS) if experiment.full else ("ours",))
    changed: dict[str, Any] = {"models": models, "steps": experiment.steps or experiment.setting.steps}
    if experiment.quick:
        changed |= {
            "paper_seeds": max(1, experiment.paper_seeds),
            "paper_epochs": 1,
            "epochs": min(experiment.epochs, 5),
            "density_steps": min(experiment.density_steps, 1_000),
            "cache_dir": experiment.cache_dir / "quick",
        }
    changed["out"] = experiment.output_dir or changed.get("runs", experiment.cache_dir)
    return dataclasses.replace(experiment, **changed)


def run(experiment: Experiment) -> report.Table:
    """Train and score every cell, print the table, and write it with its figure."""
    experiment = planned(experiment)
    assert experiment.output_dir is not None
    found: dict[str, list[dict[str, Any]]] = {}
    for name in experiment.models:
        count = experiment.paper_seeds if name == "paper" else experiment.num_seeds
        for seed in range(experiment.first_seed, experiment.first_seed + count):
            title, cell = MODELS[name]
            print(f"{title}, seed {seed}", flush=True)
            found.setdefault(name, []).append(cell(experiment, f"{name}-{seed}", data.SwissRoll(seed=seed)))
    table = report.Table(NAME, TITLE, COLUMNS, tabulate(experiment, found), REMARKS)
    curves = {name: [cell["curve"] for cell in cells if cell.get("curve")] for name, cells in found.items()}
    roll = data.SwissRoll(seed=experiment.first_seed)
    configs = baselines.configs(found, MODELS, experiment, roll)
    details = {"steps": experiment.steps, "first": experiment.first_seed, "configs": configs, "curves": curves}
    table.write(
        experiment.output_dir,
        details,
        printed=table if experiment.full else committed.beside(table, RESULTS / f"{NAME}.json"),
    )
    draw(experiment.output_dir / f"{NAME}.png", found, curves, roll)
    if "ours" in found:
        print("\n".join(judged(experiment, found["ours"])))
    return table


def tabulate(experiment: Experiment, found: dict[str, list[dict[str, Any]]]) -> list[report.Row]:
    """Return a row for each model, and for each other way to count its samples."""
    rows = []
    for name, cells in found.items():
        title = MODELS[name][0]
        values = {c.name: [cell[c.name] for cell in cells if c.name in cell] for c in COLUMNS}
        rows.append(report.Row(title, values, PUBLISHED.get(name, {}), _note(experiment, name)))
        others = {"rejected": "rejection sampled", "bare": "without the bandwidth"}
        for other, told in others.items():
            if f"{other}_kl" in cells[0]:
                values = {c.name: [cell[f"{other}_{c.name}"] for cell in cells] for c in grid_metrics.DIVERGENCES}
                share = f"{np.mean([cell[f'{other}_share'] for cell in cells]):.0%} of the guesses are kept."
                rows.append(report.Row(f"{title}, {told}", values, {}, share if other == "rejected" else ""))
    return rows


def judged(experiment: Experiment, cells: list[dict[str, Any]]) -> list[str]:
    """Return lines that compare cells of `ours`, one per seed, with what the committed runs of its setting measured."""
    expected = experiment.setting.expected()
    lines = [f"{OURS}, {expected}"]
    if experiment.steps != expected.steps:
        return [*lines, f"This run had {experiment.steps:,} steps, so the intervals do not apply to it."]
    for seed, cell in enumerate(cells, experiment.first_seed):
        lines += [f"seed {seed}, {line}" for line in expected.verdict(cell)]
    return lines


def _note(experiment: Experiment, name: str) -> str:
    if name == "paper":
        return f"{experiment.paper_epochs} of 50 epochs; {experiment.paper_seeds} seed(s), at 27 minutes each."
    if name == "smoothed":
        return f"each stands for a Gaussian of standard deviation {BANDWIDTH}."
    if name == "ours":
        told = f"each guess stands for a Gaussian of standard deviation {experiment.setting.bandwidth}"
        if experiment.full:
            return f"{told}; {experiment.steps:,} of {FULL.steps:,} steps."
        return f"{told}; {experiment.steps:,} steps in a smaller setting than the {FULL.steps:,} steps of `--full`."
    return ""


def draw(
    path: pathlib.Path, found: dict[str, list[dict[str, Any]]], curves: dict[str, list[Any]], roll: data.SwissRoll
) -> None:
    """Draw Figure 3, the models' points from the side, and both measures against training steps."""
    shown = [name for name in ("gaussian_mixture", "gan_published", "paper", "ours") if name in found]
    points = {"the test points": grid_metrics.some(roll.test())}
    points |= {MODELS[name][0]: found[name][0]["points"] for name in shown}
    learned = [name for name in curves if curves[name]]
    panels = len(points) + 2 + (len(learned) > 1)  # with many curves, their legend takes a panel
    with report.figure(path, -(-panels // report.PANELS), min(panels, report.PANELS), size=2.7) as axes:
        for axis in axes.flat[panels - (len(learned) > 1) :]:
            axis.axis("off")
        for axis, (title, drawn) in zip(axes.flat, points.items(), strict=False):
            x, _, z = np.array(drawn).T
            axis.plot(x, z, ",", color="black", alpha=0.5)
            axis.set(title=title, xlim=(-8, 8), ylim=(-8, 8), xlabel="$x_1$", ylabel="$x_3$", aspect="equal")
        last = axes.flat[len(points) : len(points) + 2]
        for axis, measure in zip(last, grid_metrics.DIVERGENCES[:2], strict=True):
            for position, name in enumerate(learned):
                for number, curve in enumerate(curves[name]):
                    share = np.array([at["step"] for at in curve]) / curve[-1]["step"]
                    label = MODELS[name][0] if number == 0 else None
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
    run(tyro.cli(Experiment))
