"""Activations with a number of their own, which a config can write down and compare."""

import dataclasses

import jax

from jaxgen.types import Array, Float

__all__ = ["LeakyReLU"]


@dataclasses.dataclass(frozen=True)
class LeakyReLU:
    """The identity above zero, and a line of a smaller slope below.

    Attributes:
        slope: below zero.
    """

    slope: float = 0.2

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply it to every entry."""
        return jax.nn.leaky_relu(x, self.slope)
