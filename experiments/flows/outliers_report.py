"""Tables and figures of `flows.outliers`, and tests of the thesis' claims."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import jaxgen
from experiments.common import report, training
from experiments.common.image_classifier import log_probabilities
from experiments.flows import toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS, Flows
from experiments.flows.outlier_settings import Points

TITLE = "Outliers from a flow's latent space, and networks trained on them"
COLUMNS = [
    report.Column("auroc", "AUROC, mean of kinds"),
    *(report.Column(kind, kind) for kind in toy_distributions.OUTLIERS),
    report.Column("auprc", "AUPRC, outliers"),
    report.Column("auprc_in", "AUPRC, inliers"),
    report.Column("fpr", "FPR at 95 % TPR"),
    report.Column("accuracy", "accuracy", 4),
    report.Column("ece", "ECE"),
    report.Column("entropy", "entropy of outliers / ln K"),
    report.Column("contamination", "outliers in the region of 95 %"),
]
FLOW_COLUMNS = [
    report.Column("kl", "KL from the truth, nats", 4),
    report.Column("kl by class", "the same, flow by class", 4),
    report.Column("error in single", "inversion, median, float32", 9),
    report.Column("error in double", "inversion, most, float64", 16),
]
BASELINES = {
    "flow": "flow, -log p",
    "flow by class": "flow by class, -log p",
    "plain classifier": "plain classifier, 1 - max softmax",
    "neighbours": "distance to the 5th neighbour",
    "truth": "true -log p (bound)",
    "untrained": "untrained discriminator",
}
MARGIN = 0.005  # smaller gains do not count; set when the results of two of five seeds were known
# The row that should be higher, the row that should be lower, and in which measure.
CLAIMS = {
    "C1, training on shells makes a classifier's uncertainty detect better, at a cost of at most 0.01 in accuracy": (
        "extreme, by class: classifier",
        "plain classifier",
        "auroc",
    ),
    "C2, rejecting likely outliers makes it more accurate": (
        "extreme, by class, rejected: classifier",
        "extreme, by class: classifier",
        "accuracy",
    ),
    "C3, in the gap between modes the density detects better than a discriminator trained on shells": (
        "flow",
        "extreme: discriminator",
        "gap",
    ),
    "C4, spread radii transfer better than a thin shell": (
        "spread: discriminator",
        "thin 0.001: discriminator",
        "auroc",
    ),
    "C5, a discriminator detects better than the density whose outliers it was trained on": (
        "spread, rejected: discriminator",
        "flow",
        "auroc",
    ),
}
ACROSS = 4  # samplers in a row of a figure
SIDE, REACH = 60, 6.0  # pixels of a map, and half the side of its square
Rows: TypeAlias = dict[str, dict[str, list[Any]]]  # measurements of all seeds by distribution and row


def score_map(result: jaxgen.Result) -> list[list[float]]:
    """Map of a score over the plane: a classifier's entropy divided by ln K, or the probability of outliers."""
    scores = {name: values[0] for name, values in result.scores(_grid().astype(np.float32)).items()}
    if "entropy" in scores:
        return _shaped(scores["entropy"] / math.log(result.config.method.classes))
    return _shaped(jax.nn.sigmoid(scores["logit"]))


def maps(flows: Flows, classifier: jaxgen.Result, points: Points) -> dict[str, Any]:
    """Maps of the flow's and the true log-density and of a classifier, and latent vectors of 1,000 inliers."""
    grid = _grid().astype(np.float32)
    flow, state = training.first_model(flows.plain)
    by_class, state_by_class = training.first_model(flows.by_class)
    x, labels = jnp.asarray(points.x[:1_000]), points.labels[:1_000]
    return {
        "density": _shaped(np.maximum(-flows.plain.scores(grid)["nll"][0], -20.0)),
        "truth": _shaped(np.maximum(points.distribution.log_density(_grid()), -20.0)),
        "classes": _shaped(log_probabilities(classifier, grid).argmax(1)),
        "entropy": score_map(classifier),
        "latents": flow.encode(state, x).tolist(),
        "latents by class": by_class.encode(state_by_class, x, jnp.asarray(labels)).tolist(),
        "labels": labels.tolist(),
    }


def _shaped(values: Any) -> list[list[float]]:
    return np.asarray(values, np.float64).reshape(SIDE, SIDE).round(4).tolist()


def _grid() -> np.ndarray:
    side = np.linspace(-REACH, REACH, SIDE)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


def _gain(rows: Mapping[str, Sequence[Any]], one: str, other: str, measure: str) -> np.ndarray:
    """Difference of a measure between two rows, for each seed."""
    return np.array([a[measure] - b[measure] for a, b in zip(rows[one], rows[other], strict=True)])


def _answer(gain: np.ndarray, margin: float) -> str:
    """Compare the 95 % interval of a mean, by Student's t, with 0 (yes if above) and `margin` (no if below)."""
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
    return "yes" if gain.mean() > half else "no" if gain.mean() + half < margin else "open"


def claims(rows: Rows) -> list[str]:
    """Test the claims on every distribution with both rows, by the paired differences of the rows over the seeds.

    A claim holds (yes) if the 95 % interval of the mean difference is above 0. It does not hold (no) if the interval
    ends below `MARGIN`, a difference too small to matter. Otherwise it is open.
    """
    answers = []
    for name, measured in rows.items():
        for claim, (one, other, measure) in CLAIMS.items():
            if not {one, other} <= set(measured) or len(measured[one]) < 2 or measure not in measured[one][0]:
                continue
            gain = _gain(measured, one, other, measure)
            answer, numbers = _answer(gain, MARGIN), f"{measure} {report.mean_and_std(gain, 4)} higher"
            if claim.startswith("C1"):
                loss = _gain(measured, one, other, "accuracy")
                both = answer, _answer(loss + 0.01, 0.0)
                answer = next(worst for worst in ("no", "open", "yes") if worst in both)
                numbers += f", accuracy {report.mean_and_std(loss, 4)}"
            answers.append(f"- {claim}; {name}: {answer} ({numbers}).")
    return answers


def tables(rows: Rows, samplers: Sequence[str], details: Mapping[str, Any]) -> list[report.Table]:
    """Tables of detection and of the flows."""
    lines, flows = [], []
    for name, measured in rows.items():
        lines += [report.Row.of(f"{name}: {title}", measured[key], COLUMNS) for key, title in BASELINES.items()]
        flows.append(report.Row.of(name, measured["flow"], FLOW_COLUMNS))
        for key in samplers:
            for kind in ("discriminator", "classifier"):
                title = f"{name}: {SAMPLERS[key].title}: {kind}"
                lines.append(report.Row.of(title, measured[f"{key}: {kind}"], COLUMNS))
    best = "; ".join(f"{name} {toy_distributions.DISTRIBUTIONS[name].accuracy:.4f}" for name in rows)
    remarks = [
        "Chance is 0.5 for AUROC and AUPRC. The last column is the share of training outliers inside the true region "
        f"of mass 95 %. The square is the kind `box` itself. The Bayes classifier has an accuracy of {best}. A claim "
        "holds (yes) if the 95 % interval of the mean difference is above 0; it does not (no) if the interval ends "
        f"below {MARGIN:g}; otherwise it is open. That margin was set when two of the seeds were known.",
        "",
        *claims(rows),
    ]
    aim = ["The aim: 0.05 nats and 1e-5."]
    return [
        report.Table("outliers", TITLE, COLUMNS, lines, remarks, details=details),
        report.Table("outliers_flows", "The flows behind the outliers", FLOW_COLUMNS, flows, aim, details=details),
    ]


def draw(path: pathlib.Path, name: str, rows: Mapping[str, Sequence[Any]], samplers: Sequence[str]) -> None:
    """Draw each sampler's outliers and the inliers, and maps of the two networks that were trained on them."""
    inliers = toy_distributions.DISTRIBUTIONS[name].reference[0][:500]
    extent = (-REACH, REACH, -REACH, REACH)
    bands = -(-len(samplers) // ACROSS)
    with report.figure(path, 3 * bands, min(len(samplers), ACROSS), size=2.2) as axes:
        for place, key in enumerate(samplers):
            top, column = 3 * (place // ACROSS), place % ACROSS
            scatter = axes[top, column]
            scatter.scatter(*inliers.T, s=1, c="0.7")
            scatter.scatter(*np.array(rows[f"{key}: points"][0]).T, s=1, c="tab:red")
            scatter.set(title=key, xlim=extent[:2], ylim=extent[:2])
            for row, kind in ((1, "discriminator"), (2, "classifier")):
                axis = axes[top + row, column]
                axis.imshow(rows[f"{key}: {kind}"][0]["map"], origin="lower", extent=extent, vmin=0, vmax=1)
                if not column:
                    axis.set_ylabel("discriminator, P(outlier)" if row == 1 else "classifier, entropy / ln K")


def draw_flows(path: pathlib.Path, shown: Mapping[str, Any]) -> None:
    """Draw both log-densities, a classifier's regions and entropy, and the latent vectors of inliers."""
    titles = {
        "truth": "true log-density, from -20",
        "density": "the flow's",
        "classes": "plain classifier",
        "entropy": "its entropy / ln K",
    }
    latents = {"latents": "latent", "latents by class": "latent, by class"}
    with report.figure(path, 2, 3, size=2.6) as axes:
        for axis, (key, title) in zip(axes.flat, titles.items(), strict=False):
            axis.imshow(shown[key], origin="lower", extent=(-REACH, REACH, -REACH, REACH))
            axis.set(title=title)
        for axis, (key, title) in zip(axes.flat[4:], latents.items(), strict=True):
            axis.scatter(*np.array(shown[key]).T, s=1, c=shown["labels"])
            axis.set(title=title, xlim=(-4, 4), ylim=(-4, 4))
