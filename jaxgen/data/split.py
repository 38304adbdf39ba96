"""Split of a table into training and validation rows."""

import functools
from typing import NamedTuple

import numpy as np

from jaxgen.types import Int

__all__ = ["SplitRows", "num_validation_rows", "split_rows"]

_STREAM = (0x5B117, 0, 0)  # keeps the generator of a split apart from those of minibatches, which have fewer words


class SplitRows(NamedTuple):
    """Row numbers of a table, ascending and int32."""

    training: Int[np.ndarray, " n"]
    validation: Int[np.ndarray, " m"]


def num_validation_rows(validation: float | int, n: int) -> int:
    """Return the number of validation rows of a table.

    Args:
        validation: a whole number of rows, or a share between 0 and 1, which is rounded to at least one row.
        n: number of rows of the table.
    """
    return validation if isinstance(validation, int) else max(round(validation * n), 1)


@functools.lru_cache(maxsize=4)  # minibatches of each call need it, and it takes 0.1 s for a million rows
def split_rows(seed: int, table: int, n: int, count: int) -> SplitRows:
    """Split the rows of a table at random, as a function of the arguments only.

    Args:
        seed: the root seed of the run, so that all its models have the same validation rows.
        table: number of the table, so that tables of equal length are split differently.
        n: number of rows.
        count: number of validation rows.

    Returns:
        Numbers of the training and of the validation rows; do not change them, since they are cached.
    """
    order = np.random.default_rng([seed, table, *_STREAM]).permutation(n).astype(np.int32)
    return SplitRows(np.sort(order[count:]), np.sort(order[:count]))
