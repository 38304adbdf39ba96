"""Parts of methods that `resolve` fills in, and networks with variables of their own."""

from typing import TypeVar

import flax.linen as nn
import jax

from jaxgen.types import Array, Params, PyTree

__all__ = ["applied", "filled"]

Part = TypeVar("Part")


def filled(method: object, part: Part | None) -> Part:
    """Return a part of a method.

    Raises:
        ValueError: if it was left open, and has not been filled in.
    """
    if part is None:
        raise ValueError(f"{type(method).__name__} lacks a part; call sized(*rows), as train does, or give every part.")
    return part


def applied(network: nn.Module, params: Params, model_state: PyTree, x: Array, *, train: bool) -> tuple[Array, PyTree]:
    """Return what a network makes, and its variables.

    Args:
        network: a Linen module.
        params: its parameters.
        model_state: its other collections, such as running statistics; {} where there are none.
        x: its input.
        train: whether it may write to its variables, which then are those of the batch, as in training.

    Returns:
        What it makes; and its variables, new ones in training, through which no gradient flows.
    """
    given = {"params": params, **model_state}
    if not (train and model_state):
        return network.apply(given, x), model_state
    # What is written down for later passes is no part of what this one is worth.
    made, model_state = network.apply(given, x, mutable=list(model_state))
    return made, jax.lax.stop_gradient(model_state)
