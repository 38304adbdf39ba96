"""What a network makes, found without making it."""

from collections.abc import Collection

import flax.linen as nn
import jax

from jaxgen.types import PyTree

__all__ = ["check_scalar_output", "output_shape", "outputs"]


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


def check_scalar_output(name: str, network: nn.Module, *inputs: jax.ShapeDtypeStruct, output: str) -> None:
    """Check that a network returns one number per sample.

    Args:
        name: of the network, for the error message.
        network: a Linen module.
        *inputs: shape and dtype of two samples, `[2, ...]`.
        output: what the number is, for the error message.

    Raises:
        ValueError: if it returns another shape, or has variables other than parameters.
    """
    shape = output_shape(network, *inputs)
    if shape != (2, 1):
        raise ValueError(
            f"the {name} must return one number per sample, the {output} (got shape {shape[1:]}); give its last layer "
            "one output."
        )
