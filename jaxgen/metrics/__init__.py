"""Measures of how well a model did, in NumPy's double precision on the host."""

from jaxgen.metrics.histogram import Grid, Histogram, fisher_distance, kl_divergence, mass_off_support

__all__ = ["Grid", "Histogram", "fisher_distance", "kl_divergence", "mass_off_support"]
