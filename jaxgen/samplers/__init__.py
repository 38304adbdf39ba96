"""Samplers: chains, weights and acceptance, on arrays and densities alone."""

from jaxgen.samplers.adaptation import Adapted, Warming
from jaxgen.samplers.density_law import (
    nearest_log_density,
    pushforward_log_density,
    zador_exponent,
    zador_log_weights,
)
from jaxgen.samplers.ensemble import Chains
from jaxgen.samplers.latent import latent_log_density, tilted_log_density
from jaxgen.samplers.mala import MALA, Move, Place
from jaxgen.samplers.rejection import effective_sample_size, reject, resample
from jaxgen.samplers.shell import Whitening, bungert_radii, chi_radii, chi_radius, extreme_radii, shell, whitening

__all__ = [
    "MALA",
    "Adapted",
    "Chains",
    "Move",
    "Place",
    "Warming",
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
