"""Which modes samples cover, and how evenly."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Coverage", "mode_coverage"]


class Coverage(NamedTuple):
    """What was found of so many modes."""

    found: int
    kl: float  # KL(samples || uniform over all modes), nats


def mode_coverage(labels: ArrayLike, classes: int = 10) -> Coverage:
    """Count the modes that samples hit, a mode being one combination of classes, and how far their law is from uniform.

    A finite sample is never quite even: n draws of the uniform law over m modes are `(m - 1) / (2 n)` nats from it on
    average, where n is many times m.

    Args:
        labels: the class of each part of a sample, `[n, stacks]`; one column where a sample has one class.
        classes: of each part.

    Returns:
        How many of the `classes ** stacks` modes were hit, and the divergence in nats, >= 0.

    Raises:
        ValueError: if there are no labels, or some are no classes.

    References:
        Srivastava, Valkov, Russell, Gutmann and Sutton, VEEGAN (2017); Kumar et al., Maximum entropy generators for
        energy-based models (2019), Table 1.
    """
    labels = np.asarray(labels)
    whole = labels.ndim == 2 and labels.size > 0 and np.issubdtype(labels.dtype, np.integer)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels are {labels.dtype} {labels.shape}; give [n, stacks] whole numbers from 0 to {classes - 1}."
        )
    modes = classes ** labels.shape[1]
    counts = np.bincount(np.ravel_multi_index(tuple(labels.T), (classes,) * labels.shape[1]), minlength=modes)
    shares = counts[counts > 0] / counts.sum()
    return Coverage(int(np.sum(counts > 0)), float(np.sum(shares * np.log(shares * modes))))
