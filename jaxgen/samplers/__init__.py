"""Samplers: weights and acceptance, on arrays and densities alone."""

from jaxgen.samplers.density_law import (
    nearest_log_density,
    pushforward_log_density,
    zador_exponent,
    zador_log_weights,
)
from jaxgen.samplers.rejection import effective_sample_size, reject, resample

__all__ = [
    "effective_sample_size",
    "nearest_log_density",
    "pushforward_log_density",
    "reject",
    "resample",
    "zador_exponent",
    "zador_log_weights",
]
