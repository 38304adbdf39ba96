"""Threshold of a detector: the score above which conformal p-values are at most alpha."""

import warnings

import numpy as np

from jaxgen.detector.scoring import LARGEST

__all__ = ["threshold_score"]


def threshold_score(scores: np.ndarray, novel: np.ndarray, alpha: float) -> float:
    """Return the score above which a row is an outlier.

    Args:
        scores: of the calibration set, `[n]`.
        novel: whether each of its rows differs in a column that is constant in the training rows, `[n]`.
        alpha: bound on the false positive rate.

    Returns:
        The threshold; inf if the calibration set is too small for this `alpha`.

    Raises:
        ValueError: if too many scores are not finite, so that no row can be an outlier.

    Warns:
        UserWarning: if no row can be an outlier at this `alpha` for another reason.
    """
    threshold = _threshold(scores, alpha)
    bad = int(np.sum(scores[~novel] == LARGEST))
    if threshold == LARGEST and not bad:
        warnings.warn(
            f"{int(novel.sum())} of {len(scores)} calibration rows differ in a column that is constant in the "
            f"training rows, so no row is an outlier at alpha={alpha}; give more rows, or drop the column.",
            stacklevel=3,
        )
    elif threshold == LARGEST:
        raise ValueError(
            f"scores of the calibration set must be finite (got {bad} of {len(scores)} that are not), or no "
            "row can be an outlier; use another scaler, score or method."
        )
    if np.isinf(threshold):
        warnings.warn(
            f"a calibration set of {len(scores)} rows has no p-value below 1 / {len(scores) + 1}, so no "
            f"row is an outlier at alpha={alpha}; give more rows, or increase `calibration_fraction`.",
            stacklevel=3,
        )
    return threshold


def _threshold(calibration: np.ndarray, alpha: float) -> float:
    """Return the score above which p-values are at most `alpha`, or inf if there is none."""
    p_values = np.arange(1, len(calibration) + 1) / (len(calibration) + 1)  # with the rounding of conformal_p_values
    rank = int(np.searchsorted(p_values, alpha, side="right"))
    return float(np.sort(calibration)[-rank]) if rank else np.inf
