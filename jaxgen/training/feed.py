"""Feed of a run with streams: the minibatches of the next call are read while the present call runs."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import jax
import numpy as np

from jaxgen.data.stream_table import is_stream, streamed
from jaxgen.training.compilation import batch_rows
from jaxgen.training.config import Config
from jaxgen.training.stream_batches import own_examples
from jaxgen.types import PyTree

__all__ = ["Feed"]


class Feed:
    """Minibatches of the streams of a run, on its devices, one call after the other.

    The examples of a step are a function of the seed and the step, so a resumed run needs no state of the feed. At most
    two calls' minibatches are in memory: those of the present call, and those of the next.

    Args:
        config: a resolved config.
        roots: the key data of each seed, `[seeds, words]`.
        tables: the training data.
        start: number of steps done before.
    """

    def __init__(self, config: Config, roots: np.ndarray, tables: tuple[PyTree, ...], start: int) -> None:
        self._config, self._roots, self._tables = config, roots, streamed(tables)
        self._is_empty = not any(map(is_stream, tables))
        self._pool = ThreadPoolExecutor(1, "jaxgen stream")
        self._next: Future[tuple[PyTree, ...]] | None = None
        self._x64 = bool(jax.config.read("jax_enable_x64"))  # JAX's contexts hold for one thread alone
        self._waited = 0.0  # seconds of waiting, since `since`
        self._since = time.perf_counter()
        self._submit(start)

    def __call__(self, done: int) -> tuple[PyTree, ...]:
        """Return the minibatches of the call after `done` steps, and begin to read those of the next.

        Calls must come in the order of the steps.

        Args:
            done: number of steps done before.

        Returns:
            For each stream leaves `[devices, seeds, steps_per_call, share, ...]`.

        Raises:
            ValueError: if an example cannot be read, differs from the first in shape or dtype, or is not finite.
        """
        if self._next is None:
            return ()
        begun = time.perf_counter()
        batches = self._next.result()
        self._waited += time.perf_counter() - begun
        self._submit(done + self._config.steps_per_call)
        return batches

    def stalled(self) -> float | None:
        """Return the share of time spent waiting for data since the last call of this; None without a stream."""
        if self._is_empty:
            return None
        now = time.perf_counter()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return share

    def _submit(self, done: int) -> None:
        more = not self._is_empty and done < self._config.steps
        self._next = self._pool.submit(self._batches, done) if more else None

    def _batches(self, done: int) -> tuple[PyTree, ...]:
        config = self._config
        rows = batch_rows(config, self._roots, self._tables, done, config.steps_per_call)
        with jax.enable_x64(self._x64):
            return tuple(
                config.layout.place_split(own_examples(config, table, numbers))
                for table, numbers in zip(filter(is_stream, self._tables), rows, strict=True)
            )

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
