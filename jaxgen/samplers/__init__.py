"""Samplers: Markov chains, importance weights and Gaussian shells, on arrays and log-densities alone."""

from jaxgen.samplers.adaptation import DualAveragingState, StepSizeAdaptation
from jaxgen.samplers.chains import Chains
from jaxgen.samplers.gaussian_shell import (
    Whitening,
    bungert_radii,
    chi_radii,
    chi_radius,
    extreme_radii,
    shell,
    whitening,
)
from jaxgen.samplers.importance import effective_sample_size, reject, resample
from jaxgen.samplers.latent import latent_log_density, tilted_log_density
from jaxgen.samplers.mala import MALA, MALAInfo, MALAState
from jaxgen.samplers.zador import nearest_log_density, pushforward_log_density, zador_exponent, zador_log_weights

__all__ = [
    "MALA",
    "StepSizeAdaptation",
    "Chains",
    "MALAInfo",
    "MALAState",
    "DualAveragingState",
    "Whitening",
    "bungert_radii",
    "chi_radii",
    "chi_radius",
    "effective_sample_size",
    "extreme_radii",
    "latent_log_density",
    "nearest_log_density",
    "pushforward_log_density",
    "reject",
    "resample",
    "shell",
    "tilted_log_density",
    "whitening",
    "zador_exponent",
    "zador_log_weights",
]
