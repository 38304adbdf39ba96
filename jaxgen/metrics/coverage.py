"""Mode coverage of samples: number of modes, and KL divergence from the uniform distribution."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Coverage", "mode_coverage"]


class Coverage(NamedTuple):
    """Mode coverage of a set of samples.

    Attributes:
        num_modes: number of modes with at least one sample.
        kl: KL(samples || uniform over all modes), in nats.
    """

    num_modes: int
    kl: float


def mode_coverage(labels: ArrayLike, classes: int = 10) -> Coverage:
    """Count the modes with samples and measure how uniform they are; a mode is one combination of classes.

    The divergence of a finite sample is not 0: n samples of the uniform distribution over m modes have
    `(m - 1) / (2 n)` nats on average, if n is many times m.

    Args:
        labels: the class of each part of a sample, `[n, stacks]`; one column if a sample has one class.
        classes: number of classes of each part.

    Returns:
        The number of modes found among `classes ** stacks`, and the KL divergence in nats, >= 0.

    Raises:
        ValueError: if there are no labels, or some are not whole numbers from 0 to `classes - 1`.

    References:
        Srivastava, Valkov, Russell, Gutmann and Sutton, VEEGAN (2017); Kumar et al., Maximum entropy generators for
        energy-based models (2019), Table 1.
    """
    labels = np.asarray(labels)
    whole = labels.ndim == 2 and labels.size > 0 and np.issubdtype(labels.dtype, np.integer)
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`labels` must be whole numbers from 0 to {classes - 1} of shape [n, stacks] (got {labels.dtype} "
            f"{labels.shape}); convert them, or set `classes`."
        )
    # Only the modes found are counted: there are 10^10 combinations of ten stacks.
    sample_sizes = np.unique(labels, axis=0, return_counts=True)[1]
    shares = sample_sizes / len(labels)
    log_modes = labels.shape[1] * np.log(classes)
    return Coverage(len(shares), max(float(np.sum(shares * (np.log(shares) + log_modes))), 0.0))
