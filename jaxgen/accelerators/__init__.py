"""Compiling a training run for accelerators that are not there: memory, operations, and bounds on the time."""

from jaxgen.accelerators.preflight import preflight
from jaxgen.accelerators.report import Report

__all__ = ["Report", "preflight"]
