"""Novelty detector with the scikit-learn interface."""

from jaxgen.detector.novelty import Detector

__all__ = ["Detector"]
