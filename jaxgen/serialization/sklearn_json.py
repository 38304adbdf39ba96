"""Fitted scikit-learn estimators as JSON and arrays, without pickle."""

import json
import pathlib
import zipfile
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields

__all__ = ["read", "write"]

# Exceptions raised by a file that is truncated or holds other content.
_DAMAGED = (AttributeError, EOFError, LookupError, StopIteration, TypeError, ValueError, zipfile.BadZipFile)


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
    with (directory / f"{name}.npz").open("wb") as file:
        np.savez(file, *arrays)
    (directory / f"{name}.json").write_text(json.dumps(written, indent=1))


def read(directory: pathlib.Path, name: str) -> Any:
    """Read a value that `write` wrote.

    This imports the classes that the file names: read only files that you trust.

    Args:
        directory: where `NAME.json` and `NAME.npz` are.
        name: name of the two files.

    Returns:
        The value.

    Raises:
        ValueError: if a file is missing or damaged, or names something that cannot be imported.
    """
    try:
        written = json.loads((directory / f"{name}.json").read_text())
        # Opened here, since NumPy does not close a damaged file.
        with (directory / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _read(written, dict(arrays))
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


def _read(written: Any, arrays: dict[str, np.ndarray]) -> Any:
    kind, content = next(iter(written.items()))
    match kind:
        case "estimator":
            estimator: Any = from_json(content)
            if not (isinstance(estimator, type) and issubclass(estimator, BaseEstimator)):
                raise ValueError(f"{estimator} is not an estimator")
            value: Any = object.__new__(estimator)
            value.__setstate__(_read(written["state"], arrays))
            return value
        case "stored":
            return arrays[content]
        case "objects":
            return np.array([_read(item, arrays) for item in content], object)
        case "tuple" | "list":
            return {"tuple": tuple, "list": list}[kind](_read(item, arrays) for item in content)
        case "dtype":
            return np.dtype(content)
        case "slice":
            return slice(*content)
        case "dict":
            return {key: _read(item, arrays) for key, item in content.items()}
        case "plain":
            return from_json(content)
    raise ValueError(f"unknown kind {kind!r}")
