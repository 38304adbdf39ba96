"""Loss functions: pure functions of arrays, without random keys, parameters or `jit`."""

from jaxgen.losses.candidate_pool import extreme_value_pool
from jaxgen.losses.change_of_variables import flow_nll
from jaxgen.losses.discrepancy import median_bandwidth, mmd2, mmd2_biased, mmd2_linear
from jaxgen.losses.divergence import gaussian_kl, negative_prior_kl
from jaxgen.losses.extreme_value import ExtremeValue, Generate, extreme_value, nearest
from jaxgen.losses.likelihood import (
    bernoulli_log_likelihood,
    bits_per_dimension,
    discretized_gaussian_log_likelihood,
    gaussian_log_likelihood,
)
from jaxgen.losses.mixture import GaussianMixture, mixture_log_density
from jaxgen.losses.mutual_information import jsd_mutual_information
from jaxgen.losses.penalty import Field, gradient_penalty, pixel_gradient_penalty, pixel_score_penalty, score_penalty
from jaxgen.losses.relativistic import relativistic_average

__all__ = [
    "ExtremeValue",
    "Field",
    "GaussianMixture",
    "Generate",
    "bernoulli_log_likelihood",
    "bits_per_dimension",
    "discretized_gaussian_log_likelihood",
    "extreme_value",
    "extreme_value_pool",
    "flow_nll",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "gradient_penalty",
    "jsd_mutual_information",
    "median_bandwidth",
    "mixture_log_density",
    "mmd2",
    "mmd2_biased",
    "mmd2_linear",
    "nearest",
    "negative_prior_kl",
    "pixel_gradient_penalty",
    "pixel_score_penalty",
    "relativistic_average",
    "score_penalty",
]
