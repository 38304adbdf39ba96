"""Compute dtype of networks: layers compute in half precision, with parameters in single precision."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from jaxgen.types import Array, PyTree

__all__ = ["computing_in", "output_dtype"]

_compute_dtype: contextvars.ContextVar[Any] = contextvars.ContextVar("compute_dtype", default=None)
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside", default=False)  # of a network


@contextlib.contextmanager
def computing_in(dtype: Any) -> Iterator[None]:
    """Let networks that are traced in this context, or in the decorated function, compute in a dtype.

    Every Flax layer whose `dtype` is None gets this dtype: it casts its parameters and its input, and returns it. The
    output of the whole network is cast to single precision. What has no `dtype`, such as the transformations of a flow,
    computes in the dtype of its parameters, which stay as they are.

    Args:
        dtype: such as `jnp.bfloat16`; None changes nothing.
    """
    if dtype is None:
        yield
        return
    token = _compute_dtype.set(dtype)
    try:
        with nn.intercept_methods(_call):
            yield
    finally:
        _compute_dtype.reset(token)


def output_dtype() -> Any:
    """Return the `dtype` of a network's last layer: float32 inside `computing_in`, else None.

    Samples, energies and logits would otherwise be rounded to three digits.
    """
    return None if _compute_dtype.get() is None else jnp.float32


def promoted_layer(x: Array, kernel: Array, bias: Array | None, *, dtype: Any) -> tuple[Array, Array, Array | None]:
    """Return arguments of a layer in a dtype, and its bias as it is.

    The gradient of a bias is a sum over all rows and pixels, which XLA computes in the dtype of the addition: in
    bfloat16 a sum of ones would end at 256.

    Args:
        x: input.
        kernel: its kernel.
        bias: its bias, or None.
        dtype: of the product of input and kernel.
    """
    return x.astype(dtype), kernel.astype(dtype), bias


def _call(
    method: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], context: nn.module.InterceptorContext
) -> Any:
    """Call a method of a module in the compute dtype."""
    module, dtype, is_network = context.module, _compute_dtype.get(), not _inside.get()
    fields = type(module).__dataclass_fields__
    changes: dict[str, Any] = {}
    if "dtype" in fields and module.dtype is None:
        changes = {"dtype": dtype}
        if "bias_init" in fields and getattr(module, "promote_dtype", None) is promote_dtype:
            changes["promote_dtype"] = promoted_layer
    kept = {name: getattr(module, name) for name in changes}
    token = _inside.set(True)
    try:
        _set(module, changes)
        result = method(*args, **kwargs)
    finally:
        _inside.reset(token)
        _set(module, kept)
    if "promote_dtype" in changes:
        result = result.astype(dtype)
    return jax.tree.map(lambda leaf: _widened(leaf, dtype), result) if is_network else result


def _set(module: nn.Module, fields: Mapping[str, Any]) -> None:
    for name, value in fields.items():
        object.__setattr__(module, name, value)  # a bound module refuses an assignment


def _widened(leaf: PyTree, dtype: Any) -> PyTree:
    return leaf.astype(jnp.float32) if getattr(leaf, "dtype", None) == dtype else leaf
