"""Networks, in Flax Linen."""

from jaxgen.nets.conv import convolve
from jaxgen.nets.initialisers import orthogonal, uniform
from jaxgen.nets.mlp import MLP

__all__ = ["MLP", "convolve", "orthogonal", "uniform"]
