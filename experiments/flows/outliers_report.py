"""The table of `flows.outliers`, the claims of the thesis with their answers, and the pictures."""

import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from experiments.common import report
from experiments.flows import toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS, Flows

__all__ = ["claims", "mapped", "pictured", "written"]

COLUMNS = [
    report.Column("auroc", "AUROC, mean of kinds"),
    *(report.Column(kind, kind) for kind in toy_distributions.STRANGE),
    report.Column("auprc", "AUPRC, outliers"),
    report.Column("auprc_in", "AUPRC, inliers"),
    report.Column("fpr", "FPR at 95 % TPR"),
    report.Column("accuracy", "accuracy", 4),
    report.Column("ece", "ECE"),
    report.Column("entropy", "entropy of outliers / ln K"),
    report.Column("contamination", "outliers in the region of 95 %"),
]
FLOWS = [
    report.Column("kl", "KL from the truth, nats", 4),
    report.Column("kl by class", "the same, flow by class", 4),
    report.Column("error in single", "inversion, median, float32", 9),
    report.Column("error in double", "inversion, most, float64", 16),
]
BASELINES = {
    "flow": "flow, -log p",
    "flow by class": "flow by class, -log p",
    "plain classifier": "plain classifier, doubt",
    "neighbours": "distance to the 5th neighbour",
    "truth": "true -log p (bound)",
    "untrained": "untrained discriminator",
}
LEAST = 0.005  # a smaller gain is none; set when two of five seeds were known
# Each with the line that is to be higher in a measure, and the line that is to be lower.
CLAIMS = {
    "C1, a classifier that learned from shells doubts better, at one point of accuracy at the most": (
        "extreme, by class: classifier",
        "plain classifier",
        "auroc",
    ),
    "C2, rejecting likely outliers makes it more accurate": (
        "extreme, by class, rejected: classifier",
        "extreme, by class: classifier",
        "accuracy",
    ),
    "C3, in the gap between modes the density is better than what learned from shells": (
        "flow",
        "extreme: discriminator",
        "gap",
    ),
    "C4, spread radii transfer better than a thin shell": (
        "spread: discriminator",
        "thin 0.001: discriminator",
        "auroc",
    ),
    "C5, a discriminator is better than the density whose outliers it learned from": (
        "spread, rejected: discriminator",
        "flow",
        "auroc",
    ),
}
ACROSS = 9  # samplers in a line of a figure
SIDE, REACH = 60, 6.0  # pixels of a map, and how far from the origin it goes
Cells = dict[str, dict[str, list[dict[str, Any]]]]


def mapped(method: Any, state: Any) -> list[list[float]]:
    """Return a picture of the plane: a classifier's entropy over that of even odds, or a probability of outliers."""
    scores = jax.jit(method.scores)(state, jnp.asarray(_places(), jnp.float32))
    values = scores["entropy"] / math.log(method.classes) if "entropy" in scores else jax.nn.sigmoid(scores["logit"])
    return np.asarray(values).reshape(SIDE, SIDE).round(4).tolist()


def pictured(flows: Flows, result: Any, rows: Any) -> dict[str, Any]:
    """Return what flows and plain classifier make of the plane, and where inliers lie in latent space."""
    places = jnp.asarray(_places(), jnp.float32)
    flow, state = flows.plain
    classifier = result.config.method
    x, labels = jnp.asarray(rows.x[:1_000]), rows.labels[:1_000]
    shaped = lambda values: np.asarray(values, np.float64).reshape(SIDE, SIDE).round(4).tolist()
    return {
        "density": shaped(jnp.maximum(jax.jit(flow.log_prob)(state, places), -20.0)),
        "truth": shaped(np.maximum(rows.law.log_density(_places()), -20.0)),
        "classes": shaped(classifier.predict(result.state_of(0), places)),
        "entropy": mapped(classifier, result.state_of(0)),
        "latents": flow.encode(state, x).tolist(),
        "latents by class": flows.by_class[0].encode(flows.by_class[1], x, jnp.asarray(labels)).tolist(),
        "labels": labels.tolist(),
    }


def _places() -> np.ndarray:
    grid = np.linspace(-REACH, REACH, SIDE)
    return np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)


def _gain(law: dict[str, Any], one: str, other: str, measure: str) -> np.ndarray:
    """Return how much larger a measure is in one line than in the other, seed by seed."""
    return np.array([a[measure] - b[measure] for a, b in zip(law[one], law[other], strict=True)])


def _answered(gain: np.ndarray, least: float) -> str:
    """Tell whether a mean is above 0 (yes), at the most `least` (no), or neither, at 95 % by Student's law."""
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
    return "yes" if gain.mean() > half else "no" if gain.mean() + half < least else "open"


def claims(cells: Cells) -> list[str]:
    """Answer the claims on every law, each by the differences of two lines seed by seed.

    What is claimed to be larger is so where the 95 % interval of the mean difference is above 0, is not so where it
    ends below `LEAST`, a difference too small to matter, and is left open between.
    """
    answers = []
    for name, law in cells.items():
        for claim, (one, other, measure) in CLAIMS.items():
            if not {one, other} <= set(law) or len(law[one]) < 2 or measure not in law[one][0]:
                continue
            gain = _gain(law, one, other, measure)
            answer, told = _answered(gain, LEAST), f"{measure} {report.mean_and_deviation(gain, 4)} higher"
            if claim.startswith("C1"):
                loss = _gain(law, one, other, "accuracy")
                kept = _answered(loss + 0.01, 0.0)
                answer = next(found for found in ("no", "open", "yes") if found in (answer, kept))
                told += f", accuracy {report.mean_and_deviation(loss, 4)}"
            answers.append(f"- {claim}; {name}: {answer} ({told}).")
    return answers


def written(experiment: Any, title: str, cells: Cells) -> report.Table:
    """Print and write the tables, and draw the figures."""
    rows, flows = [], []
    for name, law in cells.items():
        rows += [report.Row.of(f"{name}: {told}", law[key], COLUMNS) for key, told in BASELINES.items()]
        flows.append(report.Row.of(name, law["flow"], FLOWS))
        for key in experiment.samplers:
            for kind in ("discriminator", "classifier"):
                line = f"{name}: {SAMPLERS[key].title}: {kind}"
                rows.append(report.Row.of(line, law[f"{key}: {kind}"], COLUMNS))
    best = "; ".join(f"{name} {toy_distributions.LAWS[name].accuracy:.4f}" for name in cells)
    remarks = [
        "Chance is 0.5 for AUROC and AUPRC; a sampler's contamination is the share of its draws inside the true region "
        f"of 95 %; the square is the kind `box` itself. Who knows the law has an accuracy of {best}. What is claimed "
        "to be higher is so (yes) where the 95 % interval of the differences is above 0, else not (no) where it ends "
        f"below {LEAST:g}, and else open; that margin was set when two of the seeds were known.",
        "",
        *claims(cells),
    ]
    table = report.Table("flow_outliers", title, COLUMNS, rows, remarks)
    details = {"steps": [experiment.steps, experiment.judging], "depth": experiment.depth}
    details |= {"first": experiment.first_seed, "seeds": experiment.num_seeds}
    table.write(experiment.output_dir, details)
    quality = report.Table(
        "flow_outliers_flows", "The flows behind the outliers", FLOWS, flows, ["The aim: 0.05 nats and 1e-5."]
    )
    quality.write(experiment.output_dir, details)
    for name, law in cells.items():
        file = experiment.output_dir / f"flow_outliers-{name.replace(' ', '-')}.png"
        draw(file, name, law, experiment.samplers)
        draw_flows(file.with_name(file.name.replace("-", "_flows-", 1)), law["pictures"][0])
    return table


def draw(path: pathlib.Path, name: str, law: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Draw every sampler's outliers over the inliers, and the maps of both networks that learned from them."""
    inliers = toy_distributions.LAWS[name].known[0][:500]
    extent = (-REACH, REACH, -REACH, REACH)
    bands = -(-len(keys) // ACROSS)
    with report.figure(path, 3 * bands, min(len(keys), ACROSS), size=2.2) as axes:
        for axis in axes[-3:].flat:  # the last band may have room to spare
            axis.axis("off")
        for place, key in enumerate(keys):
            top, column = 3 * (place // ACROSS), place % ACROSS
            drawn = axes[top, column]
            drawn.axis("on")
            drawn.scatter(*inliers.T, s=1, c="0.7")
            drawn.scatter(*np.array(law[f"{key}: points"][0]).T, s=1, c="tab:red")
            drawn.set(title=key, xlim=extent[:2], ylim=extent[:2])
            for row, kind in ((1, "discriminator"), (2, "classifier")):
                axis = axes[top + row, column]
                axis.axis("on")
                axis.imshow(law[f"{key}: {kind}"][0]["map"], origin="lower", extent=extent, vmin=0, vmax=1)
                if not column:
                    axis.set_ylabel("discriminator, P(outlier)" if row == 1 else "classifier, entropy / ln K")


def draw_flows(path: pathlib.Path, found: dict[str, Any]) -> None:
    """Draw both densities, the plain classifier's regions and entropy, and where the inliers lie in latent space."""
    titles = {
        "truth": "true log-density, from -20",
        "density": "the flow's",
        "classes": "plain classifier",
        "entropy": "its entropy / ln K",
    }
    with report.figure(path, 1, 6, size=2.6) as axes:
        for axis, (key, title) in zip(axes[0], titles.items(), strict=False):
            axis.imshow(found[key], origin="lower", extent=(-REACH, REACH, -REACH, REACH))
            axis.set(title=title)
        for axis, (key, title) in zip(
            axes[0, 4:], {"latents": "latent", "latents by class": "latent, by class"}.items(), strict=True
        ):
            axis.scatter(*np.array(found[key]).T, s=1, c=found["labels"])
            axis.set(title=title, xlim=(-4, 4), ylim=(-4, 4))
