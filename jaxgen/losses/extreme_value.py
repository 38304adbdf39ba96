"""The extreme value loss: how far the nearest of many guesses is, and how well its choice was foreseen.

Training on the mean of a loss over samples collapses a generator to a point; training on the minimum spreads it over
the support of the data. The second part learns how often each guess is the nearest one, which turns the support back
into the distribution.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.numerics.kernels import squared_distances
from jaxgen.scan import chunked
from jaxgen.types import Array, Float, Int

__all__ = ["ExtremeValue", "Generate", "extreme_value", "extreme_value_pool", "nearest"]

Generate = Callable[[Float[Array, "n k"]], tuple[Float[Array, "n d"], Float[Array, " n"]]]


class ExtremeValue(NamedTuple):
    """The two parts of the loss; weigh them, add them, and take the mean."""

    distance: Float[Array, "..."]  # |x - nearest guess|^power
    cross_entropy: Float[Array, "..."]  # minus the log-probability that this guess is the nearest, in nats


def extreme_value(
    x: Float[Array, "... d"],
    samples: Float[Array, "... n d"],
    log_weights: Float[Array, "... n"],
    *,
    power: float = 2.0,
) -> ExtremeValue:
    """Compare every target with the nearest of its guesses.

    Differentiates through all guesses at once; see `extreme_value_pool` for a pool that memory cannot hold.

    Args:
        x: targets `[..., d]`.
        samples: guesses `[..., n, d]`, of each target its own; or `[n, d]`, one pool that all targets share.
        log_weights: logits `[..., n]` of the probability that a guess is the nearest; normalised here.
        power: exponent of the Euclidean distance, > 0.

    Returns:
        Distance and cross-entropy, both `[...]`.

    Raises:
        ValueError: if the shapes do not belong together.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equations 2 and 7.
    """
    shared = samples.ndim == 2
    if samples.shape[-1:] != x.shape[-1:] or log_weights.shape != samples.shape[:-1]:
        raise ValueError(
            f"extreme_value got x {x.shape}, samples {samples.shape} and log_weights {log_weights.shape}; "
            "it needs [..., d], [..., n, d] and [..., n]."
        )
    if not shared and samples.shape[:-2] != x.shape[:-1]:
        raise ValueError(
            f"extreme_value got {samples.shape[:-2]} sets of samples for targets {x.shape[:-1]}; "
            "give one set for each target, or a single pool [n, d]."
        )
    log_probability = jax.nn.log_softmax(log_weights)
    if shared:
        rows = x.reshape(-1, x.shape[-1])
        index, _ = nearest(rows, samples)
        chosen, surprise = samples[index].reshape(x.shape), -log_probability[index].reshape(x.shape[:-1])
    else:
        index = _first_minimum(jnp.sum((x[..., None, :] - samples) ** 2, -1))[..., None]
        chosen = jnp.take_along_axis(samples, index[..., None], -2)[..., 0, :]
        surprise = -jnp.take_along_axis(log_probability, index, -1)[..., 0]
    return ExtremeValue(_distance(x, chosen, power), surprise)


def extreme_value_pool(
    generate: Generate,
    noise: Float[Array, "n k"],
    x: Float[Array, "b d"],
    *,
    chunk: int | None = None,
    power: float = 2.0,
) -> ExtremeValue:
    """Compare targets with the nearest guess of a shared pool of any size.

    The same values and gradients as `extreme_value` on the whole pool, in memory that does not grow with it:
    the pool is searched without differentiating, only the winners are made again with a gradient, and the
    normaliser of the probabilities, which every guess enters, is formed chunk by chunk and rematerialised.

    Args:
        generate: `generate(noise [n, k]) -> (samples [n, d], logits [n])`, row by row (no batch statistics).
        noise: one row for each guess, `[n, k]`.
        x: targets `[b, d]`.
        chunk: guesses made at a time; must divide `n`; None makes all at once.
        power: exponent of the Euclidean distance, > 0.

    Returns:
        Distance and cross-entropy, both `[b]`.

    Raises:
        ValueError: if `chunk` does not divide the pool, or `generate` makes other shapes.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equation 2 and section VI.
    """
    chunks = chunked(noise, chunk)

    def search(best: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        first, part = at
        samples = jax.lax.stop_gradient(generate(part)[0])
        return _nearer(best, first, nearest(x, samples)), None

    firsts = jnp.arange(chunks.shape[0], dtype=jnp.int32) * chunks.shape[1]
    (index, _), _ = jax.lax.scan(search, _nobody(x), (firsts, chunks))
    normaliser = jax.lax.map(jax.checkpoint(lambda part: jax.nn.logsumexp(generate(part)[1])), chunks)
    winners, logits = generate(noise[index])
    if winners.shape != x.shape or logits.shape != x.shape[:1]:
        raise ValueError(
            f"generate made samples {winners.shape} and logits {logits.shape} of {x.shape[0]} rows of noise; "
            f"it must make {x.shape} and {x.shape[:1]}."
        )
    return ExtremeValue(_distance(x, winners, power), jax.nn.logsumexp(normaliser) - logits)


def nearest(
    x: Float[Array, "b d"], pool: Float[Array, "n d"], *, chunk: int | None = None
) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """Find the nearest member of a pool by Euclidean distance, without a gradient through the search.

    Args:
        x: targets `[b, d]`.
        pool: candidates `[n, d]`; the first of several equally near ones is taken.
        chunk: candidates compared at a time, which bounds memory by `b * chunk`; must divide `n`; None compares all.

    Returns:
        Index `[b]` and squared distance `[b]`.

    Raises:
        ValueError: if the widths differ, or if `chunk` does not divide the pool.
    """
    if x.shape[-1] != pool.shape[-1]:
        raise ValueError(
            f"nearest got rows of width {x.shape[-1]} and a pool of width {pool.shape[-1]}; make them equal."
        )
    # Measured from the targets' centre, so that a common offset costs no precision in the product.
    centre = jnp.mean(x, 0, keepdims=True)
    targets, candidates = jax.lax.stop_gradient((x - centre, pool - centre))
    parts = chunked(candidates, chunk)

    def search(best: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        first, part = at
        squared = squared_distances(targets, part)
        return _nearer(best, first, (_first_minimum(squared), jnp.min(squared, -1))), None

    firsts = jnp.arange(parts.shape[0], dtype=jnp.int32) * parts.shape[1]
    (index, _), _ = jax.lax.scan(search, _nobody(x), (firsts, parts))
    return index, jnp.sum((x - pool[index]) ** 2, -1)


def _nobody(x: Array) -> tuple[Array, Array]:
    """The nearest so far, before anyone was looked at: index and squared distance, `[b]`."""
    return jnp.zeros(x.shape[0], jnp.int32), jnp.full(x.shape[0], jnp.inf, x.dtype)


def _nearer(best: tuple[Array, Array], first: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
    """Keep the nearer of the best so far and the best of the chunk that begins at `first`."""
    closer = (found[1] < best[1]) | jnp.isnan(found[1])  # what is not a number must not be passed over in silence
    return jnp.where(closer, first + found[0], best[0]), jnp.where(closer, found[1], best[1])


def _first_minimum(values: Array) -> Array:
    """`argmin` over the last axis, NaN being the least, by reductions that XLA vectorises on a CPU, unlike `argmin`."""
    positions = jax.lax.broadcasted_iota(jnp.int32, values.shape, values.ndim - 1)
    smallest = jnp.min(values, -1, keepdims=True)
    chosen = (values <= smallest) | jnp.isnan(values)
    return jnp.min(jnp.where(chosen, positions, values.shape[-1] - 1), -1)


def _distance(x: Array, y: Array, power: float) -> Array:
    """|x - y|^power over the last axis; its gradient is zero, not NaN, where the two are equal."""
    squared = jnp.sum((x - y) ** 2, -1)
    if power == 2.0:
        return squared
    apart = squared > 0
    return jnp.where(apart, jnp.where(apart, squared, 1.0) ** (power / 2), 0.0)
