"""Activation functions with parameters, as frozen dataclasses that a config can store and compare."""

import dataclasses

import jax

from jaxgen.types import Array, Float

__all__ = ["LeakyReLU"]


@dataclasses.dataclass(frozen=True)
class LeakyReLU:
    """Leaky ReLU: `x` where x >= 0, `slope * x` elsewhere.

    Attributes:
        slope: slope for negative inputs.
    """

    slope: float = 0.2

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply the activation to every entry."""
        return jax.nn.leaky_relu(x, self.slope)
