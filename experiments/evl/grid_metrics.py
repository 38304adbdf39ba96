"""Generative models scored as the extreme value paper scores them: by counts on a grid of cells."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import cache, report, training
from jaxgen import metrics, samplers
from jaxgen.serialization.config_json import to_json

__all__ = [
    "DIVERGENCES",
    "GRID",
    "RESIDUAL",
    "SECONDS",
    "Counted",
    "bare",
    "count_draws",
    "drawn",
    "reject",
    "score",
    "some",
    "trained",
    "weigh",
    "widened",
]

DIVERGENCES = [
    report.Column("kl", "KL, nats"),
    report.Column("fisher", "Fisher, rad"),
    report.Column("off", "mass off support", 4),
]
SECONDS = report.Column("seconds", "seconds", 0)
GRID = metrics.Grid()
BLOCKS, BLOCK = 4, 100_000  # the released code weighs 4 blocks of 100,000 guesses, each normalised by itself
RESIDUAL = 500  # last steps over which the distance to the nearest guess is averaged
LOOKS = 10  # along the training, about
POINTS = 10_000  # kept to be drawn


@dataclasses.dataclass(frozen=True)
class Counted:
    """What was made of a model's draws.

    Attributes:
        shares: of the cells.
        points: some draws.
        share: of the draws that counted: of the effective sample size, or of those kept.
    """

    shares: metrics.Histogram
    points: np.ndarray
    share: float


def weigh(method: Any, state: Any) -> Counted:
    """Count an extreme value network's guesses by their weights, as the released code does."""
    weighted_samples = _finite(method)
    blocks = [weighted_samples(jax.random.key(block), state, BLOCK) for block in range(BLOCKS)]
    counts = [
        GRID(made.samples, np.exp(np.asarray(made.log_weights, float) - np.max(made.log_weights))) for made in blocks
    ]
    share = np.mean([float(_effective(made.log_weights)) / BLOCK for made in blocks])
    picked = _resample(jax.random.key(BLOCKS), blocks[0].log_weights, POINTS)
    return Counted(np.mean(counts, 0), np.asarray(blocks[0].samples[picked]), float(share))


def reject(method: Any, state: Any) -> Counted:
    """Count as many guesses that rejection sampling kept, as the paper describes."""
    weighted_samples = _finite(method)
    kept: list[np.ndarray] = []
    made = 0
    while sum(map(len, kept)) < BLOCKS * BLOCK:
        key_guess, key_keep = jax.random.split(jax.random.key(1000 + made))
        found = weighted_samples(key_guess, state, BLOCK)
        kept.append(np.asarray(found.samples)[np.asarray(samplers.reject(key_keep, found.log_weights))])
        made += 1
    points = np.concatenate(kept)
    return Counted(GRID(points[: BLOCKS * BLOCK]), points[:POINTS], len(points) / (made * BLOCK))


@functools.partial(jax.jit, static_argnums=(0, 3))
def _guess(method: Any, key: Any, state: Any, count: int) -> Any:
    """Compiled once for equal methods, however often a training is evaluated."""
    return method.weighted_samples(key, state, count)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _sample(method: Any, key: Any, state: Any, count: int) -> Any:
    return method.sample(key, state, count)


# Operation by operation they take a second longer to compile.
_resample = jax.jit(samplers.resample, static_argnums=2)
_effective = jax.jit(samplers.effective_sample_size)


def _finite(method: Any) -> Callable[[Any, Any, int], Any]:
    """Return the method's compiled `weighted_samples`, which raises if a weight is not finite: samplers then draw
    nonsense.
    """

    def checked(key: Any, state: Any, count: int) -> Any:
        # NumPy arrays always: JAX compiles again for arrays that are committed to a device, as a finished run's are.
        found = _guess(method, key, jax.tree.map(np.asarray, state), count)
        if not np.isfinite(found.log_weights).all():
            raise FloatingPointError(f"of {count} guesses some have a weight that is not finite; look at the training.")
        return found

    return checked


def bare(method: Any, state: Any) -> Counted:
    """Count the guesses without the bandwidth."""
    return weigh(dataclasses.replace(method, bandwidth=0.0), state)


def widened(result: jaxgen.Result) -> Any:
    """Return the method with the one bandwidth for which its guesses account for the residual.

    A guess stands for a Gaussian as wide, in every coordinate, as the root mean square distance, per coordinate, at
    which the training points found their nearest guess.
    """
    residual = np.sqrt(result.history["distance"][0, -RESIDUAL:].mean())
    method: Any = result.config.method
    return dataclasses.replace(method, bandwidth=float(residual))


def count_draws(method: Any, state: Any) -> Counted:
    """Count the draws of a model whose draws weigh alike."""
    state = jax.tree.map(np.asarray, state)
    points = np.concatenate(
        [np.asarray(_sample(method, jax.random.key(block), state, BLOCK)) for block in range(BLOCKS)]
    )
    return Counted(GRID(points), points[:POINTS], 1.0)


def score(test: metrics.Histogram, model: metrics.Histogram) -> dict[str, float]:
    """Return the measures of one model."""
    return {
        "kl": metrics.kl_divergence(test, model),
        "fisher": metrics.fisher_distance(test, model),
        "off": metrics.mass_off_support(test, model),
    }


def some(points: np.ndarray) -> list[list[float]]:
    """Return a few of the points, rounded, as they are kept to be drawn."""
    chosen = np.random.default_rng(0).permutation(len(points))[:POINTS]  # scikit-learn's draws come sorted
    return np.round(points[chosen], 2).tolist()


def drawn(
    runs: pathlib.Path, name: str, toy: Any, draw: Callable[[Any], np.ndarray], **settings: Any
) -> dict[str, Any]:
    """Score a model that needs no training by steps, remembered in `runs`.

    Args:
        runs: where cells are kept.
        name: of the cell.
        toy: the data, with `test()`.
        draw: makes the model's points of the data.
        **settings: what it depends on beside them.

    Returns:
        The measures, seconds and some points.
    """

    def compute() -> dict[str, Any]:
        begun = time.perf_counter()
        points = draw(toy)
        seconds = time.perf_counter() - begun
        return {**score(GRID(toy.test()), GRID(points)), "seconds": seconds, "points": some(points)}

    identity = {"row": name, "data": to_json(toy), "grid": to_json(GRID), **settings}
    return cache.remembered(cache.place(runs, name, identity).with_suffix(".json"), identity, compute)


def trained(
    runs: pathlib.Path,
    name: str,
    config: jaxgen.Config,
    *,
    count: Callable[[Any, Any], Counted] = weigh,
    others: dict[str, Callable[[Any, Any], Counted]] | None = None,
    fit: Callable[[jaxgen.Result], Any] = lambda result: result.config.method,
    train: bool = True,
    evaluations: int = LOOKS,
    **settings: Any,
) -> dict[str, Any]:
    """Train a model, score it, and score it along its training; remembered in `runs`, and resumed there.

    Args:
        runs: where cells and checkpoints are kept.
        name: of the cell.
        config: what is trained, on data with `test()`.
        count: how its draws are counted.
        others: other ways to count them, whose measures are kept under `NAME_kl` and so on.
        fit: makes the method that is counted of what was trained.
        train: whether to train it; else it is scored as it was drawn.
        evaluations: points of the curve along the training, about.
        **settings: what `fit` and the ways to count depend on beside the config.

    Returns:
        The measures, `curve` along the training, seconds and some points.
    """
    ways = {"count": count, "fit": fit, **(others or {})}
    identity = {
        "config": to_json(config),
        "grid": to_json(GRID),
        "train": train,
        "blocks": [BLOCKS, BLOCK],
        "ways": {key: way.__name__ for key, way in ways.items()},
        **settings,
    }
    place = cache.place(runs, name, identity)

    def compute() -> dict[str, Any]:
        test = GRID(config.data.test())  # type: ignore[attr-defined]
        method: Any
        if train:
            spacing = config.steps_per_call * max(1, config.steps // config.steps_per_call // evaluations)
            run = training.followed(
                config,
                range(spacing, config.steps, spacing),
                lambda result: score(test, count(fit(result), result.state_of(0)).shares),
                checkpoint_dir=cache.place(runs, name, {"config": to_json(config)}),  # however it is counted
                kept=place.with_suffix(".curve"),
            )
            method, state = fit(run.result), run.result.state_of(0)
        else:
            method, state = training.untrained(config)
        found = count(method, state)
        final = score(test, found.shares)
        cell: dict[str, Any] = {**final, "ess": found.share, "points": some(found.points)}
        for other, way in (others or {}).items():
            also = way(method, state)
            cell |= {f"{other}_{k}": v for k, v in {**score(test, also.shares), "share": also.share}.items()}
        if train:
            cell |= {} if run.seconds is None else {"seconds": run.seconds}
            cell |= {"curve": [*run.curve, {"step": config.steps, **final}]}
        return cell

    return cache.remembered(place.with_suffix(".json"), identity, compute)
