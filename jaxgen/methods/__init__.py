"""Training methods: each a frozen dataclass that is its own config."""

from jaxgen.methods.archetypes import Archetypes
from jaxgen.methods.classifier import Classifier
from jaxgen.methods.deep_archetypes import DeepArchetypes
from jaxgen.methods.edge import latent_outliers
from jaxgen.methods.evl import EVL
from jaxgen.methods.flow import Flow
from jaxgen.methods.gan import RelativisticGAN, every_layer, last_layer
from jaxgen.methods.latent_chain import LatentChain
from jaxgen.methods.meg import MEG, shuffled_columns, shuffled_rows
from jaxgen.methods.mixture_density import MixtureDensity
from jaxgen.methods.mmd_map import MMDMap, everything, kernels, pooled_median
from jaxgen.methods.negative_sampling_vae import NegativeSamplingVAE
from jaxgen.methods.negatives import Auxiliary, Generated, Noisy, Uniform
from jaxgen.methods.noise import Bernoulli, DequantisedGaussian, DiscretisedGaussian, Gaussian
from jaxgen.methods.outliers import OutlierDiscriminator
from jaxgen.methods.schemes import Own, Pool
from jaxgen.methods.wgan import WGANGP, on_lines, within_boxes

__all__ = [
    "Archetypes",
    "Auxiliary",
    "Bernoulli",
    "Classifier",
    "DeepArchetypes",
    "DequantisedGaussian",
    "DiscretisedGaussian",
    "EVL",
    "Flow",
    "Gaussian",
    "Generated",
    "LatentChain",
    "MEG",
    "MMDMap",
    "MixtureDensity",
    "NegativeSamplingVAE",
    "Noisy",
    "OutlierDiscriminator",
    "Own",
    "Pool",
    "RelativisticGAN",
    "Uniform",
    "WGANGP",
    "every_layer",
    "everything",
    "kernels",
    "last_layer",
    "latent_outliers",
    "on_lines",
    "pooled_median",
    "shuffled_columns",
    "shuffled_rows",
    "within_boxes",
]
