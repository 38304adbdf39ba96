"""Early stopping: the loss on validation rows, the best state of each seed, and when a seed stops."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.batches import take, to_float
from jaxgen.nets.compute_dtype import computing_in
from jaxgen.parallel import Layout
from jaxgen.types import Array, Bool, Float, Int, PyTree, State

__all__ = [
    "VALIDATION_LOSS",
    "Losses",
    "SelectedState",
    "Validation",
    "best_evaluation",
    "best_loss",
    "best_steps",
    "evaluation",
    "is_stopped",
    "step_range",
]

VALIDATION_LOSS = "validation_loss"  # its name in the history, `[seeds, evaluations]`

Losses = Float[np.ndarray, "seeds evaluations"]


class SelectedState(NamedTuple):
    """State of a run with validation; the first axis of every leaf is the seed.

    Everything else that a resumed run needs follows from the validation losses in the history.
    """

    last: State  # after the last step; of a stopped seed, after its own last step
    best: State  # at the evaluation with the least validation loss


def best_loss(losses: Losses) -> Float[np.ndarray, " seeds"]:
    """Return the least finite loss of each seed; infinity if there is none."""
    return np.min(np.where(np.isfinite(losses), losses, np.inf), 1, initial=np.inf).astype(np.float32)


def best_evaluation(losses: Losses) -> Int[np.ndarray, " seeds"]:
    """Return the first evaluation of each seed with its least finite loss; the last one if none is finite."""
    first = np.argmin(np.where(np.isfinite(losses), losses, np.inf), 1)
    return np.where(np.isfinite(losses).any(1), first, losses.shape[1] - 1)


def best_steps(losses: Losses, steps_per_call: int) -> Int[np.ndarray, " seeds"]:
    """Return the number of steps after which each seed has its least loss."""
    return (best_evaluation(losses) + 1) * steps_per_call


def step_range(steps: Int[np.ndarray, " seeds"]) -> str:
    """Return the least and the largest number of steps as text, such as `200 to 350`, or one if they are equal."""
    return " to ".join(str(step) for step in sorted({int(steps.min()), int(steps.max())}))


def is_stopped(losses: Losses, patience: int | None) -> Bool[np.ndarray, " seeds"]:
    """Return whether each seed has had `patience` evaluations without improvement.

    A loss that is not finite is no improvement, and neither is one equal to the least.

    Args:
        losses: validation losses so far; NaN after a seed has stopped.
        patience: number of evaluations; None never stops.
    """
    seeds, count = losses.shape
    if patience is None or count == 0:
        return np.zeros(seeds, bool)
    since = np.where(np.isfinite(losses).any(1), count - 1 - best_evaluation(losses), count)
    return since >= patience


def evaluation(method: Any, layout: Layout) -> Callable[..., tuple[SelectedState, Array]]:
    """Return the program that evaluates all seeds and updates their selected states.

    Args:
        method: a method with `validation_loss`, outside of an axis over devices.
        layout: maps seeds and devices; every device evaluates all rows.

    Returns:
        `program(selected, after, roots, least, stopped, tables, rows) -> (selected, losses)`. `after` is the state
        after the next segment, which stopped seeds do not take; `least` is the least loss of each seed so far. `rows`
        holds the numbers of each table's validation rows, or None for all rows.
    """

    def program(
        selected: SelectedState, after: State, roots: Array, least: Array, stopped: Array, tables: Any, rows: Any
    ) -> tuple[SelectedState, Array]:
        # Outside of the map over seeds, so that all seeds share one copy of the rows.
        parts = [
            jax.tree.map(to_float, table) if numbers is None else take(table, numbers)
            for table, numbers in zip(tables, rows, strict=True)
        ]

        def one(
            selected: SelectedState, after: State, root: Array, least: Array, stopped: Array
        ) -> tuple[SelectedState, Array]:
            # The steps and the initialization have the keys 0 and 1. Each evaluation has the same noise.
            key = jax.random.fold_in(jax.random.wrap_key_data(root), 2)
            last = _chosen(stopped, selected.last, after)
            with computing_in(layout.compute_dtype):
                loss = method.validation_loss(key, last, *parts)
            if jnp.shape(loss):
                raise ValueError(
                    f"`validation_loss` of {type(method).__name__} must return one number (got shape "
                    f"{jnp.shape(loss)}); return the mean over rows."
                )
            loss = jnp.where(stopped, jnp.nan, jnp.asarray(loss, jnp.float32))
            # While no loss was finite, the best state is the last one.
            improved = (jnp.isfinite(loss) & (loss < least)) | (~jnp.isfinite(least) & ~stopped)
            return SelectedState(last, _chosen(improved, last, selected.best)), loss

        return layout.map_seeds(one, selected, after, roots, least, stopped)

    return layout.spread(program)


@dataclasses.dataclass(frozen=True)
class Validation:
    """Evaluation of a run after each segment.

    Attributes:
        program: what `evaluation` returned.
        roots: the data of each seed's key, `[seeds, words]`.
        tables: placed tables that hold the validation rows.
        rows: numbers of the validation rows of each table, or None for all rows.
        patience: evaluations without improvement after which a seed stops, or None.
        steps_per_call: steps between two evaluations.
    """

    program: Callable[..., tuple[SelectedState, Array]]
    roots: np.ndarray
    tables: tuple[PyTree, ...]
    rows: tuple[np.ndarray | None, ...]
    patience: int | None
    steps_per_call: int

    def is_stopped(self, losses: Losses) -> Bool[np.ndarray, " seeds"]:
        """Return whether each seed has stopped, after the losses so far."""
        return is_stopped(losses, self.patience)

    def __call__(
        self, selected: SelectedState, after: State, news: dict[str, np.ndarray], losses: Losses
    ) -> tuple[SelectedState, dict[str, np.ndarray]]:
        """Evaluate the state after a segment.

        Args:
            selected: states before the segment.
            after: the state of all seeds after it.
            news: metrics of the segment, `[seeds, steps_per_call]`.
            losses: validation losses before the segment, `[seeds, evaluations]`.

        Returns:
            The new states, and the metrics with `validation_loss` `[seeds, 1]`. Metrics of stopped seeds are NaN, or 0
            if they are whole numbers.
        """
        stopped = self.is_stopped(losses)
        selected, loss = self.program(selected, after, self.roots, best_loss(losses), stopped, self.tables, self.rows)
        for metric in news.values() if stopped.any() else ():
            metric[stopped] = np.nan if jnp.issubdtype(metric.dtype, jnp.floating) else 0
        return selected, {**news, VALIDATION_LOSS: np.array(loss)[:, None]}

    def check(self, losses: Losses, *, ended: bool) -> None:
        """Check that each seed that has stopped, or whose run has ended, has a finite loss.

        Raises:
            FloatingPointError: if it has none, so that no state can be chosen.
        """
        finite = np.isfinite(losses).any(1)
        if not finite.all() and (ended or self.is_stopped(losses)[~finite].any()):
            seed = int(np.argmin(finite))
            raise FloatingPointError(
                f"`{VALIDATION_LOSS}` must be finite in at least one evaluation (seed {seed} has {losses[seed, -1]} at "
                f"step {losses.shape[1] * self.steps_per_call}, and no finite one before); remove validation rows "
                "that are far from the training rows, or lower the learning rate."
            )


def _chosen(condition: Array, one: State, other: State) -> State:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
