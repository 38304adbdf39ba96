"""Mutual information, estimated from the scores of a network that separates joint from independent pairs."""

import jax
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Float
from jaxgen.validation import check_vectors

__all__ = ["jsd_mutual_information"]


def jsd_mutual_information(
    joint: Float[Array, " n"], marginal: Float[Array, " m"], *, axis_name: str | None = None
) -> Float[Array, ""]:
    """Jensen-Shannon estimate of the mutual information between two variables, to be maximized.

    Its expectation is at most `2 JSD(joint || product of marginals) - 2 ln 2`. Scores equal to
    `log(p(x, z) / (p(x) p(z)))` reach this bound. The bound lies between -2 ln 2 = -1.386 for independent variables and
    0 if each variable determines the other. It grows with the mutual information but does not equal it.

    The released code of the maximum entropy generators minimizes a binary cross-entropy instead, averaged over equally
    many joint and marginal pairs. That is minus half of this estimate.

    Args:
        joint: scores of pairs `(x, z)` from the joint distribution, `[n]`.
        marginal: scores of pairs whose `x` and `z` were drawn independently, `[m]`.
        axis_name: axis over devices, or None; with an axis, the estimate uses the scores of all devices.

    Returns:
        `-mean(softplus(-joint)) - mean(softplus(marginal))` in nats, `[]`.

    Raises:
        ValueError: if the scores are not `[n]` and `[m]`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), equation 7; Hjelm et al., Learning deep
        representations by mutual information estimation and maximization (2018), equation 4.
    """
    check_vectors(joint=joint, marginal=marginal)
    joint, marginal = promoted(joint, marginal)
    # Both parts are means over equally large shares, so averaging over devices suffices: no scores need gathering.
    estimate = jnp.mean(jax.nn.log_sigmoid(joint)) - jnp.mean(jax.nn.softplus(marginal))
    return parallel.mean(estimate, axis_name)
