"""Report of a check: its measures, its verdict, a table and a figure."""

import dataclasses
import os
from typing import NamedTuple

import numpy as np

__all__ = ["CheckReport", "Distances"]


class Distances(NamedTuple):
    """Distances to the nearest neighbor, `n` rows each.

    Attributes:
        data: of rows to the other half of the rows, `[n]`.
        samples: of samples to the same half, `[seeds, n]`.
        back: of that half to the rows, `[n]`.
        back_to_samples: of that half to the samples, `[seeds, n]`.
    """

    data: np.ndarray
    samples: np.ndarray
    back: np.ndarray
    back_to_samples: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class CheckReport:
    """Comparison of samples of a model with rows that it was not trained on; arrays are `[seeds]`.

    Attributes:
        num_rows: n, number of rows in each half, and of samples compared with them.
        level: largest probability of rejecting a right model.
        off_data: share of samples farther from the rows than 99 % of other rows are; 0.01 for a right model.
        missed: share of rows farther from the samples than 99 % of them are from other rows; 0.01 for a right model.
        sliced_wasserstein: sliced Wasserstein distance of samples and rows, in units of the data.
        floor: the same distance between two halves of the rows.
        log_likelihood: mean log-density of all rows in nats, None without a density.
        p_off_data: p-value of the samples off the data.
        p_missed: p-value of the rows not reached, by the distances among the model's own samples.
        p_two_sample: p-value of `metrics.permutation_test`.
        remedy: what to change if a seed is rejected.
        distances: the distances behind the shares.
        points: rows `[n, 2]` and samples `[seeds, n, 2]` on the rows' two principal axes.
    """

    num_rows: int
    level: float
    off_data: np.ndarray
    missed: np.ndarray
    sliced_wasserstein: np.ndarray
    floor: float
    log_likelihood: np.ndarray | None
    p_off_data: np.ndarray
    p_missed: np.ndarray
    p_two_sample: np.ndarray
    remedy: str
    distances: Distances
    points: tuple[np.ndarray, np.ndarray]

    @property
    def passed(self) -> np.ndarray:
        """Whether each seed was not rejected, `[seeds]`: all three p-values are above `level / 3`."""
        return np.min([self.p_off_data, self.p_missed, self.p_two_sample], 0) > self.level / 3

    @property
    def advice(self) -> str:
        """One sentence on what is wrong with the worst rejected seed and what to change; empty if all passed.

        If several seeds are rejected, the sentence begins with their numbers.
        """
        if self.passed.all():
            return ""
        worst = int(np.argmax(np.where(self.passed, -1.0, self.sliced_wasserstein)))
        bound = self.level / 3
        if self.p_missed[worst] <= bound and self.missed[worst] > self.off_data[worst]:
            fault = f"misses {self.missed[worst]:.1%} of the data (a right model 1.0%)"
        elif self.p_off_data[worst] <= bound:
            fault = f"has {self.off_data[worst]:.1%} of its samples off the data (a right model 1.0%)"
        else:
            fault = f"can be distinguished from the data (p = {min(self._p_values(worst)):.2g})"
        rejected = [str(seed) for seed in np.flatnonzero(~self.passed)]
        if len(rejected) == 1:
            return f"The model of seed {worst} {fault}; {self.remedy}."
        seeds = f"{', '.join(rejected[:-1])} and {rejected[-1]}"
        return f"The models of seeds {seeds} are rejected, and that of seed {worst} {fault}; {self.remedy}."

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw rows and samples on two principal axes, and the distributions of distances.

        Args:
            path: an image file, such as `check.png`.
        """
        from matplotlib.figure import Figure  # takes half a second to import

        figure = Figure(figsize=(12, 4), layout="constrained")
        scatter, off, missed = figure.subplots(1, 3)
        rows, samples = self.points
        scatter.scatter(*rows.T, s=4, color="0.6", label="data")
        for seed, points in enumerate(samples):
            scatter.scatter(*points.T, s=4, alpha=0.6, label=f"samples, seed {seed}")
        scatter.set(title="Data and samples", xlabel="first axis", ylabel="second axis")
        parts = self.distances
        panels = (
            (off, parts.data, parts.samples, "Samples off the data", "distance to the nearest row"),
            (missed, parts.back, parts.back_to_samples, "Data not reached", "distance to the nearest sample"),
        )
        share = 1 - np.arange(self.num_rows) / self.num_rows
        for axes, own, others, title, label in panels:
            axes.plot(np.sort(own), share, color="0.6", label="data")
            for seed, distances in enumerate(others):
                axes.plot(np.sort(distances), share, label=f"seed {seed}")
            axes.axvline(np.quantile(own, 0.99), color="black", linewidth=0.8, linestyle=":")
            axes.set(title=title, xlabel=label, ylabel="share of larger distances", yscale="log")
        for axes in (scatter, off, missed):
            axes.legend()
        figure.savefig(path, dpi=120)

    def __str__(self) -> str:
        seeds = range(len(self.passed))
        number = lambda value: f"{value:.3g}"
        lines = [
            ("", "right model", *(f"seed {seed}" for seed in seeds)),
            ("samples off the data", "near 1.0%", *(f"{value:.1%}" for value in self.off_data)),
            ("data not reached", "near 1.0%", *(f"{value:.1%}" for value in self.missed)),
            ("two-sample p-value", f"above {number(self.level / 3)}", *map(number, self.p_two_sample)),
            ("sliced Wasserstein", f"near {number(self.floor)}", *map(number, self.sliced_wasserstein)),
        ]
        if self.log_likelihood is not None:
            lines.append(("log-likelihood (nats)", "", *(f"{value:.4g}" for value in self.log_likelihood)))
        lines.append(("rejected", "no", *("no" if passed else "yes" for passed in self.passed)))
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        padded = lambda line: "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
        return "\n".join([*map(padded, lines), *([self.advice] if self.advice else [])])

    __repr__ = __str__

    def _p_values(self, seed: int) -> tuple[float, float, float]:
        return float(self.p_off_data[seed]), float(self.p_missed[seed]), float(self.p_two_sample[seed])
