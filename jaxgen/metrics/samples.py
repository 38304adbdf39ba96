"""Two samples that are compared."""

import numpy as np
from numpy.typing import ArrayLike

from jaxgen.numerics.kernels import counts

__all__ = ["two_samples"]


def two_samples(x: ArrayLike, y: ArrayLike, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Check two samples that are to be compared.

    Args:
        x: one sample, `[n, d]`.
        y: the other, `[m, d]`.
        least: rows that each has at the least.

    Returns:
        Both in double precision, `[n, d]` and `[m, d]`.

    Raises:
        ValueError: if there are fewer of either, they are no matrices of one width, or a number is not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    counts(x, y, least=least)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        bad = int((~np.isfinite(x)).sum()), int((~np.isfinite(y)).sum())
        raise ValueError(f"{bad[0]} and {bad[1]} numbers of the samples are not finite; mend or leave out their rows.")
    return x, y
