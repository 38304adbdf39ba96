"""Digest of the code that a measurement runs: its source, and that of all it calls in experiments and metrics."""

import dataclasses
import functools
import hashlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

# Other packages need no digest: the config names methods, losses and data, and the identity holds library versions.
PACKAGES = ("experiments", "jaxgen.metrics")


def source_digest(function: Callable[..., Any]) -> str:
    """Digest of a function's source and constants, and of those of all functions and classes of `PACKAGES` it reaches.

    Reached means named by a global, as an attribute of an imported module, in a closure, or bound by
    `functools.partial`. A method of an object that is known only at run time is not followed: the cell's config or
    settings must name that object.

    Args:
        function: a function, a bound method, or a `functools.partial` of one.

    Returns:
        Sixteen hexadecimal digits.
    """
    parts: dict[str, str] = {}
    parts["root"] = _described(function, parts)
    whole = "\n".join(f"{name}\n{text}" for name, text in sorted(parts.items()))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _described(value: Any, parts: dict[str, str]) -> str:
    """Describe a value without memory addresses; the source of functions and classes goes into `parts`."""
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_described(item, parts)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(_described(item, parts) for item in value)}]"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(_described(item, parts) for item in value))}}}"
    if isinstance(value, functools.partial):
        return f"partial({_described([value.func, value.args, value.keywords], parts)})"
    if isinstance(value, types.MethodType):
        return _described(value.__func__, parts)
    if isinstance(value, types.FunctionType | type) or hasattr(value, "__wrapped__"):
        return _source(inspect.unwrap(value), parts)
    if isinstance(value, np.ndarray | jax.Array):
        array = np.asarray(value)
        return f"{array.shape} {array.dtype} {hashlib.sha256(array.tobytes()).hexdigest()}"
    if dataclasses.is_dataclass(value):
        fields = [_described(getattr(value, field.name), parts) for field in dataclasses.fields(value)]
        return f"{_source(type(value), parts)}({', '.join(fields)})"
    return type(value).__qualname__


def _source(value: Any, parts: dict[str, str]) -> str:
    """Put the source of a function or class, and of all that it reaches, into `parts`; return its name."""
    name = f"{value.__module__}.{value.__qualname__}"
    if not name.startswith((*PACKAGES, "__main__.")):
        return name
    if "<" in name:  # lambdas and inner functions share names: their source and their closure's values tell them apart
        cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
        values = [_described(item, parts) for item in cells if not isinstance(item, types.FunctionType)]
        name += hashlib.sha256(f"{_text(value)}{values}".encode()).hexdigest()[:8]
    if name in parts:
        return name
    parts[name] = ""  # set before recursing, since functions may call each other
    with_constants = [_text(value)]
    for function in _functions(value):
        for code in _codes(function.__code__):
            with_constants += [f"{other} = {_described(item, parts)}" for other, item in _referred(code, function)]
    parts[name] = "\n".join(with_constants)
    return name


def _text(value: Any) -> str:
    """Source of a function or class; of a class without decorators, which Python 3.13 loses under import hooks."""
    text = inspect.getsource(value)
    start = re.search(r"^\s*class ", text, re.MULTILINE) if isinstance(value, type) else None
    return text[start.start() :] if start else text


def _functions(value: Any) -> Iterator[types.FunctionType]:
    """Yield a function, or the methods of a class and of its bases."""
    if isinstance(value, types.FunctionType):
        yield value
        return
    for base in inspect.getmro(value):
        if base.__module__.startswith(PACKAGES):
            for member in vars(base).values():
                plain = getattr(member, "__func__", getattr(member, "fget", getattr(member, "func", member)))
                plain = inspect.unwrap(plain)
                written = isinstance(plain, types.FunctionType) and not plain.__code__.co_filename.startswith("<")
                if written and plain.__module__.startswith(PACKAGES):  # not generated, as by `dataclass`
                    yield plain


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _referred(code: types.CodeType, function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield by name the globals that a code object reads, attributes of modules, and the contents of closures."""
    for name in sorted(set(code.co_names) & set(function.__globals__)):
        value = function.__globals__[name]
        if not isinstance(value, types.ModuleType):
            yield name, value
        elif value.__name__.startswith(PACKAGES):
            for other in sorted(set(code.co_names)):
                if hasattr(value, other):
                    yield f"{name}.{other}", getattr(value, other)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield name, cell.cell_contents
