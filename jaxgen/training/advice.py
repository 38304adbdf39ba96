"""Advice on runs that end badly: columns of very different scale, and patience with a falling learning rate."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.training.config import Config
from jaxgen.training.description import as_text
from jaxgen.types import PyTree

__all__ = ["patience_advice", "scale_advice"]

LARGEST_RATIO = 300.0  # of the scales of two columns; the gray values of pixels have ratios up to 255
MAX_ROWS = 10_000  # used of a table, evenly spaced, so that large tables cost little
FALLEN = 0.01  # share of its maximum at which a learning rate counts as fallen


def scale_advice(method: Any, tables: tuple[PyTree, ...]) -> str:
    """Return half a sentence on columns of very different scale, for methods that use columns as given.

    Args:
        method: a training method; it has the class attribute `uses_columns_as_given` if it does.
        tables: tables of rows `[n, d]`; arrays with other axes, such as images, are left out.

    Returns:
        What to do and why, without a period at the end; empty if there is nothing to say.
    """
    if not getattr(method, "uses_columns_as_given", False):
        return ""
    for leaf in jax.tree.leaves(tables):
        if leaf.ndim == 2 and leaf.dtype.kind == "f":
            ratio, low, high = _ratio_of_scales(np.asarray(leaf[:: max(-(-len(leaf) // MAX_ROWS), 1)], np.float64))
            if ratio > LARGEST_RATIO:
                return (
                    "scale the columns to a standard deviation near 1, for example by "
                    f"sklearn.preprocessing.StandardScaler, as {type(method).__name__} uses them as given (got "
                    f"standard deviations from {low:.2g} to {high:.2g})"
                )
    return ""


def patience_advice(config: Config) -> str:
    """Return one sentence if seeds may stop before their learning rate has fallen; empty if there is nothing to say.

    Args:
        config: a config that `resolved` returned.
    """
    if config.patience is None or config.patience >= config.steps // config.steps_per_call:
        return ""
    method: Any = config.method
    for field in dataclasses.fields(method) if dataclasses.is_dataclass(method) else ():
        schedule = getattr(method, field.name)
        if field.name.endswith("rate") and callable(schedule) and _falls(schedule, config.steps):
            return (
                f"`patience` stops a seed before its learning rate has fallen, and much of the gain comes at the end "
                f"(got patience={config.patience} and {field.name}={as_text(schedule)}); use patience=None, or a "
                f"constant {field.name} with `ema_decay`."
            )
    return ""


def _ratio_of_scales(rows: np.ndarray) -> tuple[float, float, float]:
    """Return by how much the scales of columns differ, and the smallest and largest standard deviation.

    Two ratios are computed, of standard deviations and of ranges, and the smaller one is returned. A rare category has
    a small standard deviation but the range of other columns; an outlier has a large range. Constant columns are left
    out.
    """
    ranges = np.ptp(rows, 0)
    rows, ranges = rows[:, ranges > 0], ranges[ranges > 0]
    if not len(ranges):
        return 1.0, 1.0, 1.0
    stds = np.std(rows / ranges, 0) * ranges  # squares of small numbers would be 0
    ratio = min(ranges.max() / ranges.min(), stds.max() / stds.min())
    return float(ratio), float(stds.min()), float(stds.max())


def _falls(schedule: Any, steps: int) -> bool:
    """Return whether a schedule ends a run at almost zero, compared with its maximum."""
    rates = [float(schedule(jnp.asarray(steps * part // 8, jnp.int32))) for part in range(9)]
    return rates[-1] <= FALLEN * max(rates)
