"""Scores of scaled rows by all models of a detector, in pieces of one size."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.parallel import serial
from jaxgen.training.result import Result
from jaxgen.types import Array, Float, State

__all__ = ["LARGEST", "mean_scores"]

PIECE = 1_024  # rows scored at a time, so that tables of all lengths need one program and the same memory
LARGEST = float(np.finfo(np.float32).max)  # replaces scores that are NaN or infinite


def mean_scores(result: Result, rows: np.ndarray, name: str | None) -> np.ndarray:
    """Return the mean score over seeds of each row.

    Args:
        result: the trained models.
        rows: scaled rows `[n, d]` or images `[n, h, w, c]`, in single precision.
        name: of the score; None is the method's first.

    Returns:
        Scores `[n]`, with NaN and infinities replaced by the largest numbers.
    """
    scores, scorer = np.empty(len(rows)), _scorer(result.config.method, name)
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        padded = np.concatenate([piece, np.zeros((PIECE - len(piece), *rows.shape[1:]), np.float32)])
        whole = scorer(result.state, padded)
        scores[start : start + PIECE] = np.asarray(whole)[: len(piece)]
    return np.nan_to_num(scores, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


@functools.lru_cache(maxsize=8)
def _scorer(method: Any, name: str | None) -> Any:
    """Return a compiled function of states and rows `[n, ...]`: the mean of one score over seeds, `[n]`.

    Detectors of equal method and width share the program. The last ones are kept, which bounds memory.
    """

    def score(states: State, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
        def one(state: State) -> Array:
            scores = method.scores(state, x)
            return scores[next(iter(scores)) if name is None else name]

        return jnp.mean(serial(one, states), 0)

    return jax.jit(score)
