"""Samplers of training outliers: shells in a flow's latent space, simple distributions, and a bound."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import training
from experiments.flows import image_models, toy_distributions
from experiments.flows.toy_distributions import ToyDistribution
from jaxgen import methods, samplers
from jaxgen.numerics import simplex


class Flows(NamedTuple):
    """Trained flows of the inliers."""

    plain: jaxgen.Result[methods.Flow]  # of all points
    by_class: jaxgen.Result[methods.Flow]  # conditional on the class
    min_log_prob: tuple[float, float]  # of each flow, the log-density that 1 % of validation inliers lie below
    x: np.ndarray  # the training points `[n, 2]`


Draw: TypeAlias = Callable[[jax.Array, Flows, ToyDistribution, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A distribution of outliers."""

    title: str  # title of its rows in a table
    draw: Draw  # `draw(key, flows, distribution, n)` returns points `[n, 2]`


def _generator(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def _latent(
    radii: Callable[..., jax.Array],
    key: jax.Array,
    flows: Flows,
    distribution: ToyDistribution,
    n: int,
    *,
    by_class: bool = False,
    rejected: bool = False,
) -> np.ndarray:
    """Draw latent vectors at the given radii; `rejected` drops points with a log-density above `min_log_prob`."""
    flow, state = training.first_model(flows.by_class if by_class else flows.plain)
    below = flows.min_log_prob[by_class] if rejected else None
    return np.asarray(methods.latent_outliers(key, state, n, flow=flow, radii=radii, max_log_prob=below))


def _thin(tail: float, key: jax.Array, n: int, *, dimensions: int) -> jax.Array:
    return jnp.full(n, samplers.chi_radius(tail, dimensions=dimensions))


def _wide(std: float, key: jax.Array, n: int, *, dimensions: int) -> jax.Array:
    return std * samplers.chi_radii(key, n, dimensions=dimensions)


def _spread(key: jax.Array, n: int, *, dimensions: int) -> jax.Array:
    """Draw uniform radii, from the one with tail mass 5 % to three times the one with tail mass 1 in 10,000."""
    low, high = (samplers.chi_radius(tail, dimensions=dimensions) for tail in (0.05, 1e-4))
    return jax.random.uniform(key, (n,), minval=low, maxval=3 * high)


def _box(key: jax.Array, flows: Flows, distribution: ToyDistribution, n: int) -> np.ndarray:
    return _generator(key).uniform(-toy_distributions.BOX, toy_distributions.BOX, (n, 2))


def _around(key: jax.Array, flows: Flows, distribution: ToyDistribution, n: int) -> np.ndarray:
    """Draw uniformly in the bounding box of the points, enlarged by half, and keep points of low density."""
    low, high = flows.x.min(0), flows.x.max(0)
    margin = (high - low) / 4
    points = _generator(key).uniform(low - margin, high + margin, (40 * n, 2)).astype(np.float32)
    return points[-flows.plain.scores(points)["nll"][0] < flows.min_log_prob[0]][:n]


def _beyond_archetypes(key: jax.Array, flows: Flows, distribution: ToyDistribution, n: int) -> np.ndarray:
    """Mix seven archetypes of latent vectors, mostly of one each, at 1.5 times their distance from the mean."""
    flow, state = training.first_model(flows.plain)
    key_seed, key_mix = jax.random.split(key)
    z = flow.encode(state, jnp.asarray(flows.x[:1_000]))
    seed = int(jax.random.key_data(key_seed)[-1])
    archetypes = image_models.archetypes(z, 7, sweeps=20, seed=seed).state_of(0).archetypes
    weights = simplex.dirichlet_weights(key_mix, n, count=7, concentration=0.3)
    mean = archetypes.mean(0)[None]
    return np.asarray(flow.decode(state, mean + 1.5 * (weights @ archetypes - mean)))


def _oracle(key: jax.Array, flows: Flows, distribution: ToyDistribution, n: int) -> np.ndarray:
    """Draw from the distributions of the test outliers."""
    generator = _generator(key)
    points = np.concatenate([draw(distribution, generator, n) for draw in toy_distributions.OUTLIERS.values()])
    points = points[distribution.log_density(points) < distribution.log_density_quantile(0.01)]
    return generator.permutation(points)[:n]


# Partial functions and no closures: their arguments are part of the digest of a cell.
_SPREAD = partial(_latent, _spread)
_EXTREME = partial(_latent, partial(samplers.extreme_radii, draws=1_000))
_THESIS = partial(_latent, partial(samplers.bungert_radii, factor=3))

SAMPLERS = {
    "box": Sampler("a square, evenly", _box),
    "wide 1.5": Sampler("normal, 1.5 times as wide", partial(_latent, partial(_wide, 1.5))),
    "wide 3": Sampler("normal, 3 times as wide", partial(_latent, partial(_wide, 3.0))),
    "thin 0.01": Sampler("shell beyond 1 %", partial(_latent, partial(_thin, 1e-2))),
    "thin 0.001": Sampler("shell beyond 0.1 %", partial(_latent, partial(_thin, 1e-3))),
    "thin 0.0001": Sampler("shell beyond 0.01 %", partial(_latent, partial(_thin, 1e-4))),
    "thin 0.001, by class": Sampler(
        "shell beyond 0.1 %, by class", partial(_latent, partial(_thin, 1e-3), by_class=True)
    ),
    "thesis 3": Sampler("the thesis' radii, s = 3", _THESIS),
    "thesis 3, by class": Sampler("the thesis' radii, s = 3, by class", partial(_THESIS, by_class=True)),
    "extreme": Sampler("extremes of 1,000", _EXTREME),
    "extreme, by class": Sampler("extremes of 1,000, by class", partial(_EXTREME, by_class=True)),
    "extreme, by class, rejected": Sampler(
        "extremes of 1,000, by class, likely ones rejected", partial(_EXTREME, by_class=True, rejected=True)
    ),
    "spread": Sampler("radii spread", _SPREAD),
    "spread, rejected": Sampler("radii spread, likely ones rejected", partial(_SPREAD, rejected=True)),
    "around, rejected": Sampler("around the points, likely ones rejected", _around),
    "corners": Sampler("beyond archetypes", _beyond_archetypes),
    "oracle": Sampler("outliers of the test's own distributions (bound)", _oracle),
}
