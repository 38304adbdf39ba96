"""Networks, in Flax Linen."""

from jaxgen.nets.conv import ConvNet, convolve
from jaxgen.nets.doubling import ConvGenerator, convolve_doubled
from jaxgen.nets.initialisers import orthogonal, uniform
from jaxgen.nets.mlp import MLP
from jaxgen.nets.outputs import output_shape
from jaxgen.nets.weighted import WeightedGenerator

__all__ = [
    "ConvGenerator",
    "ConvNet",
    "MLP",
    "WeightedGenerator",
    "convolve",
    "convolve_doubled",
    "orthogonal",
    "output_shape",
    "uniform",
]
