"""Training on outliers from the tails of a flow's latent space: Bungert, master's thesis (2021), section 4.1.

    python -m experiments.flows.outliers                           # five seeds: half an hour on one CPU core
    python -m experiments.flows.outliers --output-dir experiments/results/flows   # the committed tables and figures
    python -m experiments.flows.outliers --quick                   # a minute

The thesis shows only pictures, of three Gaussians and of two moons; the claims are tested with numbers here. Two flows
model the inliers, one of all points and one that is conditional on the class. For each sampler of outliers, a
discriminator is trained to separate them from inliers, and a classifier to be uncertain on them. Both are evaluated on
other outliers: uniform in a square, on a ring, in the gaps of the data's convex hull, from the other distribution, and
wide noise. Outliers inside the true region of mass 99 % are left out. Baselines are the flows' densities, a classifier
trained without outliers, the distance to the fifth neighbor, the true density, and an untrained discriminator. Seeds
100 and 101 chose the settings.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.neighbors import NearestNeighbors

import jaxgen
from experiments.common import experiment, report, training
from experiments.common.experiment import Cell, Results
from experiments.common.image_classifier import log_probabilities
from experiments.flows import outliers_report, toy_distributions
from experiments.flows.outlier_samplers import SAMPLERS, Flows
from experiments.flows.outlier_settings import TRAIN_POINTS, Points, Setting, flows
from jaxgen import data, methods, metrics

Score: TypeAlias = Callable[[np.ndarray], Any]  # points [n, 2] -> scores [n], higher for outliers


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Distributions, samplers, number of seeds, and length."""

    distributions: tuple[str, ...] = tuple(toy_distributions.DISTRIBUTIONS)  # distributions of the inliers
    samplers: tuple[str, ...] = tuple(SAMPLERS)  # samplers of the training outliers
    num_seeds: int = 5  # seeds, of data and training alike
    depth: int = 8  # couplings of a flow
    steps: int = 1_000  # training steps of a flow, of 512 points each
    classifier_steps: int = 1_500  # training steps of a discriminator or classifier, of 256 points of each table

    name = "flows/outliers"
    choices = {"distributions": toy_distributions.DISTRIBUTIONS, "samplers": SAMPLERS}
    small = {"samplers": ("extreme", "spread, rejected"), "depth": 2, "steps": 20, "classifier_steps": 20}

    def cells(self) -> Iterator[Cell]:
        """The baselines and each sampler; all cells of a distribution and seed share the trained flows."""
        for seed in self.seeds:
            for name in self.distributions:
                setting = Setting(name, seed, self.depth, self.steps, self.classifier_steps, seed == self.first_seed)
                config, settings = setting.flow_config(), dataclasses.asdict(setting)
                measure = functools.partial(measure_baselines, setting)
                yield Cell(f"{name}-baselines", seed, measure, config, settings)
                for sampler in self.samplers:
                    measure = functools.partial(measure_sampler, setting, sampler)
                    yield Cell(f"{name}-{sampler}", seed, measure, config, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """Detection by all networks, and the quality of the flows."""
        details = {"steps": [self.steps, self.classifier_steps], "depth": self.depth}
        details |= {"first": self.first_seed, "seeds": self.num_seeds}
        return outliers_report.tables(self._rows(results), self.samplers, details)

    def figures(self, results: Results) -> None:
        """Two figures for each distribution, of the first seed."""
        for name, rows in self._rows(results).items():
            ending = f"{name.replace(' ', '-')}.png"
            outliers_report.draw(self.results_directory / f"outliers-{ending}", name, rows, self.samplers)
            outliers_report.draw_flows(self.results_directory / f"outliers_flows-{ending}", rows["pictures"][0])

    def _rows(self, results: Results) -> outliers_report.Rows:
        """Measurements of all seeds by distribution and row."""
        rows: outliers_report.Rows = {name: {} for name in self.distributions}
        for name in self.distributions:
            for part in ("baselines", *self.samplers):
                for cell in results[f"{name}-{part}"]:
                    for kind, numbers in cell.items():
                        rows[name].setdefault(kind if part == "baselines" else f"{part}: {kind}", []).append(numbers)
        return rows


def quality(flows: Flows, points: Points) -> dict[str, float]:
    """KL divergence of the true distribution from each flow in nats, on the test points, and inversion errors."""
    test = np.asarray(points.test, np.float32)
    truth = points.distribution.log_density(points.test).mean()
    divergence = lambda flow: float(truth + np.mean(flow.scores(test)["nll"][0]))
    divergences = {"kl": divergence(flows.plain), "kl by class": divergence(flows.by_class)}
    return divergences | inversion(*training.first_model(flows.plain), points.test)


def inversion(flow: Any, state: Any, x: np.ndarray) -> dict[str, float]:
    """Distance of points `[n, 2]` from decode(encode(x)): the median in float32, and the maximum in float64."""
    distance = lambda state, x: jnp.linalg.norm(flow.decode(state, flow.encode(state, x)) - x, axis=1)
    single = np.asarray(jax.jit(distance)(state, jnp.asarray(x, jnp.float32)))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), state.params)
        double = np.asarray(jax.jit(distance)(state._replace(params=params), jnp.asarray(x, jnp.float64)))
    return {"error in single": float(np.median(single)), "error in double": float(double.max())}


def evaluated(score: Score, points: Points) -> dict[str, Any]:
    """Evaluate a score: AUROC for each kind of outliers, and means over the kinds of AUROC, AUPRC and FPR."""
    inliers = np.asarray(score(points.test), np.float64)
    by_kind: dict[str, Any] = {}
    every = []
    for kind, x in points.outliers.items():
        outliers = np.asarray(score(x), np.float64)
        detection = metrics.detection(inliers, outliers)
        by_kind[kind] = detection.auroc
        inliers_found = metrics.detection(-outliers, -inliers)
        every.append([detection.auroc, detection.auprc, inliers_found.auprc, detection.fpr_at_95_tpr])
    return by_kind | dict(zip(("auroc", "auprc", "auprc_in", "fpr"), np.mean(every, 0).tolist(), strict=True))


def evaluated_classifier(result: jaxgen.Result[methods.Classifier], points: Points) -> dict[str, Any]:
    """Evaluate a classifier: 1 - max softmax as a score, accuracy, calibration, and entropy on outliers."""
    p = lambda x: np.exp(log_probabilities(result, np.asarray(x, np.float32)).astype(np.float64))
    entropy = lambda p: -np.mean(np.sum(p * np.log(np.maximum(p, 1e-30)), 1)) / np.log(p.shape[1])
    test = p(points.test)
    return {
        **evaluated(lambda x: 1 - p(x).max(1), points),
        "accuracy": float(np.mean(test.argmax(1) == points.test_labels)),
        "ece": metrics.expected_calibration_error(test, points.test_labels),
        "entropy": float(np.mean([entropy(p(x)) for x in points.outliers.values()])),
    }


def scorer(result: jaxgen.Result, name: str) -> Score:
    """One of a model's scores as a function of points."""
    return lambda x: result.scores(np.asarray(x, np.float32))[name][0]


def measure_baselines(setting: Setting, directory: pathlib.Path) -> dict[str, Any]:
    """Evaluate flows, a classifier and distances that use no outliers, the true density, and an untrained network."""
    points, trained = setting.points, flows(setting, directory)
    discriminator, classifier = setting.networks(uniformity_weight=0.0)
    inliers = data.Arrays(points.x)
    plain = setting.trained(classifier, data.Arrays((points.x, points.labels)))
    untrained = jaxgen.untrained(setting.config(discriminator, data.Zip((inliers, inliers)), 5, 256))
    neighbors = NearestNeighbors(n_neighbors=5).fit(points.x)
    distance = lambda x: neighbors.kneighbors(np.asarray(x, np.float32))[0][:, -1]
    measures = {
        "flow": {**evaluated(scorer(trained.plain, "nll"), points), **quality(trained, points)},
        "flow by class": evaluated(scorer(trained.by_class, "nll"), points),
        "plain classifier": evaluated_classifier(plain, points),
        "neighbours": evaluated(distance, points),
        "truth": evaluated(lambda x: -points.distribution.log_density(x), points),
        "untrained": evaluated(scorer(untrained, "logit"), points),
    }
    if setting.figure:
        measures["pictures"] = outliers_report.maps(trained, plain, points)
    return measures


def measure_sampler(setting: Setting, sampler: str, directory: pathlib.Path) -> dict[str, Any]:
    """Draw outliers, train both networks on them, and evaluate these."""
    points = setting.points
    key = jax.random.fold_in(jax.random.key(setting.seed), 7)
    draw = SAMPLERS[sampler].draw
    outliers = np.asarray(draw(key, flows(setting, directory), points.distribution, TRAIN_POINTS), np.float32)
    likely = points.distribution.log_density(outliers) > points.distribution.log_density_quantile(0.05)
    contamination = {"contamination": float(np.mean(likely))}
    discriminator, classifier = setting.networks(uniformity_weight=1.0)
    table = data.Arrays(outliers)
    separates = setting.trained(discriminator, data.Arrays(points.x), table)
    classifies = setting.trained(classifier, data.Arrays((points.x, points.labels)), table)
    separated = {**evaluated(scorer(separates, "logit"), points), **contamination}
    classified = {**evaluated_classifier(classifies, points), **contamination}
    if setting.figure:
        separated["map"] = outliers_report.score_map(separates)
        classified["map"] = outliers_report.score_map(classifies)
    return {"points": outliers[:500].tolist(), "discriminator": separated, "classifier": classified}


if __name__ == "__main__":
    experiment.main(Experiment)
