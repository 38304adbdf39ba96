"""Neural networks (Flax Linen modules), their initializers, and bijections for normalizing flows."""

from jaxgen.nets.activations import LeakyReLU
from jaxgen.nets.bijections import (
    ActNorm,
    Bijection,
    Border,
    ComposedBijection,
    Flatten,
    Permutation,
    SpaceToDepth,
    Split,
)
from jaxgen.nets.cnn import ConvNet
from jaxgen.nets.conditioners import ConvConditioner, DenseConditioner
from jaxgen.nets.coupling import AdditiveCoupling, AffineCoupling, CouplingStack
from jaxgen.nets.cpu_conv.convolution import convolve
from jaxgen.nets.dcgan import BatchNorm, TransposedConv, TransposedGenerator
from jaxgen.nets.discriminators import ConvTrunk, PairNet
from jaxgen.nets.flows import dense_flow, image_flow, spline_flow
from jaxgen.nets.initializers import (
    glorot,
    he_normal,
    normal,
    normal_around_one,
    normal_var_002,
    orthogonal,
    torch_uniform,
    torch_uniform_transposed,
)
from jaxgen.nets.meg_networks import (
    MEGNetworks,
    dense_meg_networks,
    digit_meg_networks,
    image_meg_networks,
    photo_meg_networks,
)
from jaxgen.nets.mlp import MLP
from jaxgen.nets.shapes import output_shape
from jaxgen.nets.spline import SplineCoupling
from jaxgen.nets.upsampling_generator import ConvGenerator, convolve_upsampled
from jaxgen.nets.vae_networks import (
    Affine,
    Autoencoder,
    ConvDecoder,
    ConvEncoder,
    UpsamplingDecoder,
    autoencoder,
    dense_autoencoder,
)
from jaxgen.nets.weighted_generator import WeightedGenerator

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "MEGNetworks",
    "Affine",
    "AffineCoupling",
    "CouplingStack",
    "Autoencoder",
    "BatchNorm",
    "Border",
    "ComposedBijection",
    "ConvDecoder",
    "ConvEncoder",
    "ConvGenerator",
    "ConvNet",
    "ConvConditioner",
    "ConvTrunk",
    "DenseConditioner",
    "UpsamplingDecoder",
    "Flatten",
    "Bijection",
    "LeakyReLU",
    "MLP",
    "PairNet",
    "Permutation",
    "SpaceToDepth",
    "SplineCoupling",
    "Split",
    "TransposedConv",
    "TransposedGenerator",
    "WeightedGenerator",
    "normal_around_one",
    "autoencoder",
    "normal_var_002",
    "convolve",
    "convolve_upsampled",
    "dense_autoencoder",
    "dense_meg_networks",
    "dense_flow",
    "digit_meg_networks",
    "glorot",
    "he_normal",
    "image_flow",
    "image_meg_networks",
    "normal",
    "orthogonal",
    "output_shape",
    "photo_meg_networks",
    "spline_flow",
    "torch_uniform",
    "torch_uniform_transposed",
]
