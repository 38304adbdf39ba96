"""Configs as JSON.

Dataclasses and networks are written as import path and fields, functions as import path, and arrays as digest.
"""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxgen.serialization.import_names import find, import_path

__all__ = ["AbsentArray", "construct", "fields_of", "from_json", "to_json", "unnamed_fields"]


@dataclasses.dataclass(frozen=True)
class AbsentArray:
    """Placeholder for an array of a loaded config: its shape, dtype and digest, without its values."""

    shape: tuple[int, ...]
    dtype: str
    sha256: str


def to_json(value: Any, where: str = "config") -> Any:
    """Convert a config, or a part of it, to JSON types.

    Equal configs have equal descriptions. Values that are neither plain data nor importable by name are marked, such
    as a lambda or a class of the running script: `unnamed_fields` lists them, and `from_json` raises for them.

    Args:
        value: plain data, a dataclass or Linen module with such fields, an array, or an importable function or class.
        where: path of the value, for messages.

    Returns:
        A value for `json.dumps`, which `from_json` reads back.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.generic):
        return to_json(value.item(), where)
    if isinstance(value, AbsentArray):
        return {"array": [list(value.shape), value.dtype, value.sha256]}
    if isinstance(value, jax.Array | np.ndarray):
        array = np.asarray(value)
        return {"array": [list(array.shape), str(array.dtype), hashlib.sha256(array.tobytes()).hexdigest()]}
    if isinstance(value, functools.partial):
        parts = {"args": value.args, "keywords": value.keywords}
        return {"partial": to_json(value.func, where), **{n: to_json(v, f"{where}.{n}") for n, v in parts.items()}}
    named = dataclasses.is_dataclass(value) or (isinstance(value, tuple) and hasattr(value, "_asdict"))
    if named and not isinstance(value, type):
        fields = {name: to_json(content, f"{where}.{name}") for name, content in fields_of(value).items()}
        path = import_path(type(value))
        return {**({"type": path} if path else _unnamed(value, where)), "fields": fields}
    if type(value) in (tuple, list):
        return {type(value).__name__: [to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: to_json(item, f"{where}[{name!r}]") for name, item in value.items()}}
    if isinstance(value, jax.ShapeDtypeStruct):
        return {"row": [list(value.shape), str(value.dtype)]}
    path = import_path(value)
    return {"import": path} if path else _unnamed(value, where)


def unnamed_fields(description: Any) -> list[str]:
    """List the fields of a description that cannot be imported by name; `from_json` raises for them.

    Args:
        description: what `to_json` returned.

    Returns:
        Paths such as `config.method.optimizer`.
    """
    if isinstance(description, list):
        return [field for item in description for field in unnamed_fields(item)]
    if isinstance(description, dict):
        own = [description["unnamed_fields"]] if "unnamed_fields" in description else []
        return own + [field for item in description.values() for field in unnamed_fields(item)]
    return []


def from_json(description: Any, *, trusted: Sequence[str] | None = ()) -> Any:
    """Convert the output of `to_json` back to a value; arrays become `AbsentArray`.

    Only dataclasses, named tuples and Linen modules are constructed; functions are not called.

    Args:
        description: what `to_json` returned, or `json.loads` after writing.
        trusted: modules that the description may name in addition to jaxgen, flax.linen, jax.nn, jax.numpy, optax and
            sklearn; None accepts every module.

    Returns:
        The value.

    Raises:
        ValueError: if a name is not trusted or cannot be imported, a class no longer has a field, or the description is
            damaged.
    """
    try:
        return _value(description, trusted)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        reason = type(error).__name__ if isinstance(error, RecursionError) else error
        raise ValueError(f"the description is damaged or was written by another version ({reason}).") from error


def _value(description: Any, trusted: Sequence[str] | None) -> Any:
    if not isinstance(description, dict):
        return description
    kind: str
    content: Any
    kind, content = next(iter(description.items()), ("nothing", None))
    match kind:
        case "float":
            return float(content)
        case "unnamed_fields":
            raise ValueError(
                f"{content} ({description['as']}) cannot be imported by name; pass the config: load(path, config=...)."
            )
        case "row":
            return jax.ShapeDtypeStruct(tuple(content[0]), content[1])
        case "array":
            return AbsentArray(tuple(content[0]), *content[1:])
        case "tuple" | "list":
            return {"tuple": tuple, "list": list}[kind](_value(item, trusted) for item in content)
        case "dict":
            return {name: _value(item, trusted) for name, item in content.items()}
        case "partial":
            arguments, named = _value(description["args"], trusted), _value(description["keywords"], trusted)
            return functools.partial(_value(content, trusted), *arguments, **named)
        case "import":
            return find(content, trusted=trusted)
        case "type":
            fields = {name: _value(item, trusted) for name, item in description["fields"].items()}
            return construct(find(content, trusted=trusted), fields)
    raise ValueError(f"unknown kind {kind!r} in a description; it is damaged or was written by another version.")


def fields_of(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass or named tuple that determine its value.

    `parent` and `name` of a Linen module are left out. A field with its default value is left out if that value cannot
    be imported by name, such as a default initializer of Flax's layers. So is a field with the metadata `omit_default`:
    it was added to its class after descriptions had been written. The metadata `stored_as` is a function that replaces
    a value by what is stored of it.

    Args:
        value: an instance of a dataclass or named tuple.

    Returns:
        Values by field name, for `construct`.
    """
    if isinstance(value, tuple):
        return value._asdict()  # type: ignore[attr-defined]
    skip = {"parent", "name"} if isinstance(value, nn.Module) else set()
    fields = [
        f for f in dataclasses.fields(value) if f.name not in skip and (f.init or not _has_default_init(type(value)))
    ]
    stored = lambda field: field.metadata.get("stored_as", lambda content: content)(getattr(value, field.name))
    values = {f.name: (stored(f), f.default) for f in fields}
    omitted = {f.name for f in fields if f.metadata.get("omit_default") and getattr(value, f.name) is f.default}
    return {
        name: v
        for name, (v, default) in values.items()
        if name not in omitted and (v is not default or not unnamed_fields(to_json(v)))
    }


def _has_default_init(kind: Any) -> bool:
    return kind.__dataclass_params__.init


def construct(kind: Any, fields: dict[str, Any]) -> Any:
    """Construct a dataclass or named tuple from its fields, bypassing a custom `__init__`.

    Args:
        kind: the class.
        fields: values by name; the others have their defaults.

    Returns:
        The instance.

    Raises:
        ValueError: if the class is of another kind, or has no field of one of the names.
    """
    is_class = isinstance(kind, type)
    is_tuple = is_class and issubclass(kind, tuple) and hasattr(kind, "_fields")
    if not is_tuple and not (is_class and dataclasses.is_dataclass(kind)):
        raise ValueError(f"{kind!r} must be a dataclass or named tuple; the file is damaged.")
    known = set(kind._fields) if is_tuple else {f.name for f in dataclasses.fields(kind)}
    if unknown := set(fields) - known:
        raise ValueError(f"{kind.__name__} has no field {sorted(unknown)}; the file was written by another version.")
    if is_tuple or _has_default_init(kind):
        return kind(**fields)
    value: Any = object.__new__(kind)
    for name, content in fields.items():
        object.__setattr__(value, name, content)
    return value


def _unnamed(value: Any, where: str) -> dict[str, Any]:
    return {"unnamed_fields": where, "as": getattr(value, "__qualname__", type(value).__name__)}
