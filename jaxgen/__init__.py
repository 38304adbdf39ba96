"""Generative models in JAX: support-covering generators, out-of-distribution scores, detectors."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgen.accelerators.preflight import preflight
    from jaxgen.detector import Detector
    from jaxgen.parallel import Layout
    from jaxgen.serialization.config_json import to_json
    from jaxgen.training.check import check
    from jaxgen.training.config import Config
    from jaxgen.training.loop import train, untrained
    from jaxgen.training.result import Result, load

    __version__: str

__all__ = ["Config", "Detector", "Layout", "Result", "check", "load", "preflight", "to_json", "train", "untrained"]

# Imported on first use, so that `import jaxgen.losses` does not load Flax, Optax and Orbax.
_LAZY_ATTRIBUTES = {
    "Config": "training.config",
    "Detector": "detector",
    "Layout": "parallel",
    "Result": "training.result",
    "check": "training.check",
    "load": "training.result",
    "preflight": "accelerators.preflight",
    "to_json": "serialization.config_json",
    "train": "training.loop",
    "untrained": "training.loop",
}
_SUBMODULES = ("data", "losses", "methods", "metrics", "nets", "optim", "samplers")


def __getattr__(name: str) -> Any:
    if name in _LAZY_ATTRIBUTES:
        return getattr(importlib.import_module(f"jaxgen.{_LAZY_ATTRIBUTES[name]}"), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"jaxgen.{name}")
    if name == "__version__":
        from importlib import metadata

        return metadata.version("jaxgen")
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_SUBMODULES, "__version__"]
