"""How much two variables tell of each other, by how well a network tells pairs from strangers."""

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.types import Array, Float

__all__ = ["jsd_mutual_information"]


def jsd_mutual_information(
    joint: Float[Array, " n"], marginal: Float[Array, " m"], *, axis_name: str | None = None
) -> Float[Array, ""]:
    """Estimate the mutual information of two variables by the Jensen-Shannon divergence; maximise it.

    Whatever the scores, it is in expectation at most `2 JSD(joint || product of marginals) - 2 ln 2`, and just that
    where they are `log p(x, z) / (p(x) p(z))`. So it lies between -2 ln 2 = -1.386, where the variables tell nothing of
    each other, and 0, where each determines the other: it grows with the mutual information but is not it.

    The released code of the maximum entropy generators minimises a binary cross-entropy averaged over pairs and
    strangers alike, as many of each: that is minus half of this.

    Args:
        joint: a network's scores of pairs `(x, z)` drawn together, `[n]`.
        marginal: its scores of pairs whose halves were drawn apart, `[m]`.
        axis_name: the axis over devices; the estimate is then that of all devices' scores.

    Returns:
        `mean -softplus(-joint) - mean softplus(marginal)`, in nats, `[]`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 7; Hjelm et al., Learning deep
        representations by mutual information estimation and maximization (2018), equation 4.
    """
    # Both parts are means, so their mean over equal shares is that of the whole set: there is nothing to gather.
    estimate = jnp.mean(jax.nn.log_sigmoid(joint)) - jnp.mean(jax.nn.softplus(marginal))
    return parallel.mean(estimate, axis_name)
