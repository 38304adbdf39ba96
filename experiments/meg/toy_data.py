"""Mixtures of round normals in the plane: their exact masses on a grid, and how well samples keep to their peaks."""

import dataclasses

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from jaxgen import data, metrics

__all__ = ["EIGHT", "ROLL", "TWENTY_FIVE", "Peaks"]

DUE = 0.1  # a peak is found where this share of its due samples lies


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Equally likely normals of one width.

    Attributes:
        title: what a table calls them.
        toy: draws from them.
        centres: `[k, 2]`.
        deviation: of each normal, in every direction.
        separate: whether they are peaks that can be counted, or so many that they make a line.
    """

    title: str
    toy: type[data.Toy]
    centres: np.ndarray
    deviation: float
    separate: bool = True

    def masses(self, grid: metrics.Grid) -> metrics.Histogram:
        """Return the mass of each cell of a grid `[bins ** 2]`, those at its edge with all beyond."""
        edges = np.linspace(grid.low, grid.high, grid.bins + 1)
        edges[[0, -1]] = -np.inf, np.inf
        along = [np.diff(stats.norm.cdf(edges[:, None], part, self.deviation), axis=0) for part in self.centres.T]
        return (along[0] @ along[1].T).ravel() / len(self.centres)

    def kept(self, x: np.ndarray) -> dict[str, float]:
        """Judge samples by the centre that is nearest.

        Args:
            x: samples `[n, 2]`.

        Returns:
            `within`, the share that lies within 4 standard deviations of a centre; and `found`, the count of peaks
            with a tenth of the samples that are due to each, where peaks can be counted.
        """
        apart, nearest = cKDTree(self.centres).query(x)
        near = apart < 4 * self.deviation
        counts = np.bincount(nearest[near], minlength=len(self.centres))
        found = float(np.sum(counts >= DUE * len(x) / len(self.centres)))
        return {"within": float(near.mean()), **({"found": found} if self.separate else {})}


def _roll(count: int = 4_000) -> np.ndarray:
    angle = 1.5 * np.pi * (1 + 2 * (np.arange(count) + 0.5) / count)
    return angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) / 7.5


_ANGLE, _SIDE = np.arange(8) * np.pi / 4, np.arange(-2, 3) / np.sqrt(2)
EIGHT = Peaks(
    "8 Gaussians", data.EightGaussians, np.sqrt(2) * np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1), 0.02 / np.sqrt(2)
)
TWENTY_FIVE = Peaks(
    "25 Gaussians",
    data.TwentyFiveGaussians,
    np.stack(np.meshgrid(_SIDE, _SIDE), -1).reshape(-1, 2),
    0.05 / np.sqrt(8),
)
ROLL = Peaks("swiss roll", data.PlanarSwissRoll, _roll(), 0.25 / 7.5, separate=False)
