"""Tables of scikit-learn as data for density estimation, split into training and test rows."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.stats import multivariate_normal
from sklearn import datasets, decomposition

# Settings were chosen on two other tables, the inliers of ADBench's glass and Pima.
TABLES: dict[str, Callable[[], np.ndarray]] = {
    "iris": lambda: datasets.load_iris().data,
    "wine": lambda: datasets.load_wine().data,
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "diabetes": lambda: datasets.load_diabetes().data,
    "digits, 16 components": lambda: decomposition.PCA(16, random_state=0).fit_transform(datasets.load_digits().data),
}
JITTER = 0.05  # standard deviation of noise on standardized columns: columns of few values have no density


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of a table with standardized columns; 70 % are for training."""

    name: str  # key of `TABLES`
    seed: int  # random seed of the split, and of the noise that is added to all rows

    def tables(self) -> tuple[Float[np.ndarray, "n d"]]:
        """Return one table: the training rows `[n, d]`."""
        return (self._parts()[0],)

    def test(self) -> Float[np.ndarray, "m d"]:
        """Return the test rows `[m, d]`."""
        return self._parts()[1]

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(self.seed)
        x = generator.permutation(TABLES[self.name]())
        n = round(0.7 * len(x))
        x = (x - x[:n].mean(0)) / x[:n].std(0)
        x = (x + JITTER * generator.standard_normal(x.shape)).astype(np.float32)
        return x[:n], x[n:]


def gaussian_nll(train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"]) -> float:
    """Return the test rows' mean negative log-likelihood under a Gaussian fitted to the training rows, in nats."""
    fitted = multivariate_normal(train.mean(0), np.cov(train.T))
    return -float(np.mean(fitted.logpdf(test)))
