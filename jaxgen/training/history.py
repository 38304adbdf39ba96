"""History of a run: in memory, allocated for all its steps, and as a result holds it."""

from typing import Any, NoReturn

import jax
import numpy as np

from jaxgen.training.checkpoint import History
from jaxgen.training.early_stopping import VALIDATION_LOSS, Losses

__all__ = ["HistoryBuffer", "MetricDict"]


class MetricDict(dict[str, np.ndarray]):
    """Dictionary of metrics, whose error for a wrong name lists the names that it has."""

    def __missing__(self, name: Any) -> NoReturn:
        known = ", ".join(map(repr, self)) or "none, as no step has been done"
        raise KeyError(f"`history` has no metric {name!r}; its metrics are {known}")


# As a pytree, its leaves have the order of those of a plain dict.
jax.tree_util.register_pytree_with_keys(
    MetricDict,
    lambda metrics: (
        [(jax.tree_util.DictKey(name), metrics[name]) for name in sorted(metrics)],
        tuple(sorted(metrics)),
    ),
    lambda names, leaves: MetricDict(zip(names, leaves, strict=True)),
)


class HistoryBuffer:
    """Metrics of a run so far, `[seeds, steps]` each, and `validation_loss` `[seeds, evaluations]`."""

    def __init__(self, history: History, *, num_seeds: int, done: int, steps: int, steps_per_call: int) -> None:
        self.done = done  # number of steps so far
        self._steps = steps
        self._steps_per_call = steps_per_call
        self._none = np.zeros((num_seeds, 0), np.float32)
        self._metrics: History = {}
        for name, metric in history.items():
            self._allocate(name, metric)[:, : metric.shape[1]] = metric

    @property
    def losses(self) -> Losses:
        """Validation losses so far."""
        return self._metrics.get(VALIDATION_LOSS, self._none)[:, : self._count(VALIDATION_LOSS, self.done)]

    def append(self, news: History) -> None:
        """Append the metrics of one segment."""
        reached = self.done + self._steps_per_call
        for name, metric in news.items():
            whole = self._metrics[name] if name in self._metrics else self._allocate(name, metric)
            whole[:, self._count(name, self.done) : self._count(name, reached)] = metric
        self.done = reached

    def so_far(self) -> History:
        """Return a copy of the metrics so far."""
        return {name: metric[:, : self._count(name, self.done)].copy() for name, metric in self._metrics.items()}

    def whole(self) -> History:
        """Return the metrics of a run that has ended; without a copy if it has done all its steps."""
        return self._metrics if self.done == self._steps else self.so_far()

    def _allocate(self, name: str, metric: np.ndarray) -> np.ndarray:
        self._metrics[name] = np.zeros((metric.shape[0], self._count(name, self._steps)), metric.dtype)
        return self._metrics[name]

    def _count(self, name: str, steps: int) -> int:
        return steps // self._steps_per_call if name == VALIDATION_LOSS else steps
