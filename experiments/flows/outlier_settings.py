"""Points, configurations and trained flows of `flows.outliers`."""

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

import jaxgen
from experiments.common import training
from experiments.flows import toy_distributions
from experiments.flows.outlier_samplers import Flows
from jaxgen import data, methods, nets, optim

TRAIN_POINTS, VALIDATION_POINTS, TEST_POINTS = 5_000, 1_000, 5_000  # of each seed


class Points:
    """Training, validation and test points of a distribution and seed, and test outliers by kind."""

    def __init__(self, name: str, seed: int) -> None:
        self.distribution = distribution = toy_distributions.DISTRIBUTIONS[name]
        generator = np.random.default_rng([seed, list(toy_distributions.DISTRIBUTIONS).index(name)])
        draw = lambda n: distribution.draw(generator, n)
        (x, self.labels), (validation, _) = draw(TRAIN_POINTS), draw(VALIDATION_POINTS)
        self.test, self.test_labels = draw(TEST_POINTS)
        self.x, self.validation = x.astype(np.float32), validation.astype(np.float32)
        self.outliers = {}
        for kind, draw_outliers in toy_distributions.OUTLIERS.items():
            outliers = draw_outliers(distribution, generator, 6 * TEST_POINTS)
            unlikely = distribution.log_density(outliers) < distribution.log_density_quantile(0.01)
            outliers = outliers[unlikely][:TEST_POINTS]
            if len(outliers) > TEST_POINTS // 10:  # there is no gap between the three Gaussians
                self.outliers[kind] = outliers


@functools.lru_cache(2)
def points(name: str, seed: int) -> Points:
    """Points of a distribution and seed."""
    return Points(name, seed)


@dataclasses.dataclass(frozen=True)
class Setting:
    """Data and training of a cell."""

    name: str  # distribution of the inliers
    seed: int  # of data and training
    depth: int  # couplings of a flow
    steps: int  # training steps of a flow
    classifier_steps: int  # training steps of a discriminator or classifier
    figure: bool  # whether to measure what the figures show

    @property
    def points(self) -> Points:
        """Points of the distribution and seed."""
        return points(self.name, self.seed)

    def config(self, method: Any, tables: Any, steps: int, batch_size: int) -> jaxgen.Config:
        """Configuration of one training."""
        return training.configure(method, tables, steps=steps, batch_size=batch_size, seed=self.seed, calls=5)

    def flow_config(self, *, by_class: bool = False) -> jaxgen.Config:
        """Configuration of the flow of all points, or of the one that is conditional on the class."""
        x, labels, classes = self.points.x, self.points.labels, self.points.distribution.classes
        network, schedule = nets.dense_flow(2, depth=self.depth), optim.Cosine(2e-3, self.steps)
        flow = methods.Flow(network, classes=classes if by_class else 0, learning_rate=schedule, ema_decay=None)
        return self.config(flow, data.Arrays((x, labels) if by_class else x), self.steps, 512)

    def networks(self, *, uniformity_weight: float) -> tuple[methods.OutlierDiscriminator, methods.Classifier]:
        """Discriminator and classifier."""
        classes = self.points.distribution.classes
        discriminator = nets.MLP((128, 128, 1), hidden_kernel_init=nets.torch_uniform)
        classifier = nets.MLP((128, 128, classes), hidden_kernel_init=nets.torch_uniform)
        return (
            methods.OutlierDiscriminator(discriminator, ema_decay=0.99),
            methods.Classifier(classifier, classes, uniformity_weight, learning_rate=1e-3, ema_decay=0.99),
        )

    def trained(self, method: Any, *tables: data.Dataset) -> jaxgen.Result:
        """Train a discriminator or classifier."""
        joined = tables[0] if len(tables) == 1 else data.Zip(tables)
        return jaxgen.train(self.config(method, joined, self.classifier_steps, 256), progress=False)


@functools.lru_cache(2)
def flows(setting: Setting, directory: pathlib.Path) -> Flows:
    """Train both flows, or load them from their checkpoints."""
    train = lambda by_class, place: training.timed(setting.flow_config(by_class=by_class), directory / place)[0]
    plain, by_class = train(False, "plain"), train(True, "by_class")
    low = lambda flow: float(np.quantile(-flow.scores(setting.points.validation)["nll"][0], 0.01))
    return Flows(plain, by_class, (low(plain), low(by_class)), setting.points.x)
