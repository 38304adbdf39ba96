"""Short summaries of a result, as text and as an HTML table for notebooks."""

import dataclasses
import html
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.training.early_stopping import VALIDATION_LOSS, best_loss, step_range
from jaxgen.types import PyTree, State

if TYPE_CHECKING:
    from jaxgen.training.result import Result

__all__ = ["as_html", "as_text", "num_parameters"]

LONGEST = 60  # characters of one entry


def as_text(result: "Result[Any]") -> str:
    """Return one line: method, data, seeds, steps, parameters and last loss."""
    return f"Result({', '.join(f'{name}={value}' for name, value in _entries(result).items())})"


def as_html(result: "Result[Any]") -> str:
    """Return the same entries as a table with one row for each."""
    rows = (f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in _entries(result).items())
    return f"<table>{''.join(rows)}</table>"


def _entries(result: "Result[Any]") -> dict[str, str]:
    config = result.config
    entries = {
        "method": type(config.method).__name__,
        "data": _data(config.data, result.row_specs),
        "seeds": str(config.num_seeds),
        "steps": str(result.steps) if result.steps == config.steps else f"{result.steps} of {config.steps}",
        **({} if result.best_step is None else {"best_step": step_range(result.best_step)}),
        "parameters": f"{num_parameters(result.state) // config.num_seeds:,} per seed",
    }
    if result.steps and "loss" in result.history:
        entries["last_loss"] = f"{np.mean(_last(result.history['loss'])):.4g}"
    if result.best_step is not None:
        entries[VALIDATION_LOSS] = f"{np.mean(best_loss(result.history[VALIDATION_LOSS])):.4g}"
    return entries


def _last(metric: np.ndarray) -> np.ndarray:
    """Return the last number of each seed before it stopped, `[seeds]`."""
    last = metric.shape[1] - 1 - np.argmax(np.isfinite(metric[:, ::-1]), 1)
    return np.take_along_axis(metric, last[:, None], 1)[:, 0]


def _data(data: Any, rows: tuple[PyTree, ...]) -> str:
    """Return the `repr` of a dataset with a few plain fields, else its type and the shapes of its rows."""
    fields = dataclasses.fields(data) if dataclasses.is_dataclass(data) else ()
    plain = all(isinstance(getattr(data, field.name), bool | int | float | str | None) for field in fields)
    if fields and plain and len(repr(data)) <= LONGEST:
        return repr(data)
    specs = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(rows)]
    return _cut(f"{type(data).__name__} of rows {', '.join(specs)}")


def num_parameters(state: State) -> int:
    """Count the numbers in all fields `params` of a state, or all floating-point numbers if there is none."""
    has_params = lambda node: hasattr(node, "params")
    trained = [node.params for node in jax.tree.leaves(state, is_leaf=has_params) if has_params(node)]
    return sum(leaf.size for leaf in jax.tree.leaves(trained or state) if jnp.issubdtype(leaf.dtype, jnp.inexact))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
