"""Location and scale of the columns of a minibatch, for models that do not depend on the units of the data."""

import jax.numpy as jnp

from jaxgen.types import Array, Float

__all__ = ["location_and_scale"]


def location_and_scale(rows: Float[Array, "b d"]) -> tuple[Float[Array, " d"], Float[Array, " d"]]:
    """Mean and standard deviation of each column, without underflow for columns of tiny scale.

    Args:
        rows: a minibatch `[b, d]`, with at least one row.

    Returns:
        Means and standard deviations, `[d]` each. The standard deviation of a constant column is replaced by 1.
    """
    # Differences from a row are exact for a constant column, where the mean of the column is rounded.
    differences = rows - rows[:1]
    shift = jnp.mean(differences, 0)
    centered = differences - shift[None]
    largest = jnp.max(jnp.abs(centered), 0)  # squares of small numbers would be 0
    largest = jnp.where(largest > 0, largest, 1.0)
    std = largest * jnp.sqrt(jnp.mean((centered / largest[None]) ** 2, 0))
    return rows[0] + shift, jnp.where(std > 0, std, 1.0)
