"""Extreme value loss: distance to the nearest candidate sample, and the cross-entropy of which one is nearest.

Minimizing the mean distance over samples collapses a generator to a point. Minimizing the smallest distance spreads its
samples over the support of the data. The cross-entropy part learns how often each candidate is the nearest; these
probabilities turn the support back into the distribution of the data.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.numerics.nearest_neighbor import first_minimum, initial_best, keep_nearer
from jaxgen.numerics.precision import promoted
from jaxgen.scan import chunked
from jaxgen.sharding import automatic, varying
from jaxgen.types import Array, Float, Int
from jaxgen.validation import check_positive

__all__ = ["ExtremeValue", "Generate", "extreme_value", "entries", "nearest", "powered_distance"]

# Maps noise to samples and the logit of each.
Generate = Callable[[Float[Array, "n k"]], tuple[Float[Array, "n d"], Float[Array, " n"]]]


class ExtremeValue(NamedTuple):
    """Both parts of the extreme value loss per target; the training loss is the mean of their weighted sum."""

    distance: Float[Array, "..."]  # |x - nearest candidate|^power
    cross_entropy: Float[Array, "..."]  # minus the log-probability of the nearest candidate, in nats


def extreme_value(
    x: Float[Array, "... d"],
    samples: Float[Array, "... n d"],
    log_weights: Float[Array, "... n"],
    *,
    power: float = 2.0,
) -> ExtremeValue:
    """Extreme value loss of each target with respect to its candidate samples.

    All candidates are held in memory; `losses.extreme_value_pool` computes the same for a larger pool.

    Args:
        x: targets `[..., d]`.
        samples: candidates `[..., n, d]`, one set per target; or `[n, d]`, one pool shared by all targets.
        log_weights: unnormalized logits `[..., n]` (or `[n]`) of the probability that a candidate is the nearest.
        power: exponent of the Euclidean distance, > 0.

    Returns:
        Distances and cross-entropies, both `[...]`.

    Raises:
        ValueError: if the shapes do not match, or `power` is not positive.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equations 2 and 7.
    """
    check_positive(power=power)
    shared = samples.ndim == 2
    if samples.shape[-1:] != x.shape[-1:] or log_weights.shape != samples.shape[:-1]:
        raise ValueError(
            "`x`, `samples` and `log_weights` must have shapes [..., d], [..., n, d] and [..., n] "
            f"(got {x.shape}, {samples.shape} and {log_weights.shape})."
        )
    if not shared and samples.shape[:-2] != x.shape[:-1]:
        raise ValueError(
            f"`samples` must hold one set for each target (got sets {samples.shape[:-2]} for targets {x.shape[:-1]}); "
            "pass [..., n, d], or a single pool [n, d]."
        )
    x, samples, log_weights = promoted(x, samples, log_weights)
    log_probability = jax.nn.log_softmax(log_weights)
    if shared:
        rows = x.reshape(-1, x.shape[-1])
        index, _ = nearest(rows, samples)
        chosen = entries(samples, index).reshape(x.shape)
        cross_entropy = -entries(log_probability, index).reshape(x.shape[:-1])
    else:
        index = first_minimum(jnp.sum((x[..., None, :] - samples) ** 2, -1))[..., None]
        chosen = jnp.take_along_axis(samples, index[..., None], -2)[..., 0, :]
        cross_entropy = -jnp.take_along_axis(log_probability, index, -1)[..., 0]
    return ExtremeValue(powered_distance(x, chosen, power), cross_entropy)


def nearest(
    x: Float[Array, "b d"], pool: Float[Array, "n d"], *, chunk: int | None = None
) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """Nearest neighbor of each target in a pool by Euclidean distance, without a gradient through the search.

    Each target's neighbor is exact, however far other targets and candidates are. Only candidates whose distances
    differ by about the precision of one coordinate may be exchanged.

    Args:
        x: targets `[b, d]`.
        pool: candidates `[n, d]`; of several equally near ones the first is taken.
        chunk: candidates compared at a time, which bounds memory by `b * chunk`; must divide `n`; None compares all.

    Returns:
        Indices `[b]` and squared distances `[b]`.

    Raises:
        ValueError: if they are not matrices, the widths differ, or `chunk` does not divide `n`.
    """
    if x.ndim != 2 or pool.ndim != 2:
        raise ValueError(
            f"`x` and `pool` must be matrices, [b, d] and [n, d] (got {x.shape} and {pool.shape}); for one row give "
            "x[None], and flatten each row of more axes."
        )
    if x.shape[-1] != pool.shape[-1]:
        raise ValueError(
            f"`x` and `pool` must have the same width (got {x.shape[-1]} and {pool.shape[-1]}); make them equal."
        )
    x, pool = promoted(x, pool)

    def nearest_rows(x: Array, pool: Array) -> tuple[Array, Array]:
        parts = chunked(pool, chunk)

        def search(best: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
            return keep_nearer(x, best, *at), None

        firsts = jnp.arange(parts.shape[0], dtype=jnp.int32) * parts.shape[1]
        (index, _), _ = jax.lax.scan(search, varying(initial_best(x), pool), (firsts, parts))
        return index, jnp.sum((x - pool[index]) ** 2, -1)

    return automatic(nearest_rows, x, pool, rows=x)


def entries(table: Array, index: Array) -> Array:
    """Rows of a table by their indices, sharded as these are."""
    return automatic(lambda table, index: table[index], table, index, rows=index)


def powered_distance(x: Array, y: Array, power: float) -> Array:
    """|x - y|^power over the last axis; its gradient is zero, not NaN, where `x == y`."""
    squared = jnp.sum((x - y) ** 2, -1)
    if power == 2.0:
        return squared
    positive = squared > 0
    return jnp.where(positive, jnp.where(positive, squared, 1.0) ** (power / 2), 0.0)
