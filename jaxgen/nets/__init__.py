"""Networks, in Flax Linen."""

from jaxgen.nets.conv import ConvGenerator, ConvNet, convolve
from jaxgen.nets.initialisers import orthogonal, uniform
from jaxgen.nets.mlp import MLP
from jaxgen.nets.outputs import output_shape

__all__ = ["ConvGenerator", "ConvNet", "MLP", "convolve", "orthogonal", "output_shape", "uniform"]
