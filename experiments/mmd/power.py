"""Power of the permutation test by discrepancy beside hyppo's tests, on the same samples.

    python -m pip install -e '.[power]' && python -m experiments.mmd.power     # ten minutes on one CPU core
    python -m experiments.mmd.power --output-dir experiments/results     # the table there
    python -m experiments.mmd.power --quick                       # a few draws

Of pairs of laws that are one, or differ in place, in width, in shape or in one of ten dimensions, many pairs of samples
are drawn, and every test says of each whether it is told apart at level 0.05. Where the laws are one, that is the
false-alarm rate. `metrics.permutation_test` is asked as it comes, fused over seven bandwidths, and at the pooled median
alone; hyppo's discrepancy has one bandwidth too, the reciprocal of twice the squared median, and its energy distance
none. All take 199 permutations. hyppo is not needed; without it its lines say so.
"""

import dataclasses
import importlib.util
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tyro

from experiments.common import cache, report
from jaxgen import losses, metrics

TITLE = "Share of pairs of samples that are told apart at level 0.05"
PERMUTATIONS = 199
Law = Callable[[np.random.Generator, int], np.ndarray]


def normal(*, shift: float = 0.0, width: float = 1.0, dimensions: int = 2) -> Law:
    """Return a normal law: a place and a width along the first axis, and standard along the others."""
    first = np.eye(1, dimensions)[0]
    return lambda g, n: g.standard_normal((n, dimensions)) * (1 + (width - 1) * first) + shift * first


def square(generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw from a square with the mean and the deviations of a standard normal law."""
    return generator.uniform(-(3**0.5), 3**0.5, (n, 2))


def rippled(generator: np.random.Generator, n: int) -> np.ndarray:
    """Draw from a standard normal law whose first coordinate is drawn together upon points 0.5 apart."""
    x = generator.standard_normal((n, 2))
    x[:, 0] -= 0.06 * np.sin(2 * np.pi * x[:, 0] / 0.5)
    return x


LAWS: dict[str, tuple[Law, Law]] = {
    "one law": (normal(), normal()),
    "shifted by 0.4": (normal(), normal(shift=0.4)),
    "wider by a half": (normal(), normal(width=1.5)),
    "square, with equal moments": (normal(), square),
    "rippled": (normal(), rippled),
    "ten dimensions, shifted by 0.6 in one": (normal(dimensions=10), normal(shift=0.6, dimensions=10)),
}


def fused(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Return the p-value of our test as it comes."""
    return metrics.permutation_test(x, y, permutations=PERMUTATIONS, seed=seed).p_value


def single(x: np.ndarray, y: np.ndarray, seed: int) -> float:
    """Return the p-value of our test at the pooled median."""
    r = float(_median(np.concatenate([x, y]).astype(np.float32)))
    return metrics.permutation_test(x, y, bandwidths=r, permutations=PERMUTATIONS, seed=seed).p_value


_median = jax.jit(losses.median_bandwidth)


def theirs(name: str) -> Callable[[np.ndarray, np.ndarray, int], float]:
    """Return the p-value of one of hyppo's tests."""

    def test(x: np.ndarray, y: np.ndarray, seed: int) -> float:
        from hyppo import ksample

        made = getattr(ksample, name)().test(x, y, reps=PERMUTATIONS, auto=False, random_state=seed)
        return float(made[1])

    return test


TESTS: dict[str, tuple[Callable[[np.ndarray, np.ndarray, int], float], bool]] = {
    "jaxgen, fused": (fused, False),
    "jaxgen, pooled median": (single, False),
    "hyppo, MMD": (theirs("MMD"), True),
    "hyppo, energy": (theirs("Energy"), True),
}
COLUMNS = [
    report.Column("rejected", "share told apart"),
    report.Column("milliseconds", "ms a test", 1, report.median_and_range),
]


@dataclasses.dataclass(frozen=True)
class Experiment:
    """How many samples, how large."""

    draws: int = 200
    """Pairs of samples of each pair of laws."""
    n: int = 100
    """Points of each sample."""
    quick: bool = False
    """Five draws of 20 points."""
    cache_dir: pathlib.Path = pathlib.Path("runs/mmd/power")
    """Where cells are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/mmd/power")
    """Where the table goes."""


def cell(experiment: Experiment, laws: str, name: str) -> dict[str, Any]:
    """Test every pair of samples."""
    identity = {"laws": laws, "test": name, "draws": experiment.draws, "n": experiment.n}
    identity["permutations"] = PERMUTATIONS
    where = cache.place(experiment.cache_dir, f"{laws} {name}".replace(",", "").replace(" ", "-"), identity)

    def compute() -> dict[str, Any]:
        generator, (one, other) = np.random.default_rng(0), LAWS[laws]  # the same samples for every test
        p_values, taken = [], []
        for seed in range(experiment.draws):
            x, y = one(generator, experiment.n), other(generator, experiment.n)
            begun = time.perf_counter()
            p_values.append(TESTS[name][0](x, y, seed))
            taken.append(time.perf_counter() - begun)
        return {"p_values": p_values, "milliseconds": 1e3 * float(np.median(taken))}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> report.Table:
    """Test every pair of laws by every test, print the table, and write it."""
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        experiment = dataclasses.replace(
            experiment, draws=min(experiment.draws, 5), n=20, cache_dir=runs, output_dir=runs
        )
    rows, known = [], importlib.util.find_spec("hyppo") is not None
    for laws in LAWS:
        for name, (_, needed) in TESTS.items():
            title = f"{laws}: {name}"
            if needed and not known:
                rows.append(report.Row(title, {}, note="left out: hyppo is not installed; '.[power]' brings it."))
                continue
            print(title, flush=True)
            found = cell(experiment, laws, name)
            share = float(np.mean(np.array(found["p_values"]) <= 0.05))
            rows.append(report.Row(title, {"rejected": [share], "milliseconds": [found["milliseconds"]]}))
    error = (0.05 * 0.95 / experiment.draws) ** 0.5
    remark = (
        f"{experiment.draws} pairs of samples of {experiment.n} points each, the same for every test, "
        f"{PERMUTATIONS} permutations. Where the laws are one, 0.05 ± {error:.3f} is right; elsewhere a share's "
        f"standard error is at most {0.5 / experiment.draws**0.5:.3f}."
    )
    table = report.Table("mmd_power", TITLE, COLUMNS, rows, [remark], "runs")
    table.write(experiment.output_dir, {})
    return table


if __name__ == "__main__":
    run(tyro.cli(Experiment))
