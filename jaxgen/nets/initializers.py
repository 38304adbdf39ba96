"""Parameter initializers as named functions, so that a config can store them by name."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

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
    """Orthogonal initializer with gain sqrt(2), which preserves the scale of activations through a ReLU.

    Args:
        key: random key.
        shape: kernel shape, outputs last; all other axes are flattened into one.
        dtype: dtype of the kernel.

    Returns:
        The kernel.
    """
    # JAX 0.12 has no QR decomposition in half precision.
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    return jax.nn.initializers.orthogonal(math.sqrt(2.0))(key, shape, wide).astype(dtype)


def torch_uniform(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """PyTorch's default kernel initializer: uniform over +- 1 / sqrt(fan-in).

    Args:
        key: random key.
        shape: kernel shape, outputs last; the product of all other axes is the fan-in.
        dtype: dtype of the kernel.

    Returns:
        The kernel.
    """
    return torch_uniform_bias(math.prod(shape[:-1]))(key, shape, dtype)


def torch_uniform_bias(fan_in: int) -> Initializer:
    """Return PyTorch's default bias initializer for a layer: uniform over +- 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return functools.partial(jax.random.uniform, minval=-bound, maxval=bound)


def torch_uniform_transposed(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """PyTorch's default for transposed convolutions: uniform over +- 1 / sqrt(kernel pixels x outputs).

    Args:
        key: random key.
        shape: kernel rows, kernel columns, inputs and outputs.
        dtype: dtype of the kernel.

    Returns:
        The kernel.
    """
    return torch_uniform_bias(math.prod(shape[:-2]) * shape[-1])(key, shape, dtype)


def he_normal(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """He initializer: normal distribution with mean 0 and variance 2 / fan-in.

    Args:
        key: random key.
        shape: kernel shape, outputs last; the product of all other axes is the fan-in.
        dtype: dtype of the kernel.

    Returns:
        The kernel.

    References:
        He, Zhang, Ren and Sun, Delving deep into rectifiers (2015), equation 10.
    """
    return jax.nn.initializers.variance_scaling(2.0, "fan_in", "normal")(key, shape, dtype)


def normal(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """DCGAN initializer: normal distribution with mean 0 and standard deviation 0.02.

    Args:
        key: random key.
        shape: kernel shape.
        dtype: dtype of the kernel.

    Returns:
        The kernel.

    References:
        Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional generative adversarial
        networks (2015), section 4.
    """
    return 0.02 * jax.random.normal(key, shape, dtype)


def normal_var_002(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Normal distribution with mean 0 and variance 0.02, for kernels and biases.

    Args:
        key: random key.
        shape: shape of the kernel or the biases.
        dtype: dtype of the parameters.

    Returns:
        The parameters.

    References:
        Nalisnick et al., Do deep generative models know what they don't know? (2019), appendix A.
    """
    return 0.02**0.5 * jax.random.normal(key, shape, dtype)


def glorot(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Glorot uniform initializer: mean 0 and variance 2 / (fan-in + fan-out), the default of Keras.

    Args:
        key: random key.
        shape: kernel shape, outputs last.
        dtype: dtype of the kernel.

    Returns:
        The kernel.
    """
    return jax.nn.initializers.glorot_uniform()(key, shape, dtype)


def normal_around_one(key: Key[Array, ""], shape: Sequence[int], dtype: Any = float) -> Array:
    """Initializer of normalization scales: normal distribution with mean 1 and standard deviation 0.02."""
    return 1 + normal(key, shape, dtype)
