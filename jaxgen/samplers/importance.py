"""From weighted guesses to draws: rejection, multinomial resampling, and what the weights cost."""

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Float, Int, Key

__all__ = ["effective_sample_size", "reject", "resample"]


def effective_sample_size(log_weights: Float[Array, "... n"]) -> Float[Array, "..."]:
    """Count the equally weighted draws that weighted ones are worth: `(sum w)^2 / sum w^2`.

    Args:
        log_weights: logarithms of the weights up to a common constant, `[..., n]`.

    Returns:
        Between 1 and n, `[...]`.

    References:
        Kong, Liu and Wong, Sequential imputations and Bayesian missing data problems (1994).
    """
    return jnp.exp(2 * jax.nn.logsumexp(log_weights, -1) - jax.nn.logsumexp(2 * log_weights, -1))


def reject(key: Key[Array, ""], log_weights: Float[Array, " n"]) -> Array:
    """Decide which guesses to keep so that those kept follow the weighted distribution.

    A guess is kept with probability `w / max w`, the maximum taken over the guesses at hand; on average
    `sum w / max w` of them are.

    Args:
        key: the draws' key.
        log_weights: logarithms of the weights up to a common constant, `[n]`.

    Returns:
        True where a guess is kept, `[n]`; the heaviest always is. Where a weight is infinite or not a number, or all
        are zero, none is: those are for the caller to exclude, as compiled code cannot raise.

    References:
        Guttenberg, Generating the support with extreme value losses (2019), section III.
    """
    uniform = jax.random.uniform(key, log_weights.shape)  # [0, 1): strictly below the heaviest guess's 1
    return uniform < jnp.exp(log_weights - jnp.max(log_weights))


def resample(key: Key[Array, ""], log_weights: Float[Array, " n"], count: int) -> Int[Array, " count"]:
    """Draw guesses with replacement, each with probability proportional to its weight.

    The probabilities are rounded to multiples of 2^-31: one of `p` is off by a share of up to `2^-31 / p`, so among ten
    million equal weights by 0.005 at the most, and one below 2^-32 is never drawn. Weights that are not finite, or all
    zero, are for the caller to exclude: compiled code cannot raise.

    Args:
        key: the draws' key.
        log_weights: logarithms of the weights up to a common constant, `[n]`.
        count: how many to draw.

    Returns:
        Indices into the guesses, `[count]`.
    """
    # By inversion of the cumulative weights, in O(count log n): `jax.random.categorical` would draw [count, n] numbers.
    # In whole numbers: a sum in single precision near 1 would swallow every sixth of ten million weights.
    shares = jnp.round(jax.nn.softmax(log_weights) * 2.0**31).astype(jnp.uint32)
    cumulative = jnp.cumsum(shares, dtype=jnp.uint32)
    drawn = _scaled(jax.random.bits(key, (count,), jnp.uint32), cumulative[-1])
    return jnp.searchsorted(cumulative, drawn, side="right").astype(jnp.int32)


def _scaled(bits: Array, total: Array) -> Array:
    """Return the upper half of the product of 32-bit numbers: uniform below `total` (`randint` is not, above 2^16)."""
    half, low = jnp.uint32(16), jnp.uint32(0xFFFF)
    middle = (bits >> half) * (total & low) + ((bits & low) * (total & low) >> half)
    other = (bits & low) * (total >> half) + (middle & low)
    return (bits >> half) * (total >> half) + (middle >> half) + (other >> half)
