"""Every method with networks that compute in bfloat16: do short trainings end where those in single precision end?

    python -m experiments.speed.bfloat16                            # about ten minutes on two CPU cores
    python -m experiments.speed.bfloat16 --output-dir experiments/results/speed     # the committed table
    python -m experiments.speed.bfloat16 --quick                    # two methods, a few steps

Methods have their default networks and settings, and few steps on 1,000 rows of a toy, or on 40 images. The measure is
the method's `validation_loss` on 200 further rows after the last step, computed in the dtype of the training. The aim
is that the means of five seeds differ by at most two standard deviations of the seeds in single precision. A CPU
emulates bfloat16, so the times say nothing about accelerators.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from jaxgen import data, methods
from jaxgen.data import Dataset
from jaxgen.parallel import Layout

ROWS, HELD_OUT = 1_200, 200
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
COLUMNS = [
    report.Column("float32", "float32", 4),
    report.Column("bfloat16", "bfloat16", 4),
    report.Column("deviations", "difference in standard deviations of float32", 2),
]


@dataclasses.dataclass(frozen=True)
class LargeDigits:
    """scikit-learn's digits, enlarged to 28 x 28 pixels."""

    count: int = 240  # images

    def tables(self) -> tuple[np.ndarray]:
        """One table: images between 0 and 1."""
        images = data.Digits().tables()[0][: self.count]
        return (np.pad(images.repeat(3, 1).repeat(3, 2), ((0, 0), (2, 2), (2, 2), (0, 0))),)


@dataclasses.dataclass(frozen=True)
class Colored:
    """Two moons, each point with the number of its half of the plane as label."""

    count: int = ROWS

    def tables(self) -> tuple[tuple[np.ndarray, np.ndarray]]:
        """One table: a pair of points and labels."""
        (x,) = data.TwoMoons(n=self.count, test_n=1).tables()
        return ((x, (x[:, 1] > 0.25 * np.sin(4 * x[:, 0])).astype(np.int32)),)


MOONS, NORMAL = data.TwoMoons(n=ROWS, test_n=1), data.Normal(n=ROWS, test_n=1)
# Method, dataset, steps, and rows of a batch.
CASES: dict[str, tuple[Any, Dataset, int, int]] = {
    "EVL, two moons": (methods.EVL(), MOONS, 200, 100),
    "MEG, two moons": (methods.MEG(), MOONS, 100, 100),
    "WGANGP, two moons": (methods.WGANGP(), MOONS, 100, 100),
    "RelativisticGAN, two moons": (methods.RelativisticGAN(), MOONS, 300, 100),
    "MMDMap, normal to two moons": (methods.MMDMap(), data.Zip((NORMAL, MOONS)), 400, 100),
    "Flow, two moons": (methods.Flow(), MOONS, 300, 100),
    "MixtureDensity, noisy ring": (methods.MixtureDensity(), data.NoisyRing(n=ROWS), 400, 100),
    "Archetypes, two moons": (methods.Archetypes(), MOONS, 20, 100),
    "DeepArchetypes, two moons": (methods.DeepArchetypes(3), MOONS, 200, 100),
    "Classifier, two moons": (methods.Classifier(classes=2), Colored(), 400, 100),
    "OutlierDiscriminator, two moons": (methods.OutlierDiscriminator(), data.Zip((MOONS, NORMAL)), 400, 100),
    "NegativeSamplingVAE, digits": (
        methods.NegativeSamplingVAE(negatives=methods.ModelSamples(), learning_rate=1e-3),
        LargeDigits(),
        20,
        10,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Methods and seeds."""

    methods: tuple[str, ...] = tuple(CASES)  # methods to train
    num_seeds: int = 5
    share: float = 1.0  # of the steps of each method

    name = "speed/bfloat16"
    choices = {"methods": CASES}
    small = {"methods": slice(4, 6), "num_seeds": 2, "share": 0.02}

    def config(self, method: str, dtype: str) -> jaxgen.Config:
        """All seeds of one method in one dtype, which train together."""
        chosen, rows, steps, batch_size = CASES[method]
        steps = max(int(steps * self.share), 1)
        return jaxgen.Config(
            chosen,
            rows,
            steps=steps,
            steps_per_call=steps,
            batch_size=batch_size,
            num_seeds=self.num_seeds,
            seed=self.first_seed,
            validation=HELD_OUT,
            layout=Layout(devices=1, compute_dtype=DTYPES[dtype]),
        )

    def cells(self) -> Iterator[Cell]:
        """Every method in both dtypes."""
        for method in self.methods:
            for dtype in DTYPES:
                config = self.config(method, dtype)
                yield Cell(f"{method}, {dtype}", self.first_seed, functools.partial(trained, config), config)

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each method."""
        rows = []
        for method in self.methods:
            values = {dtype: results[f"{method}, {dtype}"][0]["loss"] for dtype in DTYPES}
            rows.append(report.Row(method, {**values, "deviations": [deviations(**values)]}))
        within = sum(row.values["deviations"][0] <= 2 for row in rows)
        remark = (
            f"{within} of {len(rows)} differences are at most two standard deviations. The validation loss of each "
            "method after the last step, mean and standard deviation of the seeds; lower is better."
        )
        title = "Short trainings with networks in single precision and in bfloat16"
        return [report.Table("bfloat16", title, COLUMNS, rows, [remark])]


def deviations(float32: list[float], bfloat16: list[float]) -> float:
    """Return how far the means differ, in standard deviations of the seeds in single precision."""
    difference = abs(np.mean(bfloat16) - np.mean(float32))
    return 0.0 if difference == 0 else float(difference / np.std(float32, ddof=1))


def trained(config: jaxgen.Config, directory: pathlib.Path) -> dict[str, list[float]]:
    """Return the validation loss of each seed after the last step."""
    result = jaxgen.train(config)
    return {"loss": result.history["validation_loss"][:, -1].astype(float).tolist()}


if __name__ == "__main__":
    experiment.main(Experiment)
