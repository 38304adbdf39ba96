"""Multilayer perceptron."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax

from jaxgen.nets.compute_dtype import output_dtype
from jaxgen.nets.initializers import Initializer, orthogonal, torch_uniform, torch_uniform_bias
from jaxgen.types import Array, Float

__all__ = ["MLP"]


class MLP(nn.Module):
    """Multilayer perceptron: dense layers with an activation after every layer but the last.

    By default, hidden kernels are orthogonal with gain sqrt(2). The last kernel and all biases are uniform over
    +- 1 / sqrt(fan-in). This is the initialization of the extreme value paper's code.

    Attributes:
        widths: width of each layer; the last one is the output width.
        activation: applied after every layer but the last.
        last_kernel_init: initializer of the last kernel.
        hidden_kernel_init: initializer of the other kernels; `torch_uniform` gives PyTorch's default initialization.
        dropout: dropout rate of the hidden layers' outputs. Dropout is active only if `apply` gets a key for it,
            `rngs={"dropout": key}`, as in training.
    """

    widths: Sequence[int]
    activation: Callable[[Array], Array] = jax.nn.relu
    last_kernel_init: Initializer = torch_uniform
    hidden_kernel_init: Initializer = orthogonal
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "... k"]) -> Float[Array, "... d"]:
        """Map vectors `[..., k]` to vectors `[..., widths[-1]]`."""
        for width in self.widths[:-1]:
            x = self.activation(
                nn.Dense(width, kernel_init=self.hidden_kernel_init, bias_init=torch_uniform_bias(x.shape[-1]))(x)
            )
            if self.dropout:
                x = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(x)
        return nn.Dense(
            self.widths[-1],
            dtype=output_dtype(),
            kernel_init=self.last_kernel_init,
            bias_init=torch_uniform_bias(x.shape[-1]),
        )(x)
