"""Evaluation metrics, computed in NumPy's double precision on the host.

The exceptions are `mmd2_variance` and `permutation_test`, which compare all pairs of two samples: they run in JAX, in
single precision on the device.
"""

from jaxgen.metrics.calibration import expected_calibration_error
from jaxgen.metrics.chains import acceptance_rate, bulk_ess, split_rhat, tail_ess, to_arviz
from jaxgen.metrics.conformal import benjamini_hochberg, conformal_p_values
from jaxgen.metrics.coverage import Coverage, mode_coverage
from jaxgen.metrics.detection import Detection, Interval, auroc, bootstrap, detection
from jaxgen.metrics.frechet import MeanStd, frechet_distance, inception_score
from jaxgen.metrics.histogram import Grid, Histogram, fisher_distance, kl_divergence, mass_off_support
from jaxgen.metrics.ood_scores import png_bits_per_dim, typicality, waic
from jaxgen.metrics.two_sample import PermutationTestResult, mmd2_variance, permutation_test
from jaxgen.metrics.wasserstein import sliced_wasserstein

__all__ = [
    "Coverage",
    "Detection",
    "Grid",
    "Histogram",
    "Interval",
    "MeanStd",
    "PermutationTestResult",
    "acceptance_rate",
    "auroc",
    "bootstrap",
    "bulk_ess",
    "expected_calibration_error",
    "png_bits_per_dim",
    "conformal_p_values",
    "detection",
    "benjamini_hochberg",
    "fisher_distance",
    "frechet_distance",
    "inception_score",
    "kl_divergence",
    "mass_off_support",
    "mmd2_variance",
    "mode_coverage",
    "permutation_test",
    "sliced_wasserstein",
    "split_rhat",
    "tail_ess",
    "to_arviz",
    "typicality",
    "waic",
]
