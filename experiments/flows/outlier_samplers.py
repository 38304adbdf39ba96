"""Where the outliers come from that a network learns from, without having seen any."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.flows import toy_distributions
from jaxgen import methods, samplers
from jaxgen.numerics import simplex

__all__ = ["SAMPLERS", "Flows", "Sampler"]


class Flows(NamedTuple):
    """What is known of the inliers: a flow of all, and one with a law for each class."""

    plain: tuple[methods.Flow, Any]  # method and state
    by_class: tuple[methods.Flow, Any]
    below: tuple[float, float]  # log-densities below which 1 % of held-out inliers lie, of either
    x: np.ndarray  # the training rows [n, 2]


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A law of outliers.

    Attributes:
        title: of its lines in a table.
        draw: takes a key, the flows, the law and a number; returns rows `[n, 2]`.
    """

    title: str
    draw: Callable[[jax.Array, Flows, toy_distributions.Law, int], np.ndarray]


def _generator(key: jax.Array) -> np.random.Generator:
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def _edge(radii: Callable[..., jax.Array], *, by_class: bool = False, rejected: bool = False) -> Callable[..., Any]:
    def draw(key: jax.Array, flows: Flows, law: toy_distributions.Law, n: int) -> np.ndarray:
        flow, state = flows.by_class if by_class else flows.plain
        below = flows.below[by_class] if rejected else None
        return np.asarray(methods.latent_outliers(key, state, n, flow=flow, radii=radii, below=below))

    return draw


def _thin(tail: float) -> Callable[..., jax.Array]:
    return lambda key, n, dimensions: jnp.full(n, samplers.chi_radius(tail, dimensions=dimensions))


def _wide(deviation: float) -> Callable[..., jax.Array]:
    return lambda key, n, dimensions: deviation * samplers.chi_radii(key, n, dimensions=dimensions)


def _spread(key: jax.Array, n: int, *, dimensions: int) -> jax.Array:
    """Draw radii evenly from where 5 % lie beyond to three times where 1 in 10,000 does."""
    low, high = (samplers.chi_radius(tail, dimensions=dimensions) for tail in (0.05, 1e-4))
    return jax.random.uniform(key, (n,), minval=low, maxval=3 * high)


def _box(key: jax.Array, flows: Flows, law: toy_distributions.Law, n: int) -> np.ndarray:
    return _generator(key).uniform(-toy_distributions.BOX, toy_distributions.BOX, (n, 2))


def _around(key: jax.Array, flows: Flows, law: toy_distributions.Law, n: int) -> np.ndarray:
    """Draw evenly around the rows, half as far again as they reach, and keep what the flow finds unlikely."""
    flow, state = flows.plain
    low, high = flows.x.min(0), flows.x.max(0)
    margin = (high - low) / 4
    rows = _generator(key).uniform(low - margin, high + margin, (40 * n, 2)).astype(np.float32)
    likely = np.asarray(jax.jit(flow.log_prob)(state, jnp.asarray(rows)))
    return rows[likely < flows.below[0]][:n]


def _corners(key: jax.Array, flows: Flows, law: toy_distributions.Law, n: int) -> np.ndarray:
    """Mix seven archetypes of latent vectors, mostly of one each, and go half as far again from their middle."""
    flow, state = flows.plain
    key_start, key_mix = jax.random.split(key)
    z = flow.encode(state, jnp.asarray(flows.x[:1_000]))
    hull = methods.Archetypes(7).resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    corners = hull.init(key_start, z)
    for sweep in range(20):
        corners, _ = _swept(hull, jax.random.fold_in(key_start, sweep), corners, z)
    weights = simplex.weights(key_mix, n, count=7, concentration=0.3)
    middle = corners.archetypes.mean(0)[None]
    return np.asarray(flow.decode(state, middle + 1.5 * (weights @ corners.archetypes - middle)))


@functools.partial(jax.jit, static_argnums=0)
def _swept(hull: methods.Archetypes, key: jax.Array, corners: Any, z: jax.Array) -> Any:
    return hull.step(key, corners, z)


def _oracle(key: jax.Array, flows: Flows, law: toy_distributions.Law, n: int) -> np.ndarray:
    generator = _generator(key)
    rows = np.concatenate([draw(law, generator, n) for draw in toy_distributions.STRANGE.values()])
    rows = rows[law.log_density(rows) < law.bound(0.01)]
    return generator.permutation(rows)[:n]


_EXTREME = functools.partial(samplers.extreme_radii, draws=1_000)
_THESIS = functools.partial(samplers.bungert_radii, factor=3)

SAMPLERS = {
    "box": Sampler("a square, evenly", _box),
    "wide 1.5": Sampler("normal, 1.5 times as wide", _edge(_wide(1.5))),
    "wide 3": Sampler("normal, 3 times as wide", _edge(_wide(3.0))),
    "thin 0.01": Sampler("shell beyond 1 %", _edge(_thin(1e-2))),
    "thin 0.001": Sampler("shell beyond 0.1 %", _edge(_thin(1e-3))),
    "thin 0.0001": Sampler("shell beyond 0.01 %", _edge(_thin(1e-4))),
    "thin 0.001, by class": Sampler("shell beyond 0.1 %, by class", _edge(_thin(1e-3), by_class=True)),
    "thesis 3": Sampler("the thesis' radii, s = 3", _edge(_THESIS)),
    "thesis 3, by class": Sampler("the thesis' radii, s = 3, by class", _edge(_THESIS, by_class=True)),
    "extreme": Sampler("extremes of 1,000", _edge(_EXTREME)),
    "extreme, by class": Sampler("extremes of 1,000, by class", _edge(_EXTREME, by_class=True)),
    "extreme, by class, rejected": Sampler(
        "extremes of 1,000, by class, likely ones rejected", _edge(_EXTREME, by_class=True, rejected=True)
    ),
    "spread": Sampler("radii spread", _edge(_spread)),
    "spread, rejected": Sampler("radii spread, likely ones rejected", _edge(_spread, rejected=True)),
    "around, rejected": Sampler("around the rows, likely ones rejected", _around),
    "corners": Sampler("beyond archetypes", _corners),
    "oracle": Sampler("outliers of the test's own laws (bound)", _oracle),
}
