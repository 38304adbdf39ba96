"""How kernels and biases are drawn: functions that have a name, so that a config can say which."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxgen.types import Array, Key

__all__ = [
    "Initializer",
    "normal_around_one",
    "normal_var_002",
    "glorot",
    "he_normal",
    "normal",
    "orthogonal",
    "torch_uniform",
    "torch_uniform_bias",
    "torch_uniform_transposed",
]

Initializer = Callable[..., Array]


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


def torch_uniform(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a kernel uniformly over +- 1 / sqrt(fan-in), as PyTorch does by default.

    Args:
        key: the draw's key.
        shape: of the kernel, the outputs last; all other axes count as its fan-in.
        dtype: of the kernel.

    Returns:
        The kernel.
    """
    return torch_uniform_bias(math.prod(shape[:-1]))(key, shape, dtype)


def torch_uniform_bias(fan_in: int) -> Initializer:
    """Return what draws biases uniformly over +- 1 / sqrt(fan-in) of their layer, as PyTorch does by default."""
    bound = fan_in**-0.5
    return functools.partial(jax.random.uniform, minval=-bound, maxval=bound)


def torch_uniform_transposed(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a transposed convolution's kernel uniformly over +- 1 / sqrt(pixels x outputs), as PyTorch does by default.

    Args:
        key: the draw's key.
        shape: rows, columns, inputs and outputs.
        dtype: of the kernel.

    Returns:
        The kernel.
    """
    return torch_uniform_bias(math.prod(shape[:-2]) * shape[-1])(key, shape, dtype)


def he_normal(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a kernel from a normal law of variance 2 / fan-in.

    Args:
        key: the draw's key.
        shape: of the kernel, the outputs last; all other axes count as its fan-in.
        dtype: of the kernel.

    Returns:
        The kernel.

    References:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), equation 10.
    """
    return jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")(key, shape, dtype)


def normal(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a kernel from a normal law of mean 0 and deviation 0.02, as adversarial networks on images do.

    Args:
        key: the draw's key.
        shape: of the kernel.
        dtype: of the kernel.

    Returns:
        The kernel.

    References:
        Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional generative adversarial
        networks (2015), section 4.
    """
    return 0.02 * jax.random.normal(key, shape, dtype)


def normal_var_002(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw from a normal law of mean 0 and variance 0.02.

    Args:
        key: the draw's key.
        shape: of the kernel or the biases.
        dtype: of what is drawn.

    Returns:
        The draw.

    References:
        Nalisnick et al., Do deep generative models know what they don't know? (2019), appendix A.
    """
    return 0.02**0.5 * jax.random.normal(key, shape, dtype)


def glorot(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw a kernel uniformly with the variance 2 / (fan-in + fan-out), as Keras does by default.

    Args:
        key: the draw's key.
        shape: of the kernel, the outputs last.
        dtype: of the kernel.

    Returns:
        The kernel.
    """
    return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


def normal_around_one(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Draw the scales of a normalisation: as `normal`, about 1."""
    return 1 + normal(key, shape, dtype)
