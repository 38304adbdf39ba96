"""Pickle of configs and states, in which functions and classes are stored by their import name."""

import dataclasses
import io
import pickle
from typing import Any

from jaxgen.serialization.config_json import construct, fields_of
from jaxgen.serialization.import_names import find, import_path

__all__ = ["from_bytes", "to_bytes"]


def to_bytes(value: Any) -> bytes:
    """Pickle a value whose parts are plain data, arrays, dataclasses, Linen modules, and importable functions.

    Pickle alone fails for jitted functions such as `jax.nn.relu`, and for the default initializers of Linen modules.

    Args:
        value: the value to pickle.

    Returns:
        The content for `from_bytes`.

    Raises:
        AttributeError or pickle.PicklingError: if a function cannot be imported by name.
    """
    content = io.BytesIO()
    _Pickler(content, protocol=5).dump(value)
    return content.getvalue()


def from_bytes(content: bytes) -> Any:
    """Read what `to_bytes` returned; as with every pickle, read only content that you trust."""
    return pickle.loads(content)


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return construct, (type(value), fields_of(value))
        is_function = callable(value) and not isinstance(value, type) and value is not _found
        if is_function and (path := import_path(value)):
            return _found, (path,)
        return NotImplemented


def _found(path: str) -> Any:
    return find(path, trusted=None)
