"""Apply a compiled program to many samples, in batches of one shape."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["in_parts"]


def in_parts(program: Callable[..., Any], method: Any, state: Any, x: np.ndarray, at_once: int = 512) -> Any:
    """Apply a compiled program batch by batch; the last batch is padded with zeros, so that one compilation suffices.

    Args:
        program: `program(method, state, batch)` returns arrays `[at_once, ...]`, an entry for each sample.
        method: first argument of the program.
        state: of one seed.
        x: samples `[n, ...]`.
        at_once: batch size.

    Returns:
        The program's outputs for all samples, arrays `[n, ...]`.
    """
    outputs = []
    for start in range(0, len(x), at_once):
        part = x[start : start + at_once]
        batch = np.concatenate([part, np.zeros((at_once - len(part), *part.shape[1:]), part.dtype)])
        outputs.append(jax.tree.map(np.asarray, program(method, state, jnp.asarray(batch))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *outputs)
