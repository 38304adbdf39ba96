"""Digits of which one is held out: the others are inliers, and it is the anomaly."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int8

from jaxgen import data

__all__ = ["HeldOut"]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """MNIST's training and test images together, without one digit, of which four in five are for training.

    Attributes:
        digit: held out.
        leaking: whether the test rows are drawn anew, as in the released code of the maximum entropy generators, so
            that four in five of the test inliers are training images too; else they are the others.
        split: seed of the split.
        sets: image sets that make up the whole.
    """

    digit: int
    leaking: bool = False
    split: int = 42
    sets: tuple[data.Images | data.Digits, ...] = (data.Images("mnist"), data.Images("mnist", "test"))

    def tables(self) -> tuple[Int8[np.ndarray, "n height width channels"]]:
        """Return the inliers to learn from as the one table, in bytes with a sign."""
        x, labels = self._whole()
        usual = np.flatnonzero(labels != self.digit)
        order = np.random.RandomState(self.split).permutation(usual)
        return (x[order[: self._share(usual)]],)

    def test(self) -> tuple[Int8[np.ndarray, "m height width channels"], Bool[np.ndarray, " m"]]:
        """Return the test images, and whether each is an anomaly."""
        x, labels = self._whole()
        usual = np.flatnonzero(labels != self.digit)
        chance = np.random.RandomState(self.split)
        order = chance.permutation(usual)
        if self.leaking:
            order = chance.permutation(usual)
        rows = np.concatenate([order[self._share(usual) :], np.flatnonzero(labels == self.digit)])
        return x[rows], labels[rows] == self.digit

    def count(self) -> int:
        """Return how many images are for training."""
        return self._share(np.flatnonzero(self._labels() != self.digit))

    def shape(self) -> tuple[int, ...]:
        """Return height, width and channels of an image."""
        return self.sets[0].tables()[0].shape[1:]

    def _labels(self) -> np.ndarray:
        return np.concatenate([part.labels() for part in self.sets])

    def _share(self, usual: np.ndarray) -> int:
        return 4 * len(usual) // 5

    def _whole(self) -> tuple[np.ndarray, np.ndarray]:
        x = np.concatenate([data.ScaledToTanh(part).tables()[0] for part in self.sets])
        return x, self._labels()
