"""MNIST split for anomaly detection: one digit is the anomaly, and the others are inliers."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int8

from jaxgen import data


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """MNIST with one digit as the anomaly; four fifths of the other digits' images are for training."""

    digit: int  # the anomaly, which is never trained on
    # whether test inliers are sampled from all inliers, as in the released code of the maximum entropy generators. Then
    # four fifths of them are training images too; otherwise none is
    leaking: bool = False
    split: int = 42  # seed of the split
    # image sets that are joined before the split
    sets: tuple[data.Images | data.Digits, ...] = (data.Images("mnist"), data.Images("mnist", "test"))

    def tables(self) -> tuple[Int8[np.ndarray, "n height width channels"]]:
        """Return the training inliers as the one table, in int8: pixels between -1 and 1."""
        x, labels = self._all()
        inliers = np.flatnonzero(labels != self.digit)
        order = np.random.RandomState(self.split).permutation(inliers)
        return (x[order[: self._share(inliers)]],)

    def test(self) -> tuple[Int8[np.ndarray, "m height width channels"], Bool[np.ndarray, " m"]]:
        """Return the test images `[m, h, w, c]` in int8, and whether each is an anomaly `[m]`."""
        x, labels = self._all()
        inliers = np.flatnonzero(labels != self.digit)
        random = np.random.RandomState(self.split)
        order = random.permutation(inliers)
        if self.leaking:
            order = random.permutation(inliers)
        rows = np.concatenate([order[self._share(inliers) :], np.flatnonzero(labels == self.digit)])
        return x[rows], labels[rows] == self.digit

    def count(self) -> int:
        """Return the number of training images, without loading pixels."""
        return self._share(np.flatnonzero(self._labels() != self.digit))

    def shape(self) -> tuple[int, ...]:
        """Return height, width and channels of an image."""
        return self.sets[0].tables()[0].shape[1:]

    def _labels(self) -> np.ndarray:
        return np.concatenate([part.labels() for part in self.sets])

    def _share(self, inliers: np.ndarray) -> int:
        return 4 * len(inliers) // 5

    def _all(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.concatenate([data.ScaledToTanh(part).tables()[0] for part in self.sets])
        return x, self._labels()
