"""Progress bar of a training run."""

from types import TracebackType

import jax
import numpy as np
from tqdm import tqdm

from jaxgen.training.checkpoint import History

__all__ = ["Progress"]


class Progress:
    """Progress bar with the steps done, steps per second, and the latest loss (mean over seeds).

    With several processes, only the first one shows a bar.
    """

    def __init__(self, steps: int, *, shown: bool, done: int = 0) -> None:
        hidden = not shown or jax.process_index() > 0
        self._bar = tqdm(total=steps, initial=done, unit=" steps", smoothing=0.5, disable=hidden, dynamic_ncols=True)

    def advance(self, history: History) -> None:
        """Advance the bar by one segment.

        Args:
            history: the metrics of the segment, `[seeds, steps]`.
        """
        name = "loss" if "loss" in history else next(iter(history))
        last = history[name][:, -1]
        spread = f" ± {np.std(last):.2g}" if len(last) > 1 else ""
        self._bar.set_postfix_str(f"{name} {np.mean(last):.4g}{spread}", refresh=False)
        self._bar.update(history[name].shape[1])

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
