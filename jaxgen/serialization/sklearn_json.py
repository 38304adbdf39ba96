"""Fitted scikit-learn estimators as JSON and arrays, without pickle."""

import json
import pathlib
import zipfile
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields

__all__ = ["read", "write"]

# What a file raises that was cut off, or holds something else.
_DAMAGED = (AttributeError, EOFError, LookupError, StopIteration, TypeError, ValueError, zipfile.BadZipFile)


def write(directory: pathlib.Path, name: str, value: Any) -> None:
    """Write what is made of plain data, arrays, lists, dicts and estimators of such.

    Args:
        directory: where `NAME.json` and `NAME.npz` are written.
        name: of the two files.
        value: a fitted estimator, or a dict of them, for one.

    Raises:
        ValueError: if a part of it is neither such nor found by its name.
    """
    arrays: list[np.ndarray] = []
    written = _written(value, name, arrays)
    with (directory / f"{name}.npz").open("wb") as file:
        np.savez(file, *arrays)
    (directory / f"{name}.json").write_text(json.dumps(written, indent=1))


def read(directory: pathlib.Path, name: str) -> Any:
    """Read what `write` wrote.

    This imports the classes that the file names, so read none whose writer you do not trust.

    Args:
        directory: where it was written.
        name: of the two files.

    Returns:
        The value.

    Raises:
        ValueError: if a file is damaged, or names what is not there.
    """
    try:
        written = json.loads((directory / f"{name}.json").read_text())
        # Opened here: NumPy leaves a file open that turns out to be damaged.
        with (directory / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _read(written, dict(arrays))
    except (*_DAMAGED, OSError) as error:
        raise ValueError(f"{directory / name} cannot be read ({error}); save it again.") from error


def _written(value: Any, where: str, arrays: list[np.ndarray]) -> Any:
    """Return a value in JSON's own types, and add its arrays to those there are."""
    if isinstance(value, BaseEstimator) and not isinstance(value, type):
        state = value.__getstate__()
        return {"estimator": to_json(type(value), where), "state": _written(state, where, arrays)}
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        arrays.append(value)
        return {"stored": f"arr_{len(arrays) - 1}"}
    if isinstance(value, np.ndarray):  # such as names of columns
        return {"objects": [_written(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]}
    if type(value) in (tuple, list):
        items = [_written(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]
        return {type(value).__name__: items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _written(item, f"{where}.{key}", arrays) for key, item in value.items()}}
    described = to_json(value, where)
    if fields := unnamed_fields(described):
        raise ValueError(f"{fields[0]} is neither plain data nor found by its name; replace it to save without pickle.")
    return {"plain": described}


def _read(written: Any, arrays: dict[str, np.ndarray]) -> Any:
    kind, content = next(iter(written.items()))
    match kind:
        case "estimator":
            made: Any = from_json(content)
            if not (isinstance(made, type) and issubclass(made, BaseEstimator)):
                raise ValueError(f"{made} is no estimator")
            value: Any = object.__new__(made)
            value.__setstate__(_read(written["state"], arrays))
            return value
        case "stored":
            return arrays[content]
        case "objects":
            return np.array([_read(item, arrays) for item in content], object)
        case "tuple" | "list":
            return {"tuple": tuple, "list": list}[kind](_read(item, arrays) for item in content)
        case "dict":
            return {key: _read(item, arrays) for key, item in content.items()}
        case "plain":
            return from_json(content)
    raise ValueError(f"there is no kind {kind!r}")
