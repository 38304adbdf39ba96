"""What a network makes, found without making it."""

import flax.linen as nn
import jax

__all__ = ["output_shape"]


def output_shape(network: nn.Module, *inputs: jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """Return the shape of what a network makes.

    Args:
        network: a Linen module of parameters only.
        *inputs: what it is given.

    Returns:
        The shape of its output.

    Raises:
        ValueError: if it has more than parameters, such as running statistics.
    """
    made, collections = jax.eval_shape(network.init_with_output, jax.random.key(0), *inputs)
    if others := sorted(set(collections) - {"params"}):
        raise ValueError(
            f"{type(network).__name__} must have parameters only, and it has {others}; leave BatchNorm out."
        )
    return made.shape
