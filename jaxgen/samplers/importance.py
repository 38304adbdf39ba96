"""Importance weights: effective sample size, rejection and multinomial resampling."""

import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.sharding import automatic
from jaxgen.types import Array, Float, Int, Key

__all__ = ["effective_sample_size", "reject", "resample"]


def effective_sample_size(log_weights: Float[Array, "... n"]) -> Float[Array, "..."]:
    """Effective sample size of importance weights, `(sum w)^2 / sum w^2`.

    Args:
        log_weights: logarithms of the weights, up to a common constant, `[..., n]`.

    Returns:
        Effective sample sizes between 1 and n, `[...]`, in single precision or better; NaN if a weight is infinite or
        NaN, or all are zero.

    References:
        Kong, Liu and Wong, Sequential imputations and Bayesian missing data problems (1994).
    """
    (weights,) = promoted(log_weights)
    top = jnp.max(weights, -1, keepdims=True)
    # The largest weight becomes 1, as logarithms of sums near 1e7 have a precision of 1.
    weights = jnp.exp(weights - jnp.where(jnp.isfinite(top), top, 0.0))
    return jnp.sum(weights, -1) ** 2 / jnp.sum(weights**2, -1)


def reject(key: Key[Array, ""], log_weights: Float[Array, " n"]) -> Array:
    """Rejection sampling mask: the samples it keeps follow the weighted distribution.

    A sample is kept with probability `w / max w`, where the maximum is over the given samples. On average
    `sum w / max w` of them are kept.

    Args:
        key: random key.
        log_weights: logarithms of the weights, up to a common constant, `[n]`.

    Returns:
        Boolean mask `[n]`, True for kept samples; the one with the largest weight is always kept. If a weight is
        infinite or NaN, or all are zero, the mask is all False. The caller must exclude this, as compiled code cannot
        raise.

    Raises:
        ValueError: if `log_weights` is not `[n]` with n >= 1.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section III.
    """
    _check_vector(log_weights)
    (log_weights,) = promoted(log_weights)
    # In [0, 1), so strictly below the largest ratio, 1.
    uniform = jax.random.uniform(key, log_weights.shape, log_weights.dtype)
    return uniform < jnp.exp(log_weights - jnp.max(log_weights))


def resample(key: Key[Array, ""], log_weights: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """Multinomial resampling: draw indices with replacement, with probabilities proportional to the weights.

    Probabilities are rounded to multiples of 2^-31. A probability `p` has a relative error of up to `2^-31 / p`, at
    most 0.005 for ten million equal weights. Samples with a probability below 2^-32 are never drawn. The caller must
    exclude weights that are not finite or all zero, as compiled code cannot raise.

    Args:
        key: random key.
        log_weights: logarithms of the weights, up to a common constant, `[n]`.
        count: number of draws.

    Returns:
        Indices of the drawn samples, `[count]`.

    Raises:
        ValueError: if `log_weights` is not `[n]` with n >= 1.
    """
    _check_vector(log_weights)
    # Inversion of the cumulative weights takes O(count log n); `jax.random.categorical` would draw [count, n] numbers.
    # Integers, since a cumulative sum in single precision would lose every sixth of ten million equal weights.
    (weights,) = promoted(log_weights)  # 2^31 exceeds half precision
    bits = jax.random.bits(key, (count,), jnp.uint32)

    def drawn(weights: Array, bits: Array) -> Array:
        shares = jnp.round(jax.nn.softmax(weights) * 2.0**31).astype(jnp.uint32)
        cumulative = jnp.cumsum(shares, dtype=jnp.uint32)
        return jnp.searchsorted(cumulative, _scale_to(bits, cumulative[-1]), side="right").astype(jnp.int32)

    return automatic(drawn, weights, bits)


def _check_vector(log_weights: Array) -> None:
    if log_weights.ndim != 1 or not len(log_weights):
        raise ValueError(
            f"`log_weights` must be [n] with n >= 1 (got shape {log_weights.shape}); vectorize over further axes with "
            "jax.vmap."
        )


def _scale_to(bits: Array, total: Array) -> Array:
    """Map random 32-bit integers to uniform integers below `total`, as the upper half of their 64-bit product.

    `jax.random.randint` is not uniform for totals above 2^16.
    """
    half, low = jnp.uint32(16), jnp.uint32(0xFFFF)
    middle = (bits >> half) * (total & low) + ((bits & low) * (total & low) >> half)
    other = (bits & low) * (total >> half) + (middle & low)
    return (bits >> half) * (total >> half) + (middle >> half) + (other >> half)
