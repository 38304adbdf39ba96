"""Import names of functions and classes, and which of them a stored file may name."""

import importlib
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["check_trusted", "find", "import_path"]

_MAIN = ("__main__", "__mp_main__")  # the running script; the second name is that in `multiprocessing`'s workers
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)

_MODULES = ("jaxgen", "flax.linen", "jax.nn", "jax.numpy", "optax", "sklearn")
_DEFINING = (*_MODULES, "jax._src")  # JAX defines the functions of `jax.nn` there
# Functions are called later, so those that read files, download data or train are left out.
_FUNCTIONS = (
    *(f"jaxgen.{part}" for part in ("losses", "methods", "metrics", "nets", "numerics", "optim", "samplers")),
    *("jaxgen.columns", "jaxgen.parallel", "jaxgen.scan", "flax.linen", "jax.nn", "jax.numpy", "jax._src", "optax"),
    *("sklearn.feature_selection", "sklearn.metrics", "sklearn.preprocessing"),
)
_READING = {"jax.numpy:load", "jax.numpy:fromfile"}


def check_trusted(trusted: Any) -> None:
    """Check that an argument names modules.

    Args:
        trusted: a name, or a tuple or list of names.

    Raises:
        TypeError: if it is anything else, such as None or a module.
    """
    names = (trusted,) if isinstance(trusted, str) else trusted
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"`trusted` must be a tuple of names of modules (got {trusted!r}); use ('mypackage',).")


def import_path(value: Any) -> str | None:
    """Return the shortest public import path of a function or class, such as `optax:adam`, or None.

    Args:
        value: any object.

    Returns:
        `module:name`, or None if the object cannot be imported by name.
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if module in _MAIN:
        module = _main(module)
    if not module or not name:
        return None
    parts = [part for part in module.split(".") if not part.startswith("_")]
    for candidate in [".".join(parts[: end + 1]) for end in range(len(parts))] + [module]:
        try:
            if find(f"{candidate}:{name}", trusted=None) is value:
                return f"{candidate}:{name}"
        except ValueError:
            continue
    return None


def find(path: str, *, trusted: Sequence[str] | None) -> Any:
    """Import the function or class of a path that `import_path` returned.

    Nothing is imported before the module is found in jaxgen, flax.linen, jax.nn, jax.numpy, optax, sklearn or
    `trusted`. Of NumPy, scalar types and ufuncs are accepted.

    Args:
        path: `module:name`.
        trusted: further modules, with their submodules; None accepts every path.

    Returns:
        The function or class.

    Raises:
        ValueError: if the module is not trusted, cannot be imported, or has no such function or class.
    """
    if trusted is None:
        return _imported(path)
    more = (trusted,) if isinstance(trusted, str) else tuple(trusted)
    if not isinstance(path, str) or not _PATH.fullmatch(path):
        raise ValueError(f"an import path must be `module:name` (got {str(path)[:100]!r}); the file is damaged.")
    module, _, name = path.partition(":")
    if module == "numpy":
        value: Any = getattr(np, name, None)
        if isinstance(value, np.ufunc) or (isinstance(value, type) and issubclass(value, np.generic)):
            return value
    if not _inside(module, (*_MODULES, *more)):
        raise ValueError(
            f"{path} is outside the modules that are trusted; if it is safe to import, pass "
            f"trusted=({module.partition('.')[0]!r},)."
        )
    value = _imported(path)
    defining = str(getattr(value, "__module__", None))
    defining = _main(defining) or defining
    is_class, is_trusted = isinstance(value, type), _inside(defining, more)
    is_named = callable(value) and getattr(value, "__qualname__", None) == name  # no alias, and no instance
    may_be_called = _inside(defining, _FUNCTIONS) and f"{defining}:{name}" not in _READING
    if not is_named or not (is_trusted or (_inside(defining, _DEFINING) and (is_class or may_be_called))):
        raise ValueError(
            f"{path} is not a class or function that a stored config may hold; if it is safe to call, pass "
            f"trusted=({defining!r},)."
        )
    return value


def _inside(module: str, roots: Sequence[str]) -> bool:
    return any(module == root or module.startswith(f"{root}.") for root in roots)


def _main(name: str) -> str | None:
    """Return the importable name of the running module: that given to `python -m`, or None for a script."""
    if name not in _MAIN:
        return None
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return spec.name if spec and spec.name not in _MAIN else None


def _imported(path: str) -> Any:
    module, _, name = path.partition(":")
    # Importing the running module under its own name would execute it again and duplicate its classes.
    running = next((main for main in _MAIN if module == _main(main)), module)
    try:
        value: Any = importlib.import_module(running)
        for part in name.split("."):
            value = getattr(value, part)
            if isinstance(value, type(sys)):  # a module that another one imports
                raise AttributeError(f"{part} is a module")
    except Exception as error:  # a module may raise anything when it is imported
        raise ValueError(
            f"{path} cannot be imported ({error}); install or define it, or pass the config: load(path, config=...)."
        ) from error
    return value
