"""Grid scores of the extreme value paper: divergences between cell counts of test points and of samples."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import jaxgen
from experiments.common import report, training
from experiments.common.source import source_digest
from jaxgen import metrics, samplers

DIVERGENCES = [
    report.Column("kl", "KL, nats"),
    report.Column("fisher", "Fisher, rad"),
    report.Column("off", "mass off support", 4),
]
SECONDS = report.Column("seconds", "seconds", 0)
GRID = metrics.Grid()
BLOCKS, BLOCK = 4, 100_000  # the released code weighs 4 blocks of 100,000 guesses, each normalized by itself
RESIDUAL = 500  # last steps over which the distance to the nearest guess is averaged
EVALUATIONS = 10  # along the training, about
POINTS = 10_000  # kept for the figures


@dataclasses.dataclass(frozen=True)
class Counted:
    """Counts of a model's samples."""

    shares: metrics.Histogram  # of the cells
    points: np.ndarray  # some samples
    share: float  # effective sample size, or number of samples that rejection kept, divided by the number of samples


def weigh(result: jaxgen.Result) -> Counted:
    """Count an extreme value network's guesses by their weights, as the released code does."""
    blocks = [_guesses(result, jax.random.key(block)) for block in range(BLOCKS)]
    counts = [
        GRID(block.samples, np.exp(np.asarray(block.log_weights, float) - np.max(block.log_weights)))
        for block in blocks
    ]
    share = np.mean([float(_effective(block.log_weights)) / BLOCK for block in blocks])
    picked = _resample(jax.random.key(BLOCKS), blocks[0].log_weights, POINTS)
    return Counted(np.mean(counts, 0), np.asarray(blocks[0].samples[picked]), float(share))


def reject(result: jaxgen.Result) -> Counted:
    """Count the guesses that rejection sampling keeps, as the paper describes; their number is that of `weigh`."""
    kept: list[np.ndarray] = []
    rounds = 0
    while sum(map(len, kept)) < BLOCKS * BLOCK:
        key_guess, key_keep = jax.random.split(jax.random.key(1000 + rounds))
        guesses = _guesses(result, key_guess)
        kept.append(np.asarray(guesses.samples)[np.asarray(samplers.reject(key_keep, guesses.log_weights))])
        rounds += 1
    points = np.concatenate(kept)
    return Counted(GRID(points[: BLOCKS * BLOCK]), points[:POINTS], len(points) / (rounds * BLOCK))


def bare(result: jaxgen.Result) -> Counted:
    """Count the guesses without the bandwidth."""
    return weigh(_with_bandwidth(result, 0.0))


def count_samples(result: jaxgen.Result) -> Counted:
    """Count the samples of a model without weights."""
    points = result.sample(jax.random.key(0), BLOCKS * BLOCK, batch_size=BLOCK)[0]
    return Counted(GRID(points), points[:POINTS], 1.0)


@functools.partial(jax.jit, static_argnums=(0, 3))
def _weighted_samples(method: Any, key: Any, state: Any, count: int) -> Any:
    """Sample with weights; compiled once for equal methods, however often a training is evaluated."""
    return method.weighted_samples(key, state, count)


# Operation by operation they take a second longer to compile.
_resample = jax.jit(samplers.resample, static_argnums=2)
_effective = jax.jit(samplers.effective_sample_size)


def _guesses(result: jaxgen.Result, key: Any) -> Any:
    """Sample a block with weights, and raise if one is not finite."""
    # NumPy arrays always: JAX compiles again for arrays that are committed to a device, as a finished run's are.
    state = jax.tree.map(np.asarray, result.state_of(0))
    guesses = _weighted_samples(result.config.method, key, state, BLOCK)
    if wrong := int((~np.isfinite(guesses.log_weights)).sum()):
        raise FloatingPointError(
            f"log-weights must be finite (got {wrong} of {BLOCK} that are not); see whether training diverged."
        )
    return guesses


def as_trained(result: jaxgen.Result) -> jaxgen.Result:
    """Return the result as it is."""
    return result


def widened(result: jaxgen.Result) -> jaxgen.Result:
    """Return the result with the bandwidth that accounts for the residual.

    The bandwidth is the root mean square distance, per coordinate, from a training point to its nearest guess.
    """
    return _with_bandwidth(result, float(np.sqrt(result.history["distance"][0, -RESIDUAL:].mean())))


def _with_bandwidth(result: jaxgen.Result, bandwidth: float) -> jaxgen.Result:
    method = dataclasses.replace(result.config.method, bandwidth=bandwidth)
    return dataclasses.replace(result, config=dataclasses.replace(result.config, method=method))


def score(test: metrics.Histogram, model: metrics.Histogram) -> dict[str, float]:
    """Return the measures of one model's histogram."""
    return {
        "kl": metrics.kl_divergence(test, model),
        "fisher": metrics.fisher_distance(test, model),
        "off": metrics.mass_off_support(test, model),
    }


def some(points: np.ndarray) -> list[list[float]]:
    """Return some of the points, rounded, for a figure."""
    chosen = np.random.default_rng(0).permutation(len(points))[:POINTS]  # scikit-learn's samples come sorted
    return np.round(points[chosen], 2).tolist()


def measured_points(toy: Any, sample: Callable[[Any], np.ndarray], directory: pathlib.Path) -> dict[str, Any]:
    """Score `sample(toy)`, a model that needs no training by steps; the data have `test()`."""
    begun = time.perf_counter()
    points = sample(toy)
    seconds = time.perf_counter() - begun
    return {**score(GRID(toy.test()), GRID(points)), "seconds": seconds, "points": some(points)}


def measured(
    config: jaxgen.Config,
    directory: pathlib.Path,
    *,
    count: Callable[[jaxgen.Result], Counted] = weigh,
    others: Mapping[str, Callable[[jaxgen.Result], Counted]] = {},
    fit: Callable[[jaxgen.Result], jaxgen.Result] = as_trained,
    train: bool = True,
    evaluations: int = EVALUATIONS,
) -> dict[str, Any]:
    """Train a model, score it, and score it along its training.

    Args:
        config: what is trained, on data with `test()`.
        directory: of checkpoints; evaluations are kept next to it, in a file that depends on how samples are counted.
        count: counts the samples.
        others: other ways to count them, whose measures are named `NAME_kl` and so on.
        fit: maps the result to the one whose samples are counted.
        train: whether to train it; else its initial values are scored.
        evaluations: points of the curve along the training, about.

    Returns:
        The measures, `curve` along the training, seconds and some points.
    """
    test = GRID(config.data.test())  # type: ignore[attr-defined]
    if train:
        spacing = config.steps_per_call * max(1, config.steps // config.steps_per_call // evaluations)
        way = functools.partial(tuple, [count, fit, score, BLOCK, BLOCKS, GRID, spacing])  # not called: only digested
        run = training.train_and_evaluate(
            config,
            range(spacing, config.steps, spacing),
            lambda result: score(test, count(fit(result)).shares),
            checkpoint_dir=directory,
            curve_file=directory.with_name(f"{directory.name}-{source_digest(way)}.curve"),
        )
        result, cell = fit(run.result), dict[str, Any](run.times)
    else:
        result, cell = jaxgen.untrained(config), {}
    counted = count(result)
    final = score(test, counted.shares)
    cell |= {**final, "ess": counted.share, "points": some(counted.points)}
    for other, count_other in others.items():
        also = count_other(result)
        cell |= {f"{other}_{k}": v for k, v in {**score(test, also.shares), "share": also.share}.items()}
    return {**cell, "curve": [*run.curve, {"step": config.steps, **final}]} if train else cell
