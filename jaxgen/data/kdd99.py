"""KDD99: network connections of the KDD Cup 1999, with the protocols of anomaly detection papers."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["KDD99"]

# Categorical columns, which are one-hot encoded: protocol, service, flag, land, logged_in, is_host_login,
# is_guest_login.
CATEGORIES = (1, 2, 3, 6, 11, 20, 21)


@dataclasses.dataclass(frozen=True)
class KDD99:
    """KDD99 anomaly detection dataset, 10 % subset.

    Attacks are the inliers, and normal connections are the anomalies.
    scikit-learn downloads the data at first use, into the folder `SCIKIT_LEARN_DATA`. A random half of the rows is for
    training, and only its attacks are used. The other half is for testing.

    Attributes:
        scaled: whether each column is scaled to [0, 1] by its range among the training rows. The released code of
            several papers intends this scaling but does not apply it, so that columns reach 7e8.
        distinct: whether duplicate rows, seven in ten, are dropped before the split. Otherwise 87 % of the test attacks
            also occur among the training rows.
        contamination: maximum fraction of anomalies among the test rows; surplus anomalies are dropped.
        every_anomaly: whether the test set has the normal connections of both halves, or only of the test half.
        split: random seed of the split.
        validation: whether to split the training half again, for model selection: one half of it is for training, the
            other replaces the test set. Both are disjoint from the test set, with two exceptions: `every_anomaly` adds
            all normal connections to the test set, and without `distinct` it contains copies of their rows.
    """

    scaled: bool = True
    distinct: bool = False
    contamination: float = 0.2
    every_anomaly: bool = False
    split: int = 42
    validation: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.contamination <= 1:
            raise ValueError(f"`contamination` must be in (0, 1] (got {self.contamination}); try 0.2.")

    def tables(self) -> tuple[Float[np.ndarray, "n d"]]:
        """Return one table: the training attacks `[n, 121]`.

        Raises:
            OSError: if the data are neither cached nor can be downloaded.
        """
        x, attack = _connections(self.distinct)
        train, _ = self._halves(len(x))
        return (self._rescale(x[train[attack[train]]]),)

    def test(self) -> tuple[Float[np.ndarray, "m d"], Bool[np.ndarray, " m"]]:
        """Return the test rows `[m, 121]` and whether each is an anomaly `[m]`; raises the errors of `tables`."""
        x, attack = _connections(self.distinct)
        train, test = self._halves(len(x))
        inliers = test[attack[test]]
        normal = np.concatenate([test, train]) if self.every_anomaly else test
        normal = normal[~attack[normal]]
        if self.contamination < 1:
            normal = normal[: int(self.contamination * len(inliers) / (1 - self.contamination))]
        rows = np.concatenate([inliers, normal])
        return self._rescale(x[rows]), ~attack[rows]

    def _halves(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the row numbers of the training half and of the test half."""
        order = np.random.RandomState(self.split).permutation(count)
        if self.validation:
            order = order[: count // 2]
        return order[: len(order) // 2], order[len(order) // 2 :]

    def _rescale(self, rows: np.ndarray) -> np.ndarray:
        if not self.scaled:
            return rows
        x, attack = _connections(self.distinct)
        train, _ = self._halves(len(x))
        attacks = x[train[attack[train]]]
        low, high = attacks.min(0), attacks.max(0)
        return (rows - low) / np.where(high > low, high - low, 1)


@functools.lru_cache(maxsize=2)
def _connections(distinct: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return all connections `[n, 121]`, numeric columns first, and whether each is an attack `[n]`."""
    from sklearn import datasets

    columns, names = datasets.fetch_kddcup99(percent10=True, shuffle=False, return_X_y=True)
    columns = columns.T
    numeric = [column.astype(np.float32) for number, column in enumerate(columns) if number not in CATEGORIES]
    one_hot = []
    for number in CATEGORIES:
        values, index = np.unique(columns[number].astype(str), return_inverse=True)
        one_hot.append(np.eye(len(values), dtype=np.float32)[index.ravel()])
    x, attack = np.concatenate([np.stack(numeric, 1), *one_hot], 1), names.astype(bytes) != b"normal."
    if not distinct:
        return x, attack
    whole = np.ascontiguousarray(np.column_stack([x, attack.astype(np.float32)]))
    _, first = np.unique(whole.view(f"V{whole.itemsize * whole.shape[1]}").ravel(), return_index=True)
    first.sort()
    return x[first], attack[first]
