"""Floating-point precision of arguments and results."""

from typing import Any

import jax.numpy as jnp

from jaxgen.types import Array

__all__ = ["promoted"]


def promoted(*arrays: Any) -> tuple[Array, ...]:
    """Convert arrays to their common floating-point dtype, which is single precision or better.

    Half precision is too coarse for sums and distances: 2,048 + 1 is 2,048 in float16. Integers and booleans become
    floating-point numbers. Python numbers do not widen arrays.

    Args:
        *arrays: arrays of JAX or NumPy, of any shapes, or numbers.

    Returns:
        The arrays, all of one dtype.

    Raises:
        TypeError: if an array is complex, or does not hold numbers.
    """
    converted = [jnp.asarray(array) for array in arrays]
    for array in converted:
        if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or jnp.iscomplexobj(array):
            raise TypeError(
                f"arrays must hold real numbers (got {array.dtype}); pass the real part, or convert it to float32."
            )
    dtype = jnp.result_type(*converted, jnp.float32)
    return tuple(array.astype(dtype) for array in converted)
