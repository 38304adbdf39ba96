"""Short text of a config: fields that differ from their defaults, functions by name, arrays by shape."""

import dataclasses
import inspect
from typing import Any

import flax.linen as nn

__all__ = ["as_text"]

_OF_FLAX = ("parent", "name")  # fields that every Linen module has


def as_text(value: Any, always: tuple[str, ...] = ()) -> str:
    """Return a value as one line of text.

    Args:
        value: a dataclass, Linen module, function, array, tuple, or plain value.
        always: fields of the dataclass that are included even if they have their default value.

    Returns:
        The text, such as `EVL(candidates=PerTarget(num_candidates=4), optimizer=sgd)`.
    """
    if isinstance(value, type):
        return value.__name__
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}" if value.shape else repr(value)
    if type(value) is tuple:
        return f"({', '.join(map(as_text, value))}{',' if len(value) == 1 else ''})"
    if dataclasses.is_dataclass(value) and (always or not _has_own_text(value)):
        parts = [
            f"{field.name}={as_text(getattr(value, field.name))}"
            for field in dataclasses.fields(value)
            if field.repr
            and not (isinstance(value, nn.Module) and field.name in _OF_FLAX)
            and (field.name in always or not _is_default(field, getattr(value, field.name)))
        ]
        return f"{type(value).__name__}({', '.join(parts)})"
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return repr(value)


def _has_own_text(value: Any) -> bool:
    """Return whether a class defines `__repr__` itself; dataclasses and Linen modules generate theirs."""
    if isinstance(value, nn.Module):
        return False
    code = getattr(inspect.unwrap(type(value).__repr__), "__code__", None)
    return getattr(code, "co_filename", None) != "<string>"  # of code that `dataclasses` generates


def _is_default(field: Any, value: Any) -> bool:
    default = field.default
    if default is dataclasses.MISSING:
        if field.default_factory is dataclasses.MISSING:
            return False
        default = field.default_factory()
    if value is default:
        return True
    try:
        hash(value)  # arrays have no single truth value, and no hash
        return type(value) is type(default) and bool(value == default)
    except TypeError:
        return False
