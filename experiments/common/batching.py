"""Programs that are compiled once and applied to as many rows as there are, some at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["in_parts"]


def in_parts(program: Callable[..., Any], method: Any, state: Any, x: np.ndarray, at_once: int = 512) -> Any:
    """Apply a compiled program to some rows at a time, always as many, so that one program does.

    Args:
        program: `program(method, state, rows)`, whose arrays `[len(rows), ...]` hold one entry for each row.
        method: of what is applied.
        state: of one seed.
        x: rows `[n, ...]`.
        at_once: rows of a part; behind the last ones zeros fill it.

    Returns:
        What it makes of all rows, arrays `[n, ...]`.
    """
    found = []
    for at in range(0, len(x), at_once):
        part = x[at : at + at_once]
        whole = np.concatenate([part, np.zeros((at_once - len(part), *part.shape[1:]), part.dtype)])
        found.append(jax.tree.map(np.asarray, program(method, state, jnp.asarray(whole))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *found)
