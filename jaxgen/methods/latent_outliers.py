"""Outliers from the low-density region of a flow's latent space."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers
from jaxgen.methods._modules import required
from jaxgen.methods.flow import Flow
from jaxgen.optim.gradient_step import TrainState
from jaxgen.types import Array, Float, Key
from jaxgen.validation import check_hashable

__all__ = ["latent_outliers"]


def latent_outliers(
    key: Key[Array, ""],
    state: TrainState,
    n: int,
    *,
    flow: Flow,
    radii: Callable[..., Float[Array, " n"]],
    whitening: samplers.Whitening | None = None,
    max_log_prob: float | None = None,
    max_batches: int = 100,
) -> Float[Array, "n ..."]:
    """Draw outliers: decoded latent vectors in uniform directions, at radii far from the origin.

    If the flow has classes, each sample gets one, with equal probabilities. A sample that is far out for its own class
    may be likely under another class; `max_log_prob` keeps only samples with low density under all classes together.

    Args:
        key: of the draws.
        state: of the flow, of one seed.
        n: number of samples.
        flow: resolved.
        radii: draws radii, `radii(key, n, dimensions=d) -> [n]` with the flow's number of dimensions, such as
            `functools.partial(samplers.extreme_radii, draws=1_000)`.
        whitening: distribution of latent vectors, such as `samplers.whitening` of the inliers'; radii are then
            Mahalanobis
            distances. None is the standard normal distribution.
        max_log_prob: upper bound on the log-density of a sample, such as a quantile of the inliers'; None keeps every
            sample.
        max_batches: maximum number of batches of n samples to draw.

    Returns:
        Samples `[n, *row]`.

    Raises:
        TypeError: if the flow is not hashable, for example because its network has a list.
        ValueError: if there are fewer than n finite samples below the bound after `max_batches` batches.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), sections 3.1 and 3.3; the bound on the density is not in it.
    """
    check_hashable(flow)
    bound = None if max_log_prob is None else jnp.asarray(max_log_prob)
    batches: list[np.ndarray] = []
    for attempt in range(max_batches):
        x, accepted = _draw(jax.random.fold_in(key, attempt), state, whitening, bound, flow=flow, n=n, radii=radii)
        batches.append(np.asarray(x)[np.asarray(accepted)])
        if sum(map(len, batches)) >= n:
            return jnp.asarray(np.concatenate(batches)[:n])
    message = f"latent_outliers needs {n} samples (got {sum(map(len, batches))} from {max_batches} times {n} draws"
    if max_log_prob is None:
        raise ValueError(f"{message}, as the flow's inverse overflows far from the origin); use smaller radii.")
    raise ValueError(f"{message} below the log-density {max_log_prob}); raise `max_log_prob`, or use larger radii.")


@functools.partial(jax.jit, static_argnames=("flow", "n", "radii"))
def _draw(
    key: Key[Array, ""],
    state: TrainState,
    whitening: samplers.Whitening | None,
    max_log_prob: Float[Array, ""] | None,
    *,
    flow: Flow,
    n: int,
    radii: Callable[..., Array],
) -> tuple[Array, Array]:
    """Return n samples `[n, *row]`, and whether each is finite and below the bound `[n]`."""
    key_radius, key_direction, key_label = jax.random.split(key, 3)
    dimensions = required(flow, flow.dimensions)
    radius = radii(key_radius, n, dimensions=dimensions)
    z = samplers.shell(key_direction, n, dimensions=dimensions, radius=radius)
    z = z if whitening is None else whitening.unwhiten(z)
    labels = jax.random.randint(key_label, (n,), 0, flow.classes) if flow.classes else None
    x = flow.round_to_levels(flow.decode(state, z, labels))
    # The inverse may overflow far from the origin.
    finite = jnp.all(jnp.isfinite(x), tuple(range(1, x.ndim)))
    return x, finite if max_log_prob is None else finite & (flow.log_prob(state, x) < max_log_prob)
