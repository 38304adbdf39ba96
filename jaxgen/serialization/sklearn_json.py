"""Fitted scikit-learn estimators as JSON and arrays, without pickle."""

import hashlib
import io
import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields

__all__ = ["read", "write"]

# Exceptions raised by a file that is truncated or holds other content.
_DAMAGED = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, StopIteration, TypeError, ValueError),
    zipfile.BadZipFile,
)


def write(directory: pathlib.Path, name: str, value: Any) -> None:
    """Write a fitted estimator, or any nesting of estimators, arrays, lists, dicts and plain data.

    Args:
        directory: where `NAME.json` and `NAME.npz` are written.
        name: name of the two files.
        value: the value to write.

    Raises:
        ValueError: if a part is of another type and cannot be imported by name.
    """
    arrays: list[np.ndarray] = []
    written = _written(value, name, arrays)
    content = io.BytesIO()
    np.savez(content, *arrays)
    (directory / f"{name}.npz").write_bytes(content.getvalue())
    stored = {"value": written, "sha256": _digest(written, content.getvalue())}
    (directory / f"{name}.json").write_text(json.dumps(stored, indent=1))


def read(directory: pathlib.Path, name: str, *, trusted: Sequence[str] = ()) -> Any:
    """Read a value that `write` wrote.

    Args:
        directory: where `NAME.json` and `NAME.npz` are.
        name: name of the two files.
        trusted: modules that the file may name in addition to those of `from_json`.

    Returns:
        The value.

    Raises:
        ValueError: if a file is missing, or a byte has changed since it was written, or it names something that is not
            trusted or cannot be imported.
    """
    try:
        stored = json.loads((directory / f"{name}.json").read_text())
        content = (directory / f"{name}.npz").read_bytes()
        if stored["sha256"] != _digest(stored["value"], content):
            raise ValueError("its bytes have changed since it was saved")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return _read(stored["value"], dict(arrays), trusted)
    except (*_DAMAGED, OSError) as error:
        raise ValueError(f"{directory / name} cannot be read ({error}); save it again.") from error


def _written(value: Any, where: str, arrays: list[np.ndarray]) -> Any:
    """Convert a value to JSON types, and append its arrays to `arrays`."""
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        state = value.__getstate__()
        return {"estimator": to_json(type(value), where), "state": _written(state, where, arrays)}
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        arrays.append(value)
        return {"stored": f"arr_{len(arrays) - 1}"}
    if isinstance(value, np.ndarray):  # such as column names
        return {"objects": [_written(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]}
    if isinstance(value, np.dtype):
        return {"dtype": value.str}
    if isinstance(value, slice):
        return {"slice": [value.start, value.stop, value.step]}
    if type(value) in (tuple, list):
        items = [_written(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]
        return {type(value).__name__: items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _written(item, f"{where}.{key}", arrays) for key, item in value.items()}}
    described = to_json(value, where)
    if fields := unnamed_fields(described):
        raise ValueError(
            f"{fields[0]} must be plain data or importable by name to be saved without pickle; replace it, such as a "
            "lambda by a function of a module."
        )
    return {"plain": described}


def _digest(written: Any, content: bytes) -> str:
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode() + content).hexdigest()


def _read(written: Any, arrays: dict[str, np.ndarray], trusted: Sequence[str]) -> Any:
    kind, content = next(iter(written.items()))
    match kind:
        case "estimator":
            estimator: Any = from_json(content, trusted=trusted)
            if not (isinstance(estimator, type) and issubclass(estimator, BaseEstimator)):
                raise ValueError(f"{estimator} is not an estimator")
            value: Any = object.__new__(estimator)
            value.__setstate__(_read(written["state"], arrays, trusted))
            return value
        case "stored":
            return arrays[content]
        case "objects":
            return np.array([_read(item, arrays, trusted) for item in content], object)
        case "tuple" | "list":
            return {"tuple": tuple, "list": list}[kind](_read(item, arrays, trusted) for item in content)
        case "dtype":
            return np.dtype(content)
        case "slice":
            return slice(*content)
        case "dict":
            return {key: _read(item, arrays, trusted) for key, item in content.items()}
        case "plain":
            return from_json(content, trusted=trusted)
    raise ValueError(f"unknown kind {kind!r}")
