"""Losses: arrays in, numbers out. No key, no parameters, no network, no `jit`."""

from jaxgen.losses.extreme_value import ExtremeValue, Generate, extreme_value, extreme_value_pool, nearest
from jaxgen.losses.mixture import GaussianMixture, mixture_log_density
from jaxgen.losses.relativistic import relativistic_average

__all__ = [
    "ExtremeValue",
    "GaussianMixture",
    "Generate",
    "extreme_value",
    "extreme_value_pool",
    "mixture_log_density",
    "nearest",
    "relativistic_average",
]
