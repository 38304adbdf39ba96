"""Checks of arrays, labels and hyperparameters, with error messages that say what to do."""

import numbers
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, PyTree

__all__ = [
    "check_floating",
    "check_hashable",
    "check_key",
    "check_labels",
    "check_positive",
    "check_range",
    "check_table",
    "check_vectors",
    "check_whole",
    "check_weights",
    "rows_remedy",
    "is_floating",
    "is_label",
]


def is_floating(*arrays: Any) -> bool:
    """Return whether every argument is an array, or the spec of one, with a floating-point dtype."""
    return all(hasattr(array, "shape") and jnp.issubdtype(array.dtype, jnp.floating) for array in arrays)


def is_label(spec: Any) -> bool:
    """Return whether a row is a single integer, as class labels are."""
    return getattr(spec, "shape", None) == () and jnp.issubdtype(spec.dtype, jnp.integer)


def check_floating(name: str, x: Array) -> Array:
    """Return an array unchanged if its dtype is floating-point.

    Arithmetic on bytes would wrap around silently.

    Args:
        name: of the caller, for the error message.
        x: samples `[n, ...]`.

    Returns:
        The samples `[n, ...]`.

    Raises:
        TypeError: if the dtype is not floating-point.
    """
    if not is_floating(x):
        dtype = getattr(x, "dtype", type(x).__name__)
        raise TypeError(
            f"{name} needs floating-point values (got {dtype}); convert bytes with data.to_float(x), "
            "other integers with x.astype('float32')."
        )
    return x


def check_table(method: object, row_specs: tuple[PyTree, ...]) -> None:
    """Check that the data are one table of floating-point rows.

    Args:
        method: the method, named in the error message.
        row_specs: shape and dtype of one row of each table.

    Raises:
        TypeError: if they are not.
    """
    if len(row_specs) != 1 or not is_floating(*row_specs):
        raise TypeError(
            f"{type(method).__name__} learns one table of floating-point rows (got {row_specs}); use data.Arrays(x), "
            "and convert integers with x.astype('float32')."
        )


def check_key(key: Any) -> None:
    """Check that an argument is a single JAX key, typed or of the older kind.

    Raises:
        TypeError: if it is not.
    """
    dtype = getattr(key, "dtype", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    older = dtype == jnp.uint32 and getattr(key, "ndim", 0) == 1
    if not (typed and key.ndim == 0) and not older:
        got = type(key).__name__ if dtype is None else f"{dtype} {key.shape}"
        raise TypeError(f"`key` must be a single JAX key (got {got}); use jax.random.key(0).")


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Check that all labels are between 0 and `classes - 1`.

    Args:
        labels: integers `[n]`, at least one.
        classes: number of classes.

    Raises:
        ValueError: if a label is out of range.
    """
    low, high = int(np.min(labels)), int(np.max(labels))
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels must be between 0 and {classes - 1} for {classes} classes (got {low} to {high}); number the "
            "classes from 0, and set `classes` to their number."
        )


def check_range(name: str, low: float, high: float) -> None:
    """Check that values lie in [0, 1].

    Args:
        name: of what needs this, for the error message.
        low: the smallest value, as a training step sees it.
        high: the largest value.

    Raises:
        ValueError: if a value is out of range or NaN.
    """
    if not (low >= 0 and high <= 1):
        raise ValueError(f"{name} needs values in [0, 1] (got {low:g} to {high:g}); rescale the data.")


def check_positive(**values: Any) -> None:
    """Check that hyperparameters are positive and finite.

    Args:
        **values: by the names of their arguments. Traced arrays are not checked, as their values are unknown.

    Raises:
        ValueError: if a value, or an entry of an array, is not positive and finite.
    """
    for name, value in values.items():
        if isinstance(value, jax.core.Tracer):
            continue
        entries = np.asarray(value)
        if entries.dtype.kind not in "iuf" or not np.all((entries > 0) & np.isfinite(entries)):
            raise ValueError(f"`{name}` must be positive and finite (got {value}); use for example {name}=1.")


def check_vectors(**scores: Array) -> None:
    """Check that scores are vectors with one number per sample.

    Args:
        **scores: by the names of their arguments.

    Raises:
        ValueError: if an array does not have one axis, or is empty.
    """
    for name, array in scores.items():
        if array.ndim != 1 or not array.size:
            raise ValueError(f"`{name}` must be [n] with n >= 1 (got shape {array.shape}); pass {name}.reshape(-1).")


def check_whole(least: int, **counts: Any) -> None:
    """Check that hyperparameters are whole numbers.

    Args:
        least: the smallest number allowed.
        **counts: by the names of their fields.

    Raises:
        ValueError: if a count is not a whole number, or below `least`.
    """
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, numbers.Integral) or count < least:
            raise ValueError(
                f"`{name}` must be a whole number of at least {least} (got {count!r}); try {name}={least}."
            )


def check_weights(**weights: float) -> None:
    """Check that the weights of loss terms are finite and not negative.

    Args:
        **weights: by the names of their fields.

    Raises:
        ValueError: if a weight is negative, infinite or NaN.
    """
    for name, weight in weights.items():
        if not 0 <= weight < np.inf:
            raise ValueError(f"`{name}` must be finite and at least 0 (got {weight}); use 0 to leave its term out.")


def rows_remedy(shape: tuple[int, ...], remedy: str) -> str:
    """Return what to do with rows of a wrong shape: for single numbers make them one column, else `remedy`."""
    return "use x[:, None], which has one column" if shape == () else remedy


def check_hashable(method: object) -> None:
    """Check that a method is hashable, so that compiled programs can be cached for it.

    Args:
        method: a frozen dataclass.

    Raises:
        TypeError: if one of its fields is not hashable, such as a list.
    """
    try:
        hash(method)
    except TypeError as error:
        root: BaseException = error  # Flax wraps the cause in a page of text
        while root.__cause__:
            root = root.__cause__
        raise TypeError(
            f"{type(method).__name__} must be hashable, as compiled programs are cached by its hash (got {root}); use "
            "tuples instead of lists, and numbers instead of arrays."
        ) from error
