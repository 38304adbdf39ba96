"""Fields that `resolve` fills in, and application of networks with running statistics."""

from typing import TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Key, Params, PyTree

__all__ = ["apply_network", "at_least_single", "normal", "required"]

Part = TypeVar("Part")


def required(method: object, part: Part | None) -> Part:
    """Return a field of a method, such as a network, that `resolve` has filled in.

    Raises:
        ValueError: if it is None.
    """
    if part is None:
        raise ValueError(
            f"{type(method).__name__} has a field that is still None; call resolve(*row_specs) first, as train does, "
            "or set every network and width."
        )
    return part


def at_least_single(rows: PyTree) -> PyTree:
    """Return rows in single precision or better, in which methods compute; labels stay as they are."""
    return jax.tree.map(lambda leaf: promoted(leaf)[0] if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, rows)


def normal(key: Key[Array, ""], *shape: int) -> Array:
    """Return standard normal noise in single precision, as Flax's parameters are, whether x64 is enabled or not."""
    return jax.random.normal(key, shape, jnp.float32)


def apply_network(
    network: nn.Module, params: Params, model_state: PyTree, x: Array, *, train: bool
) -> tuple[Array, PyTree]:
    """Return a network's output and its updated model state.

    Args:
        network: a Linen module.
        params: its parameters.
        model_state: its other variable collections, such as running statistics; {} where there are none.
        x: its input.
        train: whether the collections are mutable, so that batch normalization uses the statistics of the batch.

    Returns:
        The output, and the model state: updated in training, without gradients.
    """
    variables = {"params": params, **model_state}
    if not (train and model_state):
        return network.apply(variables, x), model_state
    # The running statistics serve later passes only, so this pass's loss must not be differentiated through them.
    output, model_state = network.apply(variables, x, mutable=list(model_state))
    return output, jax.lax.stop_gradient(model_state)
