"""Networks, in Flax Linen."""

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.adversaries import Adversaries, dense_adversaries, digit_adversaries, photo_adversaries
from jaxgen.nets.autoencoder import Affine, Autoencoder, ConvDecoder, ConvEncoder, DoublingDecoder, autoencoder
from jaxgen.nets.conv import ConvNet
from jaxgen.nets.convolution import convolve
from jaxgen.nets.coupling import AdditiveCoupling, AffineCoupling
from jaxgen.nets.doubling import ConvGenerator, convolve_doubled
from jaxgen.nets.flows import dense_flow, image_flow
from jaxgen.nets.initialisers import about_one, broad, glorot, he, normal, orthogonal, uniform, uniform_transposed
from jaxgen.nets.invertible import ActNorm, Composition, Flatten, Invertible, Permutation, SpaceToDepth, Split
from jaxgen.nets.mlp import MLP
from jaxgen.nets.outputs import output_shape
from jaxgen.nets.subnets import ConvSubnet, DenseSubnet
from jaxgen.nets.transposed import BatchNorm, TransposedConv, TransposedGenerator
from jaxgen.nets.trunk import ConvTrunk, PairNet
from jaxgen.nets.weighted import WeightedGenerator

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "Adversaries",
    "Affine",
    "AffineCoupling",
    "Autoencoder",
    "BatchNorm",
    "Composition",
    "ConvDecoder",
    "ConvEncoder",
    "ConvGenerator",
    "ConvNet",
    "ConvSubnet",
    "ConvTrunk",
    "DenseSubnet",
    "DoublingDecoder",
    "Flatten",
    "Invertible",
    "LeakyReLU",
    "MLP",
    "PairNet",
    "Permutation",
    "SpaceToDepth",
    "Split",
    "TransposedConv",
    "TransposedGenerator",
    "WeightedGenerator",
    "about_one",
    "autoencoder",
    "broad",
    "convolve",
    "convolve_doubled",
    "dense_adversaries",
    "dense_flow",
    "digit_adversaries",
    "glorot",
    "he",
    "image_flow",
    "normal",
    "orthogonal",
    "output_shape",
    "photo_adversaries",
    "uniform",
    "uniform_transposed",
]
