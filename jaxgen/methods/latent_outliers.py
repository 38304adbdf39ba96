"""Outliers from the edge of a flow's latent space."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import samplers
from jaxgen.methods._checks import check_hashable
from jaxgen.methods._modules import filled
from jaxgen.methods.flow import Flow
from jaxgen.optim.gradient_step import TrainState
from jaxgen.types import Array, Float, Key

__all__ = ["latent_outliers"]


def latent_outliers(
    key: Key[Array, ""],
    state: TrainState,
    n: int,
    *,
    flow: Flow,
    radii: Callable[..., Float[Array, " n"]],
    law: samplers.Whitening | None = None,
    below: float | None = None,
    attempts: int = 100,
) -> Float[Array, "n ..."]:
    """Draw rows whose latent vectors lie far out: in uniform directions, at distances of a given law.

    Of a flow with classes each draw is given a class, as likely as the others. What lies far out for its own class may
    lie amid another: `below` keeps only rows that are unlikely altogether.

    Args:
        key: of the draws.
        state: of the flow, one seed's.
        n: how many.
        flow: sized.
        radii: draws distances, `radii(key, n, dimensions=d) -> [n]` with the flow's own dimensions, such as
            `functools.partial(samplers.extreme_radii, draws=1_000)`.
        law: of latent vectors, `samplers.whitening` of some; the distances then are Mahalanobis'. None is the standard
            normal law.
        below: log-density that a row must lie below, such as a quantile of the inliers'; None takes every row.
        attempts: how many times n rows are drawn at the most, to find n.

    Returns:
        Rows `[n, *row]`.

    Raises:
        TypeError: if the flow has no hash, as where its network was given a list.
        ValueError: if so many attempts did not find n rows that are finite, and below the density where one is given.

    References:
        Bungert, Master's thesis (Heidelberg, 2021), sections 3.1 and 3.3; the bound on the density is not in it.
    """
    check_hashable(flow)
    bound = None if below is None else jnp.asarray(below)
    found: list[np.ndarray] = []
    for attempt in range(attempts):
        x, kept = _drawn(jax.random.fold_in(key, attempt), state, law, bound, flow=flow, n=n, radii=radii)
        found.append(np.asarray(x)[np.asarray(kept)])
        if sum(map(len, found)) >= n:
            return jnp.asarray(np.concatenate(found)[:n])
    told = f"{attempts} times {n} draws gave {sum(map(len, found))} rows"
    if below is None:
        raise ValueError(f"{told} that are finite, as the flow's inverse overflows far out; draw nearer.")
    raise ValueError(f"{told} below the log-density {below}; raise the bound, or draw further out.")


@functools.partial(jax.jit, static_argnames=("flow", "n", "radii"))
def _drawn(
    key: Key[Array, ""],
    state: TrainState,
    law: samplers.Whitening | None,
    below: Float[Array, ""] | None,
    *,
    flow: Flow,
    n: int,
    radii: Callable[..., Array],
) -> tuple[Array, Array]:
    """Return rows from the edge, and whether each is to be kept."""
    key_radius, key_direction, key_label = jax.random.split(key, 3)
    dimensions = filled(flow, flow.dimensions)
    radius = radii(key_radius, n, dimensions=dimensions)
    z = samplers.shell(key_direction, n, dimensions=dimensions, radius=radius)
    z = z if law is None else law.uncolored(z)
    labels = jax.random.randint(key_label, (n,), 0, flow.classes) if flow.classes else None
    x = flow.on_levels(flow.decode(state, z, labels))
    # Far out a network's inverse may overflow; what is no number is no row.
    finite = jnp.all(jnp.isfinite(x), tuple(range(1, x.ndim)))
    return x, finite if below is None else finite & (flow.log_prob(state, x) < below)
