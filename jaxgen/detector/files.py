"""Files of a fitted detector: its models, and its state as JSON and arrays, without pickle."""

import os
from collections.abc import Sequence
from typing import Any

from jaxgen.neighbors import LocalNeighborBlend, NeighborBlend
from jaxgen.serialization import sklearn_json
from jaxgen.serialization.atomic import absolute_path, recover, replacing
from jaxgen.serialization.config_json import from_json, to_json, unnamed_fields
from jaxgen.serialization.import_names import check_trusted
from jaxgen.training.result import load as load_result

__all__ = ["from_portable", "load", "save", "to_portable"]


def save(detector: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted detector to a directory, replacing one that is there; errors as in `Detector.save`."""
    target = absolute_path(path)
    state = {name: value for name, value in detector.__getstate__().items() if name != "result_"}
    state["blend_"] = None if detector.blend_ is None else dict(vars(detector.blend_))
    entries = r"detector\.(json|npz)|model"
    with replacing(target, mark="detector.json", entries=entries, kind="detector") as fresh:
        detector.result_.save(fresh / "model")
        sklearn_json.write(fresh, "detector", state)


def load(detector: Any, path: str | os.PathLike[str], *, trusted: Sequence[str] = ()) -> Any:
    """Read a directory that `save` wrote into an unfitted detector; errors as in `Detector.load`."""
    check_trusted(trusted)
    target = absolute_path(path)
    recover(target)
    if not (target / "detector.json").is_file():
        raise FileNotFoundError(f"{target} holds no detector of jaxgen; give a directory that one was saved to.")
    state = sklearn_json.read(target, "detector", trusted=trusted)
    result = load_result(target / "model", trusted=trusted)
    try:
        method = from_json(state["method"], trusted=trusted)  # `__setstate__` would import every name
        if isinstance(method, dict):
            raise ValueError("its method is a dict")
        kind = NeighborBlend if state["image_shape_"] is None else LocalNeighborBlend
        blend = None if state["blend_"] is None else kind(**state["blend_"])
        detector.__setstate__({**state, "method": method, "blend_": blend, "result_": result})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{target / 'detector'} cannot be read ({error}); save it again.") from error
    return detector


def to_portable(value: Any) -> Any:
    """Return a method as JSON, or the value itself if a part cannot be imported by name."""
    described = to_json(value)
    return value if unnamed_fields(described) else described


def from_portable(value: Any) -> Any:
    """Return the method that `to_portable` described."""
    return from_json(value, trusted=None) if isinstance(value, dict) else value
