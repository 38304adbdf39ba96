"""Progress bar of a training run."""

from types import TracebackType

import jax
import numpy as np
from tqdm import tqdm

from jaxgen.training.checkpoint import History
from jaxgen.training.early_stopping import VALIDATION_LOSS, step_range

__all__ = ["Progress"]


class Progress:
    """Progress bar with the steps done, steps per second, and the latest losses of training and validation.

    Losses are means over the seeds that have not stopped. For a stream, it also shows the share of time spent waiting
    for data.

    With several processes, only the first one shows a bar.
    """

    def __init__(self, steps: int, *, shown: bool, done: int = 0) -> None:
        hidden = not shown or jax.process_index() > 0
        self._text = ""
        self._bar = tqdm(total=steps, initial=done, unit=" steps", smoothing=0.5, disable=hidden, dynamic_ncols=True)

    def advance(self, history: History, stalled: float | None = None) -> None:
        """Advance the bar by one segment.

        Args:
            history: the metrics of the segment, `[seeds, steps]`.
            stalled: share of the segment's time spent waiting for data; None is not shown.
        """
        others = [name for name in history if name != VALIDATION_LOSS]
        name = "loss" if "loss" in history else others[0]
        self._text = _summary(name, history[name][:, -1])
        if VALIDATION_LOSS in history:
            self._text += f", {_summary(VALIDATION_LOSS, history[VALIDATION_LOSS][:, -1])}"
        if stalled is not None:
            self._text += f", waiting for data {stalled:.0%}"
        self._bar.set_postfix_str(self._text, refresh=False)
        self._bar.update(history[name].shape[1])

    def stopped_early(self, best_steps: np.ndarray) -> None:
        """Show that all seeds have stopped.

        Args:
            best_steps: the step with the least validation loss of each seed, `[seeds]`.
        """
        text = f"{self._text}, stopped early, best at step {step_range(best_steps)}"
        self._bar.set_postfix_str(text.removeprefix(", "))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _summary(name: str, values: np.ndarray) -> str:
    """Return the name, mean and standard deviation of the values that are finite, of seeds that have not stopped."""
    running = values[np.isfinite(values)]
    spread = f" ± {np.std(running):.2g}" if len(running) > 1 else ""
    return f"{name} {np.mean(running):.4g}{spread}" if len(running) else f"{name} nan"
