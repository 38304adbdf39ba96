"""Training config of a detector: its default method, and checks that a method fits the rows and has the score."""

from typing import Any

import jax
import numpy as np

from jaxgen import methods, nets
from jaxgen.data.datasets import Arrays
from jaxgen.optim import Cosine
from jaxgen.parallel import Layout
from jaxgen.training.config import Config, check_method
from jaxgen.validation import check_hashable

__all__ = ["choice", "training_config"]

MAX_STEPS_PER_CALL = 500
DEFAULT = {"steps": 400, "num_seeds": 4, "neighbors": 3}  # for the default method
IMAGES = DEFAULT | {"neighbors": 5}  # for the default method and images
OTHERS = {"steps": 2_000, "num_seeds": 1, "neighbors": 0}  # for the methods of users


def choice(detector: Any, name: str) -> int:
    """Return a parameter, or if it is None, its value for the default method or for another one."""
    value = getattr(detector, name)
    if value is not None:
        return int(value)
    if detector.method is not None:
        return OTHERS[name]
    images = getattr(detector, "image_shape_", None) is not None
    return (IMAGES if images else DEFAULT)[name]


def training_config(detector: Any, rows: np.ndarray, seed: int) -> Config:
    """Return the training config of a detector's parameters, after checking that the method has the score.

    Args:
        detector: an unfitted `Detector`.
        rows: scaled training rows `[n, d]`, or images `[n, h, w, c]` for a method other than the default.
        seed: root seed of the training.

    Returns:
        The config.

    Raises:
        TypeError: if the method is a class or not a training method, has no `scores`, or is not hashable.
        ValueError: if it does not fit the rows, or has no score of that name.
    """
    steps = choice(detector, "steps")
    method = _default_method(len(rows), rows.shape[1], steps) if detector.method is None else detector.method
    if detector.method is None and rows.shape[1] == 1:
        raise ValueError(
            "the default flow needs two columns that vary (got 1 feature(s)); give another method, such as "
            "methods.MEG()."
        )
    if isinstance(method, type):
        raise TypeError(f"`method` is the class {method.__name__}; call it, as {method.__name__}().")
    if not hasattr(method, "scores"):
        raise TypeError(f"`method` must have `scores` (got {type(method).__name__}); give such a method, or None.")
    check_method(method)
    check_hashable(method)
    size = min(detector.batch_size, len(rows))
    size = max(size - size % getattr(method, "n_critic", 1), 1)  # the batch is split over `n_critic` updates
    calls = -(-steps // MAX_STEPS_PER_CALL)
    steps_per_call = -(-steps // calls)
    config = Config(
        method.resolve(jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)),
        Arrays(rows),
        steps=steps_per_call * calls,
        batch_size=size,
        steps_per_call=steps_per_call,
        num_seeds=choice(detector, "num_seeds"),
        seed=seed,
        layout=Layout(devices=1),
    )
    if detector.score_name is not None:
        _check_score(detector.score_name, config, rows[:size])
    return config


def _check_score(name: str, config: Config, rows: np.ndarray) -> None:
    """Raise ValueError if the method has no score of this name."""
    names: list[str] = []
    method: Any = config.method
    jax.eval_shape(lambda key, x: names.extend(method.scores(method.init(key, x), x)), jax.random.key(0), rows)
    if name not in names:
        raise ValueError(f"`score_name` must be a score of {type(method).__name__} (got {name!r}); try one of {names}.")


def _default_method(rows: int, dimensions: int, steps: int) -> methods.Flow:
    """Return the default flow. Without noise, the density of a column of few values would grow without bound."""
    network = nets.dense_flow(dimensions, depth=4, widths=(32,)) if dimensions > 1 else None
    # The second bound is for small tables: Scott's bandwidth grows so slowly with fewer rows that the flow overfits.
    noise = max(0.4 * rows ** (-1 / (dimensions + 4)), 6 / rows**0.5)
    noise = round(noise, 2)  # tables of similar size share programs
    return methods.Flow(network, noise=noise, learning_rate=Cosine(3e-3, steps), ema_decay=0.98)
