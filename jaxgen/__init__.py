"""Generative models that cover the whole support of their data and know what they have not seen."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgen.config import Config
    from jaxgen.detector import Detector
    from jaxgen.parallel import Layout
    from jaxgen.result import Result, load
    from jaxgen.training import train

__all__ = ["Config", "Detector", "Layout", "Result", "load", "train"]

# Imported on first use, so that `import jaxgen.losses` loads neither Flax nor Optax nor Orbax.
_HOMES = {
    "Config": "config",
    "Detector": "detector",
    "Layout": "parallel",
    "Result": "result",
    "load": "result",
    "train": "training",
}
_ROOMS = ("data", "descent", "losses", "methods", "metrics", "nets", "samplers")


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"jaxgen.{_HOMES[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"jaxgen.{name}")
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_ROOMS]
