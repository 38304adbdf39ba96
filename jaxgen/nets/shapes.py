"""Output shapes of networks by abstract evaluation, without computing anything."""

from collections.abc import Collection

import flax.linen as nn
import jax

from jaxgen.types import PyTree

__all__ = ["check_scalar_output", "output_shape", "outputs"]


def output_shape(
    network: nn.Module, *inputs: jax.ShapeDtypeStruct, collections: Collection[str] = ("params",)
) -> tuple[int, ...]:
    """Return the shape of a network's single output array; arguments and errors as in `outputs`."""
    return outputs(network, *inputs, collections=collections).shape


def outputs(network: nn.Module, *inputs: jax.ShapeDtypeStruct, collections: Collection[str] = ("params",)) -> PyTree:
    """Return shapes and dtypes of a network's output.

    Args:
        network: a Flax Linen module.
        *inputs: shapes and dtypes of its inputs.
        collections: names of the variable collections that the network may have.

    Returns:
        The output, with `jax.ShapeDtypeStruct` in place of arrays.

    Raises:
        ValueError: if the network has other collections, such as running statistics.
    """
    output, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)
    if others := sorted(set(variables) - set(collections)):
        names = sorted(collections)
        allowed = "parameters only" if names == ["params"] else f"the variable collections {names} only"
        raise ValueError(f"{type(network).__name__} must have {allowed}, but it has {others}; leave BatchNorm out.")
    return output


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
