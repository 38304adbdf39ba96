"""What a network makes, found without making it."""

from collections.abc import Collection

import flax.linen as nn
import jax

from jaxgen.types import PyTree

__all__ = ["output_shape", "outputs"]


def output_shape(
    network: nn.Module, *inputs: jax.ShapeDtypeStruct, collections: Collection[str] = ("params",)
) -> tuple[int, ...]:
    """Return the shape of what a network makes, where it makes one array; arguments as of `outputs`, which raises."""
    return outputs(network, *inputs, collections=collections).shape


def outputs(network: nn.Module, *inputs: jax.ShapeDtypeStruct, collections: Collection[str] = ("params",)) -> PyTree:
    """Return shape and dtype of all that a network makes.

    Args:
        network: a Linen module.
        *inputs: what it is given.
        collections: what it may have.

    Returns:
        Its output, arrays as `jax.ShapeDtypeStruct`.

    Raises:
        ValueError: if it has more than that, such as running statistics.
    """
    made, found = jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)
    if others := sorted(set(found) - set(collections)):
        allowed = "parameters only" if set(collections) == {"params"} else f"no more than {sorted(collections)}"
        raise ValueError(f"{type(network).__name__} must have {allowed}, and it has {others}; leave BatchNorm out.")
    return made
