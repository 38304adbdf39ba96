"""Network connections of the KDD Cup 1999, as detectors of anomalies are judged on them."""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["KDD99"]

# Columns of which each value gets a column of its own: protocol, service, flag, land, logged_in, is_host_login,
# is_guest_login.
CATEGORIES = (1, 2, 3, 6, 11, 20, 21)


@dataclasses.dataclass(frozen=True)
class KDD99:
    """A tenth of the KDD Cup's connections: those of attacks are the many, and the normal ones the anomalies.

    scikit-learn downloads them at first use, to where `SCIKIT_LEARN_DATA` points. Half of the rows, drawn at random,
    is for training, of which the attacks are taken; the other half is for testing.

    Attributes:
        scaled: whether each column is brought to [0, 1] by its range among the training rows. The released codes of
            several papers mean to and do not, so that their columns reach 7e8.
        distinct: whether repeated rows, seven in ten, are dropped before the split; else 87 % of the test's attacks
            are among the training rows.
        contamination: at most this share of the test rows are anomalies, of which too many are dropped.
        every_anomaly: whether the test rows hold the normal connections of both halves, and not of their own alone.
        split: seed of the split.
        validation: whether rows to choose settings on are taken in the place of the test's: of the training half the
            first half is to learn from, and the second to judge on. No row of these is the test's, but for the normal
            connections where it takes those of both halves; repetitions of them are, unless rows are distinct.
    """

    scaled: bool = True
    distinct: bool = False
    contamination: float = 0.2
    every_anomaly: bool = False
    split: int = 42
    validation: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.contamination <= 1:
            raise ValueError(f"contamination is {self.contamination}; make it a share above 0, of at most 1.")

    def tables(self) -> tuple[Float[np.ndarray, "n d"]]:
        """Return the attacks to learn from as the one table, `[n, 121]`.

        Raises:
            OSError: if the connections are neither there nor can be downloaded.
        """
        x, attack = _connections(self.distinct)
        train, _ = self._halves(len(x))
        return (self._in_units(x[train[attack[train]]]),)

    def test(self) -> tuple[Float[np.ndarray, "m d"], Bool[np.ndarray, " m"]]:
        """Return the test rows `[m, 121]` and whether each is an anomaly `[m]`; raises as `tables` does."""
        x, attack = _connections(self.distinct)
        train, test = self._halves(len(x))
        usual = test[attack[test]]
        normal = np.concatenate([test, train]) if self.every_anomaly else test
        normal = normal[~attack[normal]]
        if self.contamination < 1:
            normal = normal[: int(self.contamination * len(usual) / (1 - self.contamination))]
        rows = np.concatenate([usual, normal])
        return self._in_units(x[rows]), ~attack[rows]

    def _halves(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        order = np.random.RandomState(self.split).permutation(count)
        if self.validation:
            order = order[: count // 2]
        return order[: len(order) // 2], order[len(order) // 2 :]

    def _in_units(self, rows: np.ndarray) -> np.ndarray:
        if not self.scaled:
            return rows
        x, attack = _connections(self.distinct)
        train, _ = self._halves(len(x))
        seen = x[train[attack[train]]]
        low, high = seen.min(0), seen.max(0)
        return (rows - low) / np.where(high > low, high - low, 1)


@functools.lru_cache(maxsize=2)
def _connections(distinct: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return all connections `[n, 121]`, numbers first, and which of them are attacks `[n]`."""
    from sklearn import datasets

    columns, names = datasets.fetch_kddcup99(percent10=True, shuffle=False, return_X_y=True)
    columns = columns.T
    numbers = [column.astype(np.float32) for place, column in enumerate(columns) if place not in CATEGORIES]
    shares = []
    for place in CATEGORIES:
        values, which = np.unique(columns[place].astype(str), return_inverse=True)
        shares.append(np.eye(len(values), dtype=np.float32)[which.ravel()])
    x, attack = np.concatenate([np.stack(numbers, 1), *shares], 1), names.astype(bytes) != b"normal."
    if not distinct:
        return x, attack
    whole = np.ascontiguousarray(np.column_stack([x, attack.astype(np.float32)]))
    _, first = np.unique(whole.view(f"V{whole.itemsize * whole.shape[1]}").ravel(), return_index=True)
    first.sort()
    return x[first], attack[first]
