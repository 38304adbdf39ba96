"""Dense networks."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxgen.nets.initializers import Initializer, orthogonal, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["MLP"]


class MLP(nn.Module):
    """Dense layers with an activation between them, and none after the last.

    Hidden kernels are orthogonal with gain sqrt(2) unless told otherwise; the last kernel and all biases are
    torch_uniform
    over +- 1 / sqrt(fan-in): the initialisation of the extreme value paper's code.

    Attributes:
        widths: width of each layer, the last of which is the output.
        activation: applied after every layer but the last.
        last: draws the last kernel.
        hidden: draws the others; with `uniform` all is as PyTorch draws it.
        dropout: share of each hidden layer's outputs that are dropped, anew for every row, where `apply` is given the
            noise for it, `rngs={"dropout": key}`, as in training; elsewhere none are.
    """

    widths: Sequence[int]
    activation: Callable[[Array], Array] = jax.nn.relu
    last: Initializer = torch_uniform
    hidden: Initializer = orthogonal
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "... k"]) -> Float[Array, "... d"]:
        """Map rows `[..., k]` to rows `[..., widths[-1]]`."""
        for width in self.widths[:-1]:
            x = self.activation(nn.Dense(width, kernel_init=self.hidden, bias_init=torch_uniform_bias(x.shape[-1]))(x))
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(x)
        return nn.Dense(self.widths[-1], kernel_init=self.last, bias_init=torch_uniform_bias(x.shape[-1]))(x)
