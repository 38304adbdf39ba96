"""Networks, in Flax Linen."""

from jaxgen.nets.mlp import MLP

__all__ = ["MLP"]
