"""Extreme value loss with respect to a pool of candidates of any size, also one that is split over devices."""

from typing import Any

import jax
import jax.extend
import jax.numpy as jnp

from jaxgen import parallel
from jaxgen.losses.extreme_value import ExtremeValue, Generate, entries, powered_distance
from jaxgen.numerics.nearest_neighbor import initial_best, is_nearer, keep_nearer
from jaxgen.numerics.precision import promoted
from jaxgen.scan import chunked
from jaxgen.sharding import automatic, replicated, varying
from jaxgen.types import Array, Float
from jaxgen.validation import check_positive

__all__ = ["extreme_value_pool"]

# On a CPU, a chunk is generated in pieces whose largest array has at most this number of bytes.
CACHE = 2**23
SMALLEST_PIECE = 16  # candidates; smaller matrix products are slow


def extreme_value_pool(
    generate: Generate,
    noise: Float[Array, "n k"],
    x: Float[Array, "b d"],
    *,
    chunk: int | None = None,
    power: float = 2.0,
    axis_name: str | None = None,
) -> ExtremeValue:
    """Extreme value loss with respect to a shared pool of any size, in memory that does not grow with the pool.

    Values and gradients equal those of `extreme_value` on the whole pool. The pool is searched without a gradient, and
    only the nearest candidates are generated again with one. The normalizer of the probabilities depends on every
    candidate; it is computed chunk by chunk in the same pass, and rematerialized for the gradient.

    With an axis over devices, the pool and the targets are those of all devices. Each device generates and searches its
    own share of the pool for all targets, and differentiates the nearest candidates that it has generated. The mean of
    the loss and of its gradient over devices equals that of one device with the whole pool and all targets.

    Args:
        generate: `generate(noise [n, k]) -> (samples [n, d], logits [n])`, each row on its own (no batch statistics).
        noise: one row per candidate, `[n, k]`; with an axis, this device's share of the pool.
        x: targets `[b, d]`; with an axis, those of this device.
        chunk: number of candidates generated at a time; must divide `n`; None generates all at once.
        power: exponent of the Euclidean distance, > 0.
        axis_name: axis over devices that share one pool; None for a pool on each device.

    Returns:
        Distances and cross-entropies of the targets, both `[b]`.

    Raises:
        ValueError: if `chunk` does not divide `n`, `generate` returns other shapes, or `power` is not positive.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), equation 2 and section VI.
    """
    check_positive(power=power)
    chunks = chunked(noise, chunk)
    count = chunks.shape[1]
    program, (samples_spec, logits_spec) = jax.make_jaxpr(generate, return_shape=True)(chunks[0])
    if samples_spec.shape != (count, x.shape[-1]) or logits_spec.shape != (count,):
        raise ValueError(
            f"`generate` must return samples {(count, x.shape[-1])} and logits {(count,)} for {count} rows of noise "
            f"(got {samples_spec.shape} and {logits_spec.shape}); return one sample and one logit per row."
        )
    (x,) = promoted(x.astype(jnp.result_type(x, samples_spec.dtype)))
    targets = x if axis_name is None else parallel.gather_constant(x, axis_name)
    in_pieces = _in_pieces(generate, count, _largest_array(program))

    @jax.checkpoint
    def summarized(part: Array) -> tuple[Array, Array, Array]:
        """Samples without a gradient, the largest logit, and the logarithm of the sum of exp(logit - largest)."""
        samples, logits = in_pieces(part)
        (logits,) = promoted(logits)
        top = jax.lax.stop_gradient(jnp.max(logits))
        top = jnp.where(jnp.isfinite(top), top, 0.0)
        return jax.lax.stop_gradient(samples), top, jnp.log(jnp.sum(jnp.exp(logits - top)))

    def visit(best: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        first, part = at
        samples, top, log_sum = summarized(part)
        return automatic(keep_nearer, targets, best, first, replicated(samples), rows=targets), (top, log_sum)

    firsts = jnp.arange(chunks.shape[0], dtype=jnp.int32) * count
    start = varying(initial_best(targets), targets, samples_spec)
    (index, candidate), (tops, log_sums) = jax.lax.scan(visit, start, (firsts, chunks))
    # The largest logit is kept apart: logits have any constant, and their sum with it would round.
    top = parallel.largest(jnp.max(tops), axis_name)
    winners, logits = generate(entries(noise, index))
    if axis_name is not None:
        mine = _owners(x, candidate, axis_name) == parallel.index(axis_name)
        winners, logits = parallel.total_share(
            (jnp.where(mine[:, None], winners, 0.0), jnp.where(mine, logits, 0.0)), axis_name
        )
    x, winners, logits, top, tops, log_sums = promoted(x, winners, logits, top, tops, log_sums)
    normalizer = _log_total(tops - top + log_sums, axis_name)
    return ExtremeValue(powered_distance(x, winners, power), normalizer - (logits - top))


def _log_total(terms: Array, axis_name: str | None) -> Array:
    """Logarithm of the sum of `exp(terms)`, over all devices."""
    largest = parallel.largest(jnp.max(terms), axis_name)
    largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return jnp.log(parallel.total(jnp.sum(jnp.exp(terms - largest)), axis_name)) + largest


def _in_pieces(generate: Generate, count: int, bytes_needed: int) -> Generate:
    """A generator of `count` candidates that, on a CPU, generates as many at a time as fit into the cache.

    Args:
        generate: noise to samples and logits, each row on its own.
        count: number of candidates.
        bytes_needed: of the largest array within `generate`.
    """
    sizes = (size for size in range(count, SMALLEST_PIECE - 1, -1) if count % size == 0)
    size = next((size for size in sizes if bytes_needed * size <= CACHE * count), count)
    if size == count:
        return generate

    def pieces(noise: Array) -> tuple[Array, Array]:
        parts = jax.lax.map(generate, chunked(noise, size))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), parts)

    return lambda noise: jax.lax.platform_dependent(noise, cpu=pieces, default=generate)


def _largest_array(program: jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr) -> int:
    """Return the bytes of the largest array that a traced program computes, at any depth."""
    sizes = [0]
    for equation in getattr(program, "jaxpr", program).eqns:
        avals: list[Any] = [v.aval for v in equation.outvars if hasattr(v.aval, "dtype")]
        sizes += [aval.size * jnp.dtype(aval.dtype).itemsize for aval in avals]
        sizes += [
            _largest_array(inner)
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program)
            if _is_program(inner)
        ]
    return max(sizes)


def _is_program(value: object) -> bool:
    return isinstance(value, jax.extend.core.ClosedJaxpr | jax.extend.core.Jaxpr)


def _owners(x: Array, candidate: Array, axis_name: str) -> Array:
    """Device whose candidate is the nearest of each target of all devices, `[devices * b]`; of equal ones the first.

    Args:
        x: targets of this device, `[b, d]`.
        candidate: nearest candidates in this device's share of the pool, for all targets, `[devices * b, d]`.
        axis_name: axis over devices.
    """
    x = jax.lax.stop_gradient(x)

    def keep(best: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        device, theirs = at
        closer = is_nearer(x, theirs, best[1])
        return (jnp.where(closer, device, best[0]), jnp.where(closer[:, None], theirs, best[1])), None

    offers = parallel.exchange(candidate, axis_name)
    devices = jnp.arange(len(offers), dtype=jnp.int32)
    (owner, _), _ = jax.lax.scan(keep, varying(initial_best(x), offers), (devices, offers))
    return parallel.gather_constant(owner, axis_name)
