"""Fields that `resolve` fills in, and application of networks with running statistics."""

from typing import TypeVar

import flax.linen as nn
import jax

from jaxgen.types import Array, Params, PyTree

__all__ = ["apply_network", "required"]

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
