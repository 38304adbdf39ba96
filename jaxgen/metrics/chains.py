"""Convergence diagnostics of Markov chains: R-hat, effective sample size, acceptance rates.

All take draws `[chains, draws, ...]`, as `samplers.Chains.draw` returns them, or pytrees of such arrays (dicts, tuples,
named tuples), and treat each number of a draw separately. Each chain is split into halves, so that a drift counts as a
disagreement of chains. Draws are replaced by the normal scores of their ranks, so that heavy tails do no harm.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtri

from jaxgen.types import PyTree

__all__ = ["acceptance_rate", "bulk_ess", "split_rhat", "tail_ess", "to_arviz"]

_MIN_DRAWS = 4  # per chain: each half needs two draws for a variance


def acceptance_rate(probabilities: ArrayLike) -> Float[np.ndarray, " chains"]:
    """Mean acceptance probability of each chain; a stuck chain has 0.

    Args:
        probabilities: `MALAInfo.acceptance`, `[chains, draws]`.

    Returns:
        Means, `[chains]`.

    Raises:
        ValueError: if the numbers are not probabilities, or the shape is another one.
    """
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or p.size == 0 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"acceptance needs numbers between 0 and 1 of shape [chains, draws] (got shape {p.shape}); "
            "give probabilities, such as `MALAInfo.acceptance`."
        )
    return p.mean(1)


def split_rhat(draws: PyTree) -> PyTree:
    """Rank-normalized split R-hat: compares variances between and within chains.

    It is near 1 for converged chains; above 1.01 they have not converged. It is the larger of two values. The R-hat of
    the ranks detects a difference of location. The R-hat of the ranks of the distance from the median detects a
    difference of scale.

    Args:
        draws: `[chains, draws, ...]`, or a pytree of such arrays.

    Returns:
        R-hat of each number, `[...]`, in the structure of the draws. It is NaN for fewer than two chains or four draws,
        for a constant number, and if a draw is not finite.

    Raises:
        ValueError: if `draws` has no axes of chains and draws, or is not numeric.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner, Rank-normalization, folding, and localization: an improved
        R-hat for assessing convergence of MCMC (2021), section 4.
    """

    def statistic(x: np.ndarray) -> np.ndarray:
        halves = _halves(x)
        folded = np.abs(halves - np.median(halves, (0, 1)))
        return np.maximum(_rhat(_scores(halves)), _rhat(_scores(folded)))

    return _per_number(statistic, draws, min_chains=2)


def bulk_ess(draws: PyTree) -> PyTree:
    """Bulk effective sample size, for estimates of the center of the distribution such as its mean.

    Args:
        draws: `[chains, draws, ...]`, or a pytree of such arrays.

    Returns:
        Effective sample size of each number, `[...]`, in the structure of the draws. It is NaN for fewer than four
        draws and if a draw is not finite. For a constant number it is the number of all draws.

    Raises:
        ValueError: if `draws` has no axes of chains and draws, or is not numeric.

    References:
        Vehtari et al. (2021), section 4; for the truncation of the sum over lags, Geyer, Practical Markov chain Monte
        Carlo (1992).
    """
    return _per_number(lambda x: _ess(_scores(_halves(x))), draws)


def tail_ess(draws: PyTree) -> PyTree:
    """Tail effective sample size: the smaller of those for the 5 % and 95 % quantiles.

    Args:
        draws: `[chains, draws, ...]`, or a pytree of such arrays.

    Returns:
        Effective sample size of each number, `[...]`, in the structure of the draws; NaN and constants as in
        `bulk_ess`.

    Raises:
        ValueError: if `draws` has no axes of chains and draws, or is not numeric.

    References:
        Vehtari et al. (2021), section 4.
    """

    def statistic(x: np.ndarray) -> np.ndarray:
        missing = np.where(np.isfinite(x), 0.0, np.nan)  # a comparison alone would turn NaN into False
        low, high = (_ess(_halves((x <= np.quantile(x, q, (0, 1))) + missing)) for q in (0.05, 0.95))
        return np.minimum(low, high)

    return _per_number(statistic, draws)


def to_arviz(
    draws: PyTree,
    *,
    coords: Mapping[str, Any] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    **reported: ArrayLike,
) -> Any:
    """Convert chains to ArviZ.

    Args:
        draws: an array `[chains, draws, ...]`, which becomes the variable `x` of the group `posterior`. Or a pytree of
            such arrays: each leaf is a variable, named by its path, as `scale`, or `layer.kernel` if nested. The
            elements of tuples are named `x0`, `x1`.
        coords: labels of dimensions, by the names of the dimensions, as in ArviZ.
        dims: names of the dimensions of each variable after chains and draws, by the names of the variables.
        **reported: further statistics `[chains, draws]`, such as `acceptance_rate=moves.acceptance`, which become the
            group `sample_stats`.

    Returns:
        The result of `arviz.from_dict`: `InferenceData` in ArviZ 0.23, an `xarray.DataTree` from ArviZ 1 on.

    Raises:
        ModuleNotFoundError: if ArviZ is not installed.
        ValueError: if an array has no axes of chains and draws or is not numeric, the arrays differ in these axes, or
            `dims` names an unknown variable or another number of axes.
    """
    try:
        import arviz
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "to_arviz needs ArviZ, which is not installed; install it with python -m pip install 'jaxgen[arviz]'."
        ) from missing
    leaves = jax.tree_util.tree_flatten_with_path(draws, is_leaf=_is_array_like)[0]
    variables = {_name(path): _numeric(leaf) for path, leaf in leaves}
    shapes = {x.shape[:2] for x in variables.values()}
    if len(variables) != len(leaves) or len(shapes) != 1:
        raise ValueError(
            f"`draws` must be arrays with equal numbers of chains and draws and different names (got "
            f"{ {_name(path): np.shape(leaf) for path, leaf in leaves} }); rename or cut them."
        )
    if unknown := sorted(set(dims or {}) - set(variables)):
        raise ValueError(f"`dims` must name variables of {sorted(variables)} (got {unknown}); correct the names.")
    for name, axes in (dims or {}).items():
        if isinstance(axes, str) or len(axes) != variables[name].ndim - 2:
            raise ValueError(
                f"`dims` must give {name!r} a list of {variables[name].ndim - 2} names, for the axes after chains and "
                f"draws (got {axes!r}); correct the list."
            )
    (shape,) = shapes
    statistics = {name: _widened(value) for name, value in reported.items()}
    if wrong := {name: value.shape for name, value in statistics.items() if value.shape[:2] != shape}:
        raise ValueError(
            f"statistics must be [chains, draws, ...] as the draws (got {wrong}, and {shape} chains and draws)."
        )
    groups = {"posterior": variables, "sample_stats": statistics}
    labels = {"coords": coords, "dims": None if dims is None else {name: list(axes) for name, axes in dims.items()}}
    # ArviZ 1 takes all groups as one argument; the last version for Python 3.11 takes one keyword for each.
    by_name = "posterior" in inspect.signature(arviz.from_dict).parameters
    return arviz.from_dict(**groups, **labels) if by_name else arviz.from_dict(groups, **labels)


def _per_number(statistic: Callable[[np.ndarray], np.ndarray], draws: PyTree, min_chains: int = 1) -> PyTree:
    """Apply a statistic `[chains, draws, numbers] -> [numbers]` to each leaf; NaN for too few chains or draws."""

    def of_leaf(leaf: ArrayLike) -> np.ndarray:
        x = _numeric(leaf).astype(np.float64)
        enough = x.shape[0] >= min_chains and x.shape[1] >= _MIN_DRAWS
        numbers = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
        return (statistic(numbers) if enough else np.full(numbers.shape[2], np.nan)).reshape(x.shape[2:])

    return jax.tree.map(of_leaf, draws, is_leaf=_is_array_like)


def _is_array_like(node: Any) -> bool:
    """Whether a node is an array written as nested lists of numbers; a list of arrays is a pytree."""
    return isinstance(node, list) and all(isinstance(leaf, int | float) for leaf in jax.tree.leaves(node))


def _numeric(leaf: ArrayLike) -> np.ndarray:
    """Return one array of draws, with at least single precision if it is floating-point."""
    x = _widened(leaf)
    if x.ndim < 2 or x.size == 0 or x.dtype.kind not in "fiub":
        raise ValueError(
            f"`draws` must be a non-empty array [chains, draws, ...] of numbers, or a pytree of such arrays (got "
            f"{x.dtype} {x.shape}); for one chain give x[None]."
        )
    return x


def _widened(leaf: ArrayLike) -> np.ndarray:
    """Return an array in a dtype that NumPy's functions know, as they do not know bfloat16."""
    x = np.asarray(leaf)
    return x.astype(np.float32) if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4 else x


def _name(path: tuple[Any, ...]) -> str:
    """Name of a leaf: `scale`, `layer.kernel`, `x0` for the first element of a tuple, `x` for an array alone."""
    entries = [str(getattr(key, "name", getattr(key, "key", f"x{getattr(key, 'idx', '')}"))) for key in path]
    return ".".join(entries) or "x"


def _halves(x: np.ndarray) -> np.ndarray:
    """Split every chain into halves `[2 chains, draws // 2, numbers]`, dropping the middle of an odd number."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _scores(x: np.ndarray) -> np.ndarray:
    """Replace draws by the normal quantiles of their ranks over all chains; NaN if a draw is not finite."""
    pooled = x.reshape(-1, x.shape[2])
    ranks = np.empty_like(pooled)
    for number, column in enumerate(pooled.T):
        ordered = np.sort(column)
        # Ties share the mean of their ranks, which run from `below + 1` to `not_above`.
        below, not_above = (np.searchsorted(ordered, column, side) for side in ("left", "right"))
        ranks[:, number] = (below + 1 + not_above) / 2
    ranks[:, ~np.isfinite(pooled).all(0)] = np.nan
    return ndtri((ranks - 3 / 8) / (len(pooled) + 1 / 4)).reshape(x.shape)


def _rhat(x: np.ndarray) -> np.ndarray:
    """Return the square root of pooled variance over within-chain variance, `[numbers]`."""
    draws = x.shape[1]
    within = x.var(1, ddof=1).mean(0)
    between = draws * x.mean(1).var(0, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((between / within + draws - 1) / draws)


def _ess(x: np.ndarray) -> np.ndarray:
    """Return the number of draws over the integrated autocorrelation time, `[numbers]`."""
    chains, draws, _ = x.shape
    total = chains * draws
    covariance = _autocovariance(x).mean(0)  # [draws, numbers]
    within = covariance[0] * draws / (draws - 1)
    pooled = covariance[0] + (x.mean(1).var(0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1 - (within - covariance) / pooled
    correlation[0] = 1.0
    # For a reversible chain the sums of an even lag and the next one are positive and decreasing (Geyer). The sum over
    # lags stops before the first pair that is not positive; the even lag of that pair may still count, once.
    reach = max((draws - 3) // 2, 0)
    even = correlation[: 2 * reach + 1 : 2]
    pairs = even + correlation[1 : 2 * reach + 2 : 2]
    with np.errstate(invalid="ignore"):
        end = np.minimum(np.logical_and.accumulate(pairs > 0, 0).sum(0), reach)
    before = np.arange(reach + 1)[:, None] < end
    at_end = lambda lags: np.take_along_axis(lags, end[None], 0)[0]
    rest = np.where((at_end(even) > 0) | (at_end(pairs) >= 0), at_end(even), 0.0)
    time = 2 * np.sum(np.minimum.accumulate(pairs, 0), 0, where=before) + rest - 1
    size = total / np.maximum(time, 1 / np.log10(total))
    size[np.ptp(x, (0, 1)) < np.finfo(np.float64).resolution] = total
    size[np.isnan(x).any((0, 1))] = np.nan
    return size


def _autocovariance(x: np.ndarray) -> np.ndarray:
    """Return the autocovariance at every lag (biased: divided by `draws`), `[chains, draws, numbers]`."""
    draws = x.shape[1]
    # Padding with `draws` zeros keeps the circular convolution from mixing the last draws with the first.
    spectrum = np.fft.rfft(x - x.mean(1, keepdims=True), 2 * draws, 1)
    return np.fft.irfft(np.abs(spectrum) ** 2, 2 * draws, 1)[:, :draws] / draws
