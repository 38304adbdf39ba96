"""Samplers: weights, acceptance, and chains, on arrays and densities alone."""

from jaxgen.samplers.rejection import effective_sample_size, reject, resample

__all__ = ["effective_sample_size", "reject", "resample"]
