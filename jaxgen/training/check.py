"""Check of a trained model against rows that it was not trained on."""

import numbers
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from jaxgen import losses, metrics
from jaxgen.data.batches import to_float
from jaxgen.nets.compute_dtype import computing_in
from jaxgen.training.advice import scale_advice
from jaxgen.training.check_report import CheckReport, Distances
from jaxgen.training.result import Result
from jaxgen.types import PyTree

__all__ = ["check"]

SMALLEST = 40  # rows: two halves of 20
LARGEST = 2_000  # rows compared: the cost of the tests grows with their square
QUANTILE = 0.99  # distances beyond this quantile of the data's own are far


def check(
    result: Result[Any],
    rows: PyTree,
    *,
    samples: ArrayLike | None = None,
    level: float = 0.01,
    num_permutations: int = 999,
    seed: int = 0,
) -> CheckReport:
    """Compare samples of a trained model with rows that it was not trained on.

    The rows are split into two halves. The second half shows what a right model would reach: each measure compares
    samples with the first half, as it compares the second half with the first. At most 2,000 rows are used. All
    distances are Euclidean, so columns should have comparable scales.

    A seed is rejected if one of three p-values is at most `level / 3`: those of the samples off the data, of the data
    not reached, and of the two-sample test. Each p-value is valid for independent samples, so a model with the data's
    distribution is rejected with a probability of at most `level`.

    Args:
        result: the trained models, one per seed; the method must have `sample`, or `samples` be set.
        rows: rows `[n, ...]` that were not trained on, n >= 40; a few hundred or more are needed to find small errors.
        samples: samples `[seeds, m, ...]` of each model, m >= n; None draws them. Set them for methods without
            `sample`, such as `methods.MMDMap`.
        level: largest probability of rejecting a right model, for each seed.
        num_permutations: number of permutations of the two-sample test, at least `3 / level - 1`.
        seed: random seed of samples, halves and permutations.

    Returns:
        The report. `print(report)` shows a table, and `report.plot(path)` draws a figure.

    Raises:
        TypeError: if `result` is not a result, the method has no `sample` and there are no `samples`, or rows are not a
            single array.
        ValueError: if there are too few rows, samples or permutations, the shapes differ, or a number is not finite.

    Warns:
        UserWarning: with one sentence that says what to change, if a seed is rejected.
    """
    if not isinstance(result, Result):
        raise TypeError(f"`result` must be the Result of a training (got {type(result).__name__}); use jaxgen.train.")
    x = _checked(rows, level, num_permutations)
    order = np.random.default_rng(seed).permutation(len(x))[:LARGEST]
    half = len(order) // 2
    reference, data = x[order[:half]], x[order[half : 2 * half]]
    drawn = _samples(result, samples, x.shape[1:], half, seed)
    flat = lambda part: np.asarray(part, np.float64).reshape(*part.shape[: part.ndim - x.ndim + 1], -1)
    reference, data, drawn = flat(reference), flat(data), flat(drawn)
    first, second = drawn[:, :half], drawn[:, half:]

    own, back = _distances(data, reference), _distances(reference, data)
    off = [_distances(part, reference) for part in first]
    to_samples = [_distances(reference, part) for part in first]
    among_samples = [_distances(b, a) for a, b in zip(first, second, strict=True)]
    far = lambda distances, own: float(np.mean(distances > np.quantile(own, QUANTILE)))
    tests = [metrics.permutation_test(part, data, num_permutations=num_permutations, seed=seed) for part in first]
    report = CheckReport(
        num_rows=half,
        level=level,
        off_data=np.array([far(distances, own) for distances in off]),
        missed=np.array([far(distances, back) for distances in to_samples]),
        sliced_wasserstein=np.array([metrics.sliced_wasserstein(part, reference, seed=seed) for part in first]),
        floor=metrics.sliced_wasserstein(data, reference, seed=seed),
        log_likelihood=_log_likelihood(result, x[order]),
        p_off_data=np.array([_p_value(distances, own) for distances in off]),
        p_missed=np.array([_p_value(*both) for both in zip(to_samples, among_samples, strict=True)]),
        p_two_sample=np.array([test.p_value for test in tests]),
        remedy=_remedy(result, x),
        distances=Distances(own, np.stack(off), back, np.stack(to_samples)),
        points=_projected(data, first),
    )
    if report.advice:
        warnings.warn(report.advice, stacklevel=2)
    return report


def _checked(rows: Any, level: float, num_permutations: int) -> np.ndarray:
    """Return rows as floating-point numbers, after checks of all arguments but the samples."""
    if hasattr(rows, "tables"):
        raise TypeError(f"`rows` must be an array (got {type(rows).__name__}); pass one of its tables, `tables()[0]`.")
    if isinstance(rows, tuple | list) and len({np.shape(part) for part in rows}) > 1:
        raise TypeError(f"`rows` must be one array (got {len(rows)} of different shapes); give the rows alone.")
    if np.asarray(rows).dtype.kind not in "fiub":
        raise TypeError(f"`rows` must be numbers (got dtype {np.asarray(rows).dtype}); encode other columns first.")
    x = np.asarray(to_float(jnp.asarray(rows)))
    if x.ndim < 2 or len(x) < SMALLEST:
        raise ValueError(f"`rows` must have the shape [n, ...] with n >= {SMALLEST} (got {x.shape}); hold more out.")
    if not np.isfinite(x).all():
        raise ValueError("all numbers of `rows` must be finite (some are not); drop such rows.")
    if not isinstance(level, numbers.Real) or not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1 (got {level!r}); try level=0.01.")
    if (num_permutations + 1) * level < 3 * (1 - 1e-9):
        least = int(np.ceil(3 / level)) - 1
        raise ValueError(
            f"`num_permutations` must be at least 3 / level - 1 = {least}, or no p-value of the two-sample test can "
            f"reach level / 3 (got {num_permutations}); try num_permutations={least}."
        )
    return x


def _samples(result: Result[Any], samples: Any, shape: tuple[int, ...], half: int, seed: int) -> np.ndarray:
    """Return samples `[seeds, 2 half, ...]` of every seed, checked."""
    seeds = result.config.num_seeds
    if samples is None:
        # Methods that resample candidates repeat fewer of them if more samples are drawn than used.
        samples = result.sample(jax.random.key(seed), 8 * half)
        if (trained := np.shape(samples)[2:]) != shape:
            raise ValueError(_another_shape(trained, shape))
    drawn = np.asarray(samples)
    if drawn.shape[0] != seeds or drawn.shape[2:] != shape or drawn.shape[1] < 2 * half:
        raise ValueError(
            f"`samples` must have the shape [{seeds}, m, {', '.join(map(str, shape))}] with m >= {2 * half} (got "
            f"{drawn.shape}); give rows and samples of the same shape."
        )
    drawn = drawn[:, : 2 * half]
    if not np.isfinite(drawn).all():
        seed_of_bad = int(np.argmin(np.isfinite(drawn).reshape(seeds, -1).all(1)))
        raise ValueError(
            f"all samples must be finite (some of seed {seed_of_bad} are not); train again with a lower learning rate."
        )
    return drawn


def _another_shape(trained: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Return the message for rows of another shape than the model's samples."""
    if len(trained) == len(shape) == 1:
        return f"`rows` must have {trained[0]} columns, as in training (got {shape[0]}); give the same columns."
    expected, got = (", ".join(["n", *map(str, part)]) for part in (trained, shape))
    return f"`rows` must have the shape [{expected}], as in training (got [{got}]); prepare them in the same way."


def _distances(x: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Return the distance of each row of `x` to its nearest row in `pool`, `[n]`."""
    return np.sqrt(np.asarray(_nearest(jnp.asarray(x, jnp.float32), jnp.asarray(pool, jnp.float32))[1]))


_nearest = jax.jit(losses.nearest)


def _p_value(distances: np.ndarray, own: np.ndarray, quantile: float = QUANTILE) -> float:
    """Return the p-value of the number of distances beyond the quantile of `own`.

    If all distances are exchangeable, the pooled distances stand in a random order. The number of `distances` above the
    (k + 1)-th largest of `own` then has a negative hypergeometric distribution. Ties make the test conservative.
    """
    k = int((1 - quantile) * len(own) + 1e-9)
    beyond = int(np.sum(distances > np.sort(own)[len(own) - 1 - k]))
    # At least this number lie above: among the `beyond + k` largest of the pool, at most k belong to `own`.
    return float(stats.hypergeom.cdf(k, len(own) + len(distances), len(own), beyond + k))


def _log_likelihood(result: Result[Any], rows: np.ndarray) -> np.ndarray | None:
    """Return the mean log-density of the rows for each seed, in nats, or None if the method has no density."""
    method = result.config.method
    if not hasattr(method, "log_prob"):
        return None
    density = computing_in(result.config.layout.compute_dtype)(method.log_prob)
    log_prob = jax.jit(lambda state, x: jnp.mean(density(state, x)))
    return np.array([float(log_prob(result.state_of(i), jnp.asarray(rows))) for i in range(result.config.num_seeds)])


def _remedy(result: Result[Any], rows: np.ndarray) -> str:
    """Return what to change if the model is rejected, which was compared with `rows`."""
    config = result.config
    if result.steps < config.steps and not result.stopped_early.all():
        return f"finish the run, which has done {result.steps} of {config.steps} steps"
    if advice := scale_advice(config.method, (rows,)):
        return advice
    loss = result.history.get("loss")
    part = result.steps // 10
    if loss is not None and part >= 10:
        last, before = loss[:, -part:].astype(np.float64), loss[:, -2 * part : -part].astype(np.float64)
        error = np.sqrt((last.var(1) + before.var(1)) / part)
        if np.any(before.mean(1) - last.mean(1) > 3 * error):
            return f"the loss was still falling at the end, so train longer, such as steps={2 * config.steps}"
    if isinstance(rate := getattr(config.method, "learning_rate", None), int | float):
        return f"let the learning rate fall, learning_rate=optim.Cosine({rate}), or train longer"
    return f"use a larger network, train longer than {config.steps} steps, or give more data"


def _projected(data: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return data `[n, 2]` and samples `[seeds, n, 2]` on the data's two principal axes, for the figure."""
    center = data.mean(0)
    axes = np.linalg.svd(data - center, full_matrices=False)[2][:2].T
    if data.shape[1] <= 2:
        axes, center = np.eye(data.shape[1]), np.zeros(data.shape[1])
    wide = lambda points: np.concatenate([points, np.zeros_like(points)], -1)[..., :2]  # one column gets a second of 0
    return wide((data - center) @ axes), wide((samples - center) @ axes)
