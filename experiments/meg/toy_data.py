"""Mixtures of isotropic Gaussians in the plane: exact cell probabilities of a grid, and coverage of the components."""

import dataclasses

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from jaxgen import data, metrics

COVERED_SHARE = 0.1  # a peak is covered at this share of its expected number of samples


@dataclasses.dataclass(frozen=True)
class PlanarMixture:
    """Mixture of isotropic Gaussians of equal weight and equal standard deviation."""

    title: str  # title in tables
    toy: type[data.Toy]  # dataset of its samples
    centers: np.ndarray  # `[k, 2]`
    std: float  # standard deviation of each component, in every direction
    # whether the components are separate peaks, which can be counted; otherwise they overlap in a curve
    separate: bool = True

    def cell_probabilities(self, grid: metrics.Grid) -> metrics.Histogram:
        """Exact probability of each cell of a grid, `[bins ** 2]`; cells at the edge include all that lies beyond."""
        edges = np.linspace(grid.low, grid.high, grid.bins + 1)
        edges[[0, -1]] = -np.inf, np.inf
        along = [np.diff(stats.norm.cdf(edges[:, None], part, self.std), axis=0) for part in self.centers.T]
        return (along[0] @ along[1].T).ravel() / len(self.centers)

    def coverage(self, x: np.ndarray) -> dict[str, float]:
        """Assign samples to their nearest centers, and measure how well they cover the components."""
        distances, nearest = cKDTree(self.centers).query(x)
        near = distances < 4 * self.std
        counts = np.bincount(nearest[near], minlength=len(self.centers))
        covered = float(np.sum(counts >= COVERED_SHARE * len(x) / len(self.centers)))
        return {"within": float(near.mean()), **({"covered": covered} if self.separate else {})}


def _roll(count: int = 4_000) -> np.ndarray:
    angle = 1.5 * np.pi * (1 + 2 * (np.arange(count) + 0.5) / count)
    return angle[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) / 7.5


_ANGLE, _SIDE = np.arange(8) * np.pi / 4, np.arange(-2, 3) / np.sqrt(2)
EIGHT = PlanarMixture(
    "8 Gaussians", data.EightGaussians, np.sqrt(2) * np.stack([np.cos(_ANGLE), np.sin(_ANGLE)], 1), 0.02 / np.sqrt(2)
)
TWENTY_FIVE = PlanarMixture(
    "25 Gaussians",
    data.TwentyFiveGaussians,
    np.stack(np.meshgrid(_SIDE, _SIDE), -1).reshape(-1, 2),
    0.05 / np.sqrt(8),
)
ROLL = PlanarMixture("swiss roll", data.PlanarSwissRoll, _roll(), 0.25 / 7.5, separate=False)
