"""How kernels and biases are drawn: functions that have a name, so that a config can say which."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxgen.types import Array, Key

__all__ = ["Initialiser", "orthogonal", "uniform", "uniform_bias"]

Initialiser = Callable[..., Array]


def orthogonal(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw an orthogonal kernel with gain sqrt(2), which keeps the scale of what passes through a ReLU.

    Args:
        key: the draw's key.
        shape: of the kernel, the outputs last; all other axes count as one.
        dtype: of the kernel.

    Returns:
        The kernel.
    """
    return jax.nn.initializers.orthogonal(math.sqrt(2.0))(key, shape, dtype)


def uniform(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a kernel uniformly over +- 1 / sqrt(fan-in), as PyTorch does by default.

    Args:
        key: the draw's key.
        shape: of the kernel, the outputs last; all other axes count as its fan-in.
        dtype: of the kernel.

    Returns:
        The kernel.
    """
    return uniform_bias(math.prod(shape[:-1]))(key, shape, dtype)


def uniform_bias(fan_in: int) -> Initialiser:
    """Return what draws biases uniformly over +- 1 / sqrt(fan-in) of their layer, as PyTorch does by default."""
    bound = fan_in**-0.5

    def draw(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
