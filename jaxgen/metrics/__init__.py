"""Measures of how well a model did, in NumPy's double precision on the host."""

from jaxgen.metrics.chains import acceptance, bulk_ess, split_rhat, tail_ess, to_arviz
from jaxgen.metrics.coverage import Coverage, mode_coverage
from jaxgen.metrics.frechet import Score, frechet_distance, inception_score
from jaxgen.metrics.histogram import Grid, Histogram, fisher_distance, kl_divergence, mass_off_support

__all__ = [
    "Coverage",
    "Grid",
    "Histogram",
    "Score",
    "acceptance",
    "bulk_ess",
    "fisher_distance",
    "frechet_distance",
    "inception_score",
    "kl_divergence",
    "mass_off_support",
    "mode_coverage",
    "split_rhat",
    "tail_ess",
    "to_arviz",
]
