"""Diagnostics of Markov chains: whether they agree, and how many independent draws they are worth.

All take draws `[chains, draws, ...]`, as `samplers.Chains.draw` returns them, and judge each number of a draw by
itself. Chains are cut in halves and compared by the normal scores of their ranks, so that a drift is seen as a
disagreement and heavy tails do no harm.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtri

__all__ = ["acceptance", "bulk_ess", "split_rhat", "tail_ess", "to_arviz"]

Judged = Float[np.ndarray, "..."]

_FEWEST_DRAWS = 4  # of a chain; fewer tell nothing


def acceptance(probabilities: ArrayLike) -> Float[np.ndarray, " chains"]:
    """Average the acceptance probabilities of each chain; one that is stuck shows as a zero.

    Args:
        probabilities: `MALAInfo.acceptance`, `[chains, draws]`.

    Returns:
        Means `[chains]`.

    Raises:
        ValueError: if they are no probabilities.
    """
    found = np.asarray(probabilities, np.float64)
    if found.ndim != 2 or found.size == 0 or not ((found >= 0) & (found <= 1)).all():
        raise ValueError(f"acceptance got an array of shape {found.shape}; give probabilities [chains, draws].")
    return found.mean(1)


def split_rhat(draws: ArrayLike) -> Judged:
    """Compare the spread between chains with that within them: 1 where they agree, above 1.01 not yet.

    The larger of two: of the ranks, which sees a difference of place, and of the ranks of the distance from the median,
    which sees one of scale.

    Args:
        draws: `[chains, draws, ...]`.

    Returns:
        R-hat of each number, `[...]`; NaN for fewer than two chains or four draws, for a number that is constant, and
        where a draw is not finite.

    Raises:
        ValueError: if `draws` has no axes of chains and draws.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner, Rank-normalization, folding, and localization: an improved
        R-hat for assessing convergence of MCMC (2021), section 4.
    """

    def statistic(x: np.ndarray) -> np.ndarray:
        halves = _halves(x)
        folded = np.abs(halves - np.median(halves, (0, 1)))
        return np.maximum(_rhat(_scores(halves)), _rhat(_scores(folded)))

    return _judged(statistic, draws, fewest_chains=2)


def bulk_ess(draws: ArrayLike) -> Judged:
    """Count the independent draws that chains are worth for the middle of the law, such as its mean or median.

    Args:
        draws: `[chains, draws, ...]`.

    Returns:
        Effective draws of each number, `[...]`; NaN for fewer than four draws and where a draw is not finite, and all
        draws for a number that is constant.

    Raises:
        ValueError: if `draws` has no axes of chains and draws.

    References:
        Vehtari et al. (2021), section 4; for where the sum over lags ends, Geyer, Practical Markov chain Monte Carlo
        (1992).
    """
    return _judged(lambda x: _ess(_scores(_halves(x))), draws)


def tail_ess(draws: ArrayLike) -> Judged:
    """Count the independent draws that chains are worth for the tails of the law: the fewer of both 5 % quantiles.

    Args:
        draws: `[chains, draws, ...]`.

    Returns:
        Effective draws of each number, `[...]`; NaN and constants as in `bulk_ess`.

    Raises:
        ValueError: if `draws` has no axes of chains and draws.

    References:
        Vehtari et al. (2021), section 4.
    """

    def statistic(x: np.ndarray) -> np.ndarray:
        lost = np.where(np.isfinite(x), 0.0, np.nan)  # what is not finite stays so when it is compared
        low, high = (_ess(_halves((x <= np.quantile(x, q, (0, 1))) + lost)) for q in (0.05, 0.95))
        return np.minimum(low, high)

    return _judged(statistic, draws)


def to_arviz(draws: ArrayLike, **reported: ArrayLike) -> Any:
    """Hand chains over to ArviZ.

    Args:
        draws: `[chains, draws, ...]`, there the posterior's variable `x`.
        **reported: what goes along, `[chains, draws]`, such as `acceptance=moves.acceptance`; there `sample_stats`.

    Returns:
        What `arviz.from_dict` makes of them.

    Raises:
        ModuleNotFoundError: if ArviZ is not installed.
    """
    try:
        import arviz
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "to_arviz needs ArviZ; install it: python -m pip install 'jaxgen[arviz]'."
        ) from missing
    statistics = {name: np.asarray(value) for name, value in reported.items()}
    groups = {"posterior": {"x": np.asarray(draws)}, "sample_stats": statistics}
    # ArviZ 1 takes all groups as one argument; the last that runs on Python 3.11 takes each by its name.
    by_name = "posterior" in inspect.signature(arviz.from_dict).parameters
    return arviz.from_dict(**groups) if by_name else arviz.from_dict(groups)


def _judged(statistic: Callable[[np.ndarray], np.ndarray], draws: ArrayLike, fewest_chains: int = 1) -> Judged:
    """Apply `[chains, draws, numbers] -> [numbers]` where there is enough to judge."""
    x = np.asarray(draws, np.float64)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"chains are judged by draws [chains, draws, ...]; got an array of shape {x.shape}: check it.")
    enough = x.shape[0] >= fewest_chains and x.shape[1] >= _FEWEST_DRAWS
    numbers = x.reshape(*x.shape[:2], -1)
    return (statistic(numbers) if enough else np.full(numbers.shape[2], np.nan)).reshape(x.shape[2:])


def _halves(x: np.ndarray) -> np.ndarray:
    """Cut every chain into two, `[2 chains, draws // 2, numbers]`; of an odd number the middle draw is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _scores(x: np.ndarray) -> np.ndarray:
    """Replace numbers by the normal quantiles of their ranks among all chains; what has no rank stays NaN."""
    pooled = x.reshape(-1, x.shape[2])
    ranks = np.empty_like(pooled)
    for number, column in enumerate(pooled.T):
        ordered = np.sort(column)
        # Ties share the mean of their ranks, which are as many as there are below and up to as many as are not above.
        below, reached = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
        ranks[:, number] = (below + 1 + reached) / 2
    ranks[:, ~np.isfinite(pooled).all(0)] = np.nan
    return ndtri((ranks - 3 / 8) / (len(pooled) + 1 / 4)).reshape(x.shape)


def _rhat(x: np.ndarray) -> np.ndarray:
    """Return the root of the pooled variance over that within chains, `[numbers]`."""
    draws = x.shape[1]
    within = x.var(1, ddof=1).mean(0)
    between = draws * x.mean(1).var(0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((between / within + draws - 1) / draws)


def _ess(x: np.ndarray) -> np.ndarray:
    """Return draws over the integrated autocorrelation time, `[numbers]`."""
    chains, draws, _ = x.shape
    total = chains * draws
    covariance = _autocovariance(x).mean(0)  # [draws, numbers]
    within = covariance[0] * draws / (draws - 1)
    pooled = covariance[0] + (x.mean(1).var(0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - (within - covariance) / pooled
    correlation[0] = 1.0
    # Of a reversible chain the sums of an even lag and the next are positive and fall. The sum over lags ends with the
    # last pair before one that is not; of that one the even lag may still count, once.
    reach = max((draws - 3) // 2, 0)
    even = correlation[: 2 * reach + 1 : 2]
    pairs = even + correlation[1 : 2 * reach + 2 : 2]
    with np.errstate(invalid="ignore"):
        end = np.minimum(np.logical_and.accumulate(pairs > 0, 0).sum(0), reach)
    before = np.arange(reach + 1)[:, None] < end
    at_end = lambda lags: np.take_along_axis(lags, end[None], 0)[0]
    rest = np.where((at_end(even) > 0) | (at_end(pairs) >= 0), at_end(even), 0.0)
    time = 2 * np.sum(np.minimum.accumulate(pairs, 0), 0, where=before) + rest - 1
    worth = total / np.maximum(time, 1 / np.log10(total))
    worth[np.ptp(x, (0, 1)) < np.finfo(np.float64).resolution] = total
    worth[np.isnan(x).any((0, 1))] = np.nan
    return worth


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """Return the sum of products of deviations at every lag over the number of draws, `[chains, draws, numbers]`."""
    draws = x.shape[1]
    # As many zeros behind the draws as there are draws, so that the last do not meet the first.
    spectrum = np.fft.rfft(x - x.mean(1, keepdims=True), 2 * draws, 1)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * draws, 1)[:, :draws] / draws
