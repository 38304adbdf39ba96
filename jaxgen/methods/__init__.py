"""Training methods: frozen dataclasses of networks and hyperparameters."""

from jaxgen.methods.archetypes import Archetypes
from jaxgen.methods.candidate_sampling import PerTarget, SharedPool
from jaxgen.methods.classifier import Classifier
from jaxgen.methods.deep_archetypes import DeepArchetypes
from jaxgen.methods.evl import EVL
from jaxgen.methods.flow import Flow
from jaxgen.methods.latent_mcmc import LatentMCMC
from jaxgen.methods.latent_outliers import latent_outliers
from jaxgen.methods.meg import MEG, shuffled_columns, shuffled_rows
from jaxgen.methods.mixture_density import MixtureDensity
from jaxgen.methods.mmd_map import MMDMap, all_params, pooled_median, weight_matrices
from jaxgen.methods.negative_samples import Auxiliary, ModelSamples, NoisyData, Uniform
from jaxgen.methods.negative_sampling_vae import NegativeSamplingVAE
from jaxgen.methods.observation_models import (
    Bernoulli,
    DequantizedGaussian,
    DiscretizedGaussian,
    Gaussian,
    UnboundedGaussian,
)
from jaxgen.methods.outlier_discriminator import OutlierDiscriminator
from jaxgen.methods.relativistic_gan import RelativisticGAN, all_layers, last_layer
from jaxgen.methods.wgan import WGANGP, interpolate_pixels, interpolate_rows

__all__ = [
    "Archetypes",
    "Auxiliary",
    "Bernoulli",
    "Classifier",
    "DeepArchetypes",
    "DequantizedGaussian",
    "DiscretizedGaussian",
    "EVL",
    "Flow",
    "Gaussian",
    "ModelSamples",
    "LatentMCMC",
    "MEG",
    "MMDMap",
    "MixtureDensity",
    "NegativeSamplingVAE",
    "NoisyData",
    "OutlierDiscriminator",
    "PerTarget",
    "SharedPool",
    "RelativisticGAN",
    "UnboundedGaussian",
    "Uniform",
    "WGANGP",
    "all_layers",
    "all_params",
    "weight_matrices",
    "last_layer",
    "latent_outliers",
    "interpolate_rows",
    "pooled_median",
    "shuffled_columns",
    "shuffled_rows",
    "interpolate_pixels",
]
