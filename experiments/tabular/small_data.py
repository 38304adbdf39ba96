"""Ten small tables with outliers: five from scikit-learn, and five synthetic ones."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from sklearn import datasets

from experiments.tabular.adbench_data import Split, standardized

SYNTHETIC_ROWS = 300  # training rows, and test inliers; half as many outliers
GAUSSIAN_NOISE = 0.5  # standard deviation of each column's own noise
Rows: TypeAlias = Float[np.ndarray, "n d"]
Draw: TypeAlias = Callable[[int], Rows]


def split(name: str, seed: int) -> Split:
    """Split a table: half of the inliers are for training, the others and the outliers for testing."""
    generator = np.random.default_rng(seed)
    inliers, outliers = TABLES[name](generator)
    inliers = generator.permutation(inliers)
    half = len(inliers) // 2
    return standardized(inliers[:half], inliers[half:], outliers)


def gaussian(generator: np.random.Generator, dimensions: int) -> Draw:
    """Return `draw(n)`, rows of a correlated Gaussian with three factors and noise of equal size in each column."""
    factors = generator.normal(size=(3, dimensions))
    return lambda n: generator.normal(size=(n, 3)) @ factors + GAUSSIAN_NOISE * generator.normal(size=(n, dimensions))


def _shuffled(generator: np.random.Generator, rows: Rows) -> Rows:
    """Rows with the same columns, each in an order of its own, so that only the dependence is lost."""
    return np.stack([generator.permutation(column) for column in rows.T], 1)


def _classes(load: Callable, inlier: int, outlier: int | None) -> Callable[[np.random.Generator], tuple[Rows, Rows]]:
    """One class as inliers, another one, or all others, as outliers."""

    def rows(generator: np.random.Generator) -> tuple[Rows, Rows]:
        x, label = load(return_X_y=True)
        return x[label == inlier], x[label != inlier if outlier is None else label == outlier]

    return rows


def _diabetes(generator: np.random.Generator) -> tuple[Rows, Rows]:
    x = generator.permutation(datasets.load_diabetes(return_X_y=True)[0])
    return x[:300], _shuffled(generator, x[300:])


def _synthetic(draw: Draw, outliers: Callable[[Rows], Rows]) -> tuple[Rows, Rows]:
    return draw(2 * SYNTHETIC_ROWS), outliers(draw(SYNTHETIC_ROWS // 2))


def _curves(generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Two interleaved helices in three dimensions; outliers lie off them by 0.6 on average."""

    def draw(n: int) -> Rows:
        angle, side = generator.uniform(0, 3 * np.pi, n), generator.choice([-1, 1], n)
        curve = np.stack([side * np.cos(angle), side * np.sin(angle), angle / 3], 1)
        return curve + 0.05 * generator.normal(size=(n, 3))

    return _synthetic(draw, lambda x: x + 0.4 * generator.normal(size=x.shape))


def _clusters(generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Four clusters in six dimensions; outliers lie between two rows."""
    centers = 3 * generator.normal(size=(4, 6))
    draw = lambda n: centers[generator.integers(4, size=n)] + 0.5 * generator.normal(size=(n, 6))
    between = lambda x: (x + 0.8 * (generator.permutation(x) - x)) + generator.normal(size=x.shape)
    return _synthetic(draw, between)


def _correlated(generator: np.random.Generator) -> tuple[Rows, Rows]:
    """A Gaussian in ten dimensions; outliers have lost the dependence of columns."""
    return _synthetic(gaussian(generator, 10), lambda x: _shuffled(generator, x))


def _mixed(generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Log-normal, rounded and binary columns in scales from 1e-3 to 1e3; outliers have lost their dependence."""
    normal = gaussian(generator, 9)

    def draw(n: int) -> Rows:
        x = normal(n)
        columns = [np.exp(x[:, :3]), np.round(x[:, 3:6]), x[:, 6:7] > 0, x[:, 7:]]
        return np.concatenate(columns, 1) * 10.0 ** np.linspace(-3, 3, 9)

    return _synthetic(draw, lambda x: _shuffled(generator, x))


def _heavy(generator: np.random.Generator) -> tuple[Rows, Rows]:
    """Student's t of three degrees of freedom, mixed linearly; outliers have lost the dependence of columns."""
    mixing = generator.normal(size=(4, 8))
    draw = lambda n: (
        generator.standard_t(3, size=(n, 4)) @ mixing + GAUSSIAN_NOISE * generator.standard_t(3, size=(n, 8))
    )
    return _synthetic(draw, lambda x: _shuffled(generator, x))


TABLES: dict[str, Callable[[np.random.Generator], tuple[Rows, Rows]]] = {
    "wine, cultivar 1": _classes(datasets.load_wine, 1, None),
    "breast cancer, benign": _classes(datasets.load_breast_cancer, 1, 0),
    "iris, versicolor": _classes(datasets.load_iris, 1, None),
    "digits, 3 not 8": _classes(datasets.load_digits, 3, 8),
    "diabetes": _diabetes,
    "curves": _curves,
    "clusters": _clusters,
    "correlated Gaussian": _correlated,
    "mixed scales": _mixed,
    "heavy tails": _heavy,
}
