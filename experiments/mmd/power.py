"""Power of the MMD permutation test next to hyppo's two-sample tests, on the same samples.

    python -m pip install -e '.[power]' && python -m experiments.mmd.power       # ten minutes on one CPU core
    python -m experiments.mmd.power --output-dir experiments/results/mmd         # the committed table
    python -m experiments.mmd.power --quick                                      # a few samples

Each alternative is a pair of distributions: equal, or different in location, scale, shape, or one of ten dimensions.
Every test runs on the same pairs of samples, and the table has the share that it rejects at level 0.05. For equal
distributions this share is the false-alarm rate. `metrics.permutation_test` runs with its defaults, fused over seven
bandwidths, and at the pooled median alone. hyppo's MMD has one bandwidth, the reciprocal of twice the squared median;
its energy distance has none. All tests take 199 permutations. Without hyppo its rows say how to install it.
"""

import dataclasses
import functools
import importlib.util
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from experiments.common import experiment, report
from experiments.common.experiment import Cell, Results
from jaxgen import losses, metrics

TITLE = "Share of pairs of samples that are distinguished at level 0.05"
PERMUTATIONS = 199
Distribution = Callable[[np.random.Generator, int], np.ndarray]


def normal(*, shift: float = 0.0, width: float = 1.0, dimensions: int = 2) -> Distribution:
    """Normal distribution with a mean and a standard deviation along the first axis, standard along the others."""
    first = np.eye(1, dimensions)[0]
    return lambda g, n: g.standard_normal((n, dimensions)) * (1 + (width - 1) * first) + shift * first


def square(generator: np.random.Generator, n: int) -> np.ndarray:
    """Uniform on a square, with the mean and standard deviations of a standard normal."""
    return generator.uniform(-(3**0.5), 3**0.5, (n, 2))


def rippled(generator: np.random.Generator, n: int) -> np.ndarray:
    """Standard normal whose first coordinate is pulled towards points 0.5 apart."""
    x = generator.standard_normal((n, 2))
    x[:, 0] -= 0.06 * np.sin(2 * np.pi * x[:, 0] / 0.5)
    return x


ALTERNATIVES: dict[str, tuple[Distribution, Distribution]] = {
    "equal distributions": (normal(), normal()),
    "shifted by 0.4": (normal(), normal(shift=0.4)),
    "wider by a half": (normal(), normal(width=1.5)),
    "square, with equal moments": (normal(), square),
    "rippled": (normal(), rippled),
    "ten dimensions, shifted by 0.6 in one": (normal(dimensions=10), normal(shift=0.6, dimensions=10)),
}


def fused(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """P-value of `metrics.permutation_test` fused over its seven default bandwidths, of the raw columns."""
    return metrics.permutation_test(x, y, num_permutations=PERMUTATIONS, seed=seed, standardize=False).p_value


def single(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """P-value of `metrics.permutation_test` at the pooled median alone."""
    r = float(_median(np.concatenate([x, y]).astype(np.float32)))
    return metrics.permutation_test(
        x, y, bandwidths=r, num_permutations=PERMUTATIONS, seed=seed, standardize=False
    ).p_value


_median = jax.jit(losses.median_bandwidth)


def hyppo_test(name: str) -> Callable[[np.ndarray, np.ndarray, int], float]:
    """P-value of one of hyppo's tests."""

    def test(x: np.ndarray, y: np.ndarray, seed: int) -> float:
        from hyppo import ksample

        result = getattr(ksample, name)().test(x, y, reps=PERMUTATIONS, auto=False, random_state=seed)
        return float(result[1])

    return test


TESTS: dict[str, tuple[Callable[[np.ndarray, np.ndarray, int], float], bool]] = {
    "jaxgen, fused": (fused, False),
    "jaxgen, pooled median": (single, False),
    "hyppo, MMD": (hyppo_test("MMD"), True),
    "hyppo, energy": (hyppo_test("Energy"), True),
}
COLUMNS = [
    report.Column("rejected", "share distinguished"),
    report.Column("milliseconds", "ms a test", 1, report.median_and_range),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Number and size of the samples."""

    draws: int = 200  # pairs of samples of each alternative
    n: int = 100  # points of each sample

    name = "mmd/power"
    small = {"draws": 5, "n": 20}

    def cells(self) -> Iterator[Cell]:
        """Every test that is installed on every alternative."""
        installed = importlib.util.find_spec("hyppo") is not None
        for alternative in ALTERNATIVES:
            for name, (_, needs_hyppo) in TESTS.items():
                if installed or not needs_hyppo:
                    measure = functools.partial(tested, alternative, name, self.draws, self.n)
                    yield Cell(f"{alternative}: {name}", self.first_seed, measure)

    def tables(self, results: Results) -> list[report.Table]:
        """One table, a row for each alternative and test."""
        rows = []
        for alternative in ALTERNATIVES:
            for name in TESTS:
                title = f"{alternative}: {name}"
                if title not in results:
                    rows.append(report.Row(title, {}, note="left out: hyppo is not installed; '.[power]' brings it."))
                    continue
                (cell,) = results[title]
                share = float(np.mean(np.array(cell["p_values"]) <= 0.05))
                rows.append(report.Row(title, {"rejected": [share], "milliseconds": [cell["milliseconds"]]}))
        error = (0.05 * 0.95 / self.draws) ** 0.5
        remark = (
            f"{self.draws} pairs of samples of {self.n} points each, the same for every test, {PERMUTATIONS} "
            f"permutations. For equal distributions 0.05 ± {error:.3f} is right; elsewhere the standard error of a "
            f"share is at most {0.5 / self.draws**0.5:.3f}."
        )
        return [report.Table("power", TITLE, COLUMNS, rows, [remark], "runs")]


def tested(alternative: str, name: str, draws: int, n: int, directory: pathlib.Path) -> dict[str, Any]:
    """P-values of a test on all pairs of samples, and its median time."""
    generator, (one, other) = np.random.default_rng(0), ALTERNATIVES[alternative]  # the same samples for every test
    p_values, times = [], []
    for seed in range(draws):
        x, y = one(generator, n), other(generator, n)
        start = time.perf_counter()
        p_values.append(TESTS[name][0](x, y, seed))
        times.append(time.perf_counter() - start)
    return {"p_values": p_values, "milliseconds": 1e3 * float(np.median(times))}


if __name__ == "__main__":
    experiment.main(Experiment)
