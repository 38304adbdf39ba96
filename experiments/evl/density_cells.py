"""Measurements of the guesses' density: networks and exact samples, exponents of their guesses, and divergences."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import training
from experiments.evl import grid_metrics
from experiments.evl.density_data import Hills, empty, optimum, slope
from jaxgen import methods, metrics, nets, samplers
from jaxgen.optim import Cosine

POWERS = (0.5, 1.0, 2.0)
FINE = {1: metrics.Grid(100, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exponent is fitted
COARSE = metrics.Grid(15, -3.0, 3.0)  # where divergences are computed; 40,000 points should reach each cell
LATTICE = {1: metrics.Grid(800, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exact optimum lies
# Guesses for which the exact optimum is computed. More lie closer than three places of the lattice, and fewer leave
# part of the fitted region empty.
RESOLVED = 32
DRAWS, WEIGHED = 200_000, 40_000  # guesses counted for the exponent, and for the divergences
WEIGHTS = {
    "bare": "guesses as they are",
    "head": "learned weights",
    "nearest": "expected weights, density by nearest guesses",
    "sheet": "expected weights, density by change of variables",
}


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of the table."""

    dimensions: int
    power: float
    guesses: int
    shared: bool = False  # whether the logit shares the generator's trunk, as in the paper's code
    apart: float = 0.0

    @property
    def name(self) -> str:
        """Name in files and results."""
        kind = ("_shared" if self.shared else "") + (f"_apart{self.apart:g}" if self.apart else "")
        return f"d{self.dimensions}_r{self.power:g}_k{self.guesses}{kind}"

    @property
    def title(self) -> str:
        """Title of its row."""
        kind = (", logit from the trunk" if self.shared else "") + (", two hills" if self.apart else "")
        return f"d = {self.dimensions}, r = {self.power:g}, {self.guesses} guesses{kind}"

    @property
    def data(self) -> Hills:
        """The data that it learns."""
        return Hills(dimensions=self.dimensions, apart=self.apart)

    @property
    def expected(self) -> float:
        """Expected exponent, d / (d + r)."""
        return samplers.zador_exponent(self.dimensions, self.power)


def config(network: Network, steps: int, num_seeds: int, seed: int = 0) -> jaxgen.Config:
    """Return a network's configuration.

    Noise and data have the same number of dimensions, and the activation is smooth, so that the density follows by
    change of variables. A head of its own leaves the generator's gradient alone. The position of a guess between its
    neighbors adds noise to the gradient that moves the density. This noise grows the nearer they are and the smaller
    the power. So minibatches are large in one dimension, and the learning rate is lower for smaller powers. If it is
    too low, the density stays at its initial value.
    """
    d = network.dimensions
    widths = (32, 32)
    method = methods.EVL(
        generator=nets.MLP((*widths, d + network.shared), jnp.tanh),
        weight_network=None if network.shared else nets.MLP((*widths, 1), jnp.tanh),
        latent_dim=d,
        candidates=methods.SharedPool(network.guesses),
        power=network.power,
        learning_rate=Cosine(5e-3 * network.power, steps),
    )
    size = 1024 if d == 1 else 256
    return training.configure(
        method, network.data, steps=steps, batch_size=size, seed=seed, calls=1, num_seeds=num_seeds
    )


def score(masses: np.ndarray, points: Any, log_weights: jax.Array) -> dict[str, float]:
    """Return the divergences of weighted points from the truth, and the effective sample size as a share."""
    weights = np.exp(np.asarray(log_weights, float) - float(np.max(log_weights)))
    share = float(samplers.effective_sample_size(log_weights)) / len(points)
    return {**grid_metrics.score(masses, COARSE(points, weights)), "ess": share}


def measure(network: Network, result: jaxgen.Result, ways: Sequence[str]) -> list[dict[str, Any]]:
    """Measure each seed: the exponent, the divergences under some ways to weight guesses, and the folds."""
    method, rows = result.config.method, network.data
    fine, coarse = rows.masses(FINE[network.dimensions]), rows.masses(COARSE)
    weighted_samples, closed_form = (
        jax.jit(function, static_argnums=2)
        for function in (method.weighted_samples, method.closed_form_weighted_samples)
    )
    decode, log_density = jax.jit(method.decode), jax.jit(method.log_density)
    key = jax.random.key(1)
    noise = jax.random.normal(key, (WEIGHED, method.latent_dim))  # of the guesses that are weighted
    measures = []
    for state in map(result.state_of, range(result.config.num_seeds)):
        shares = FINE[network.dimensions](weighted_samples(jax.random.key(0), state, DRAWS).samples)
        guesses, log_q = decode(state, noise), log_density(state, noise)
        weights = {
            "bare": lambda: jnp.zeros(WEIGHED),
            "head": lambda: guesses.log_weights,  # noqa: B023
            "nearest": lambda: closed_form(key, state, WEIGHED).log_weights,  # noqa: B023
            "sheet": lambda: samplers.zador_log_weights(log_q, dimensions=network.dimensions, power=network.power),  # noqa: B023
        }
        # The mean of 1 / q over the guesses in a region is its volume times the number of sheets of the map over it.
        inside = np.all(np.abs(np.asarray(guesses.samples)) < 1, 1)
        sheets = np.mean(np.where(inside, np.exp(-np.asarray(log_q, float)), 0)) / 2**network.dimensions
        measures.append(
            {
                "exponent": slope(shares, DRAWS, fine),
                "sheets": float(sheets),
                "shares": shares.tolist(),
                **{name: score(coarse, guesses.samples, weights[name]()) for name in ways},
            }
        )
    return measures


def measured(
    config: jaxgen.Config, network: Network, weights: Sequence[str], train: bool, directory: pathlib.Path
) -> dict[str, Any]:
    """Train all seeds of a network, or take their initial values, and measure each with some of the `WEIGHTS`."""
    result, times = training.timed(config, directory, train=train)
    return {**times, "seeds": measure(network, result, weights)}


def measured_optimum(network: Network, directory: pathlib.Path) -> dict[str, float | None]:
    """Fit the exponent of the exact optimum on a lattice; None if it leaves part of the fitted region empty."""
    grid, d = LATTICE[network.dimensions], network.dimensions
    masses = network.data.masses(grid)
    axis = grid.low + (np.arange(grid.bins) + 0.5) * (grid.high - grid.low) / grid.bins
    places = np.stack(np.meshgrid(*[axis] * d, indexing="ij"), -1).reshape(-1, d)
    shares = optimum(masses, places, network.guesses, network.power)
    return {"optimum": None if empty(shares, masses) else slope(shares, 10**12, masses)}


def measured_floor(network: Network, seeds: Sequence[int], directory: pathlib.Path) -> dict[str, Any]:
    """Measure exact samples of p^(d / (d + r)), with the weights that make up for it."""
    d, measures = network.dimensions, []
    fine, coarse = (Hills(dimensions=d).masses(grid) for grid in (FINE[d], COARSE))
    for seed in seeds:
        generator = np.random.default_rng(1000 + seed)
        many = generator.standard_normal((DRAWS, d)) / np.sqrt(network.expected)
        few = many[:WEIGHED]
        log_q = -0.5 * network.expected * np.sum(few**2, 1)
        weights = samplers.zador_log_weights(jnp.asarray(log_q), dimensions=d, power=network.power)
        measures.append({"exponent": slope(FINE[d](many), DRAWS, fine), **score(coarse, few, weights)})
    return {"seeds": measures}


def measured_control(dimensions: int, control: str, seeds: Sequence[int], directory: pathlib.Path) -> dict[str, Any]:
    """Measure samples of the truth (`floor`), or uniform over [-4, 4]^d (`chance`); their number is that of guesses."""
    masses, measures = [Hills(dimensions=dimensions).masses(grid) for grid in (FINE[dimensions], COARSE)], []
    for seed in seeds:
        generator = np.random.default_rng(2000 + seed)
        shape = (DRAWS, dimensions)
        points = generator.standard_normal(shape) if control == "floor" else generator.uniform(-4.0, 4.0, shape)
        exponent = slope(FINE[dimensions](points), DRAWS, masses[0])
        measures.append({"exponent": exponent, **score(masses[1], points[:WEIGHED], jnp.zeros(WEIGHED))})
    return {"seeds": measures}
