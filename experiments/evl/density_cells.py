"""The cells of the density law's table: networks and exact draws, the exponents of their guesses, their divergences."""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, training
from experiments.evl import density_data, grid_metrics
from experiments.evl.density_data import Hills, empty, optimum, slope
from jaxgen import methods, metrics, nets, samplers
from jaxgen.optim import Cosine
from jaxgen.serialization.config_json import to_json

__all__ = ["DRAWS", "FINE", "POWERS", "WEIGHTS", "Cell", "config", "drawn", "exact", "floor", "measure", "trained"]

POWERS = (0.5, 1.0, 2.0)
FINE = {1: metrics.Grid(100, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exponent is fitted
COARSE = metrics.Grid(15, -3.0, 3.0)  # where divergences are taken, each cell of which 40,000 points should hit
LATTICE = {1: metrics.Grid(800, -5.0, 5.0), 2: metrics.Grid(40, -4.0, 4.0)}  # where the exact optimum lies
RESOLVED = 32  # guesses of which there is an exact optimum: more lie closer than three places of the lattice, and
# fewer leave part of the fitted region empty
DRAWS, WEIGHED = 200_000, 40_000  # guesses counted for the exponent, and for the divergences
WEIGHTS = {
    "bare": "guesses as they are",
    "head": "learned head",
    "nearest": "the law, density by nearest guesses",
    "sheet": "the law, density by change of variables",
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One network of the table."""

    dimensions: int
    power: float
    guesses: int
    shared: bool = False  # whether the logit shares the generator's trunk, as in the paper's code
    apart: float = 0.0

    @property
    def name(self) -> str:
        """Return the file's name."""
        kind = ("_shared" if self.shared else "") + (f"_apart{self.apart:g}" if self.apart else "")
        return f"d{self.dimensions}_r{self.power:g}_k{self.guesses}{kind}"

    @property
    def title(self) -> str:
        """Return the row's title."""
        kind = (", head on the trunk" if self.shared else "") + (", two hills" if self.apart else "")
        return f"d = {self.dimensions}, r = {self.power:g}, {self.guesses} guesses{kind}"

    @property
    def law(self) -> float:
        """Return the exponent that the law expects."""
        return samplers.zador_exponent(self.dimensions, self.power)


def config(cell: Cell, steps: int, seeds: int) -> jaxgen.Config:
    """Return a cell's configuration.

    As many dimensions of noise as of data, and a smooth activation, so that the density can be had by change of
    variables. A head of its own leaves the generator's gradient alone. What a step tells about the density is nearly
    drowned in the noise of a guess's place between its neighbours, the more so the nearer they are and the smaller
    the power: hence the large minibatches in one dimension, and a lower rate for smaller powers. With too low a rate
    the density stays where its start was: guesses are dense long before they lie as densely as they should.
    """
    d = cell.dimensions
    widths = (32, 32)
    method = methods.EVL(
        generator=nets.MLP((*widths, d + cell.shared), jnp.tanh),
        weight_network=None if cell.shared else nets.MLP((*widths, 1), jnp.tanh),
        latent_dim=d,
        candidates=methods.SharedPool(cell.guesses),
        power=cell.power,
        learning_rate=Cosine(5e-3 * cell.power, steps),
    )
    rows = Hills(dimensions=d, apart=cell.apart)
    return jaxgen.Config(
        method, rows, steps=steps, steps_per_call=steps, batch_size=1024 if d == 1 else 256, num_seeds=seeds
    )


def exact(runs: pathlib.Path, cell: Cell) -> float | None:
    """Return the exponent of the exact optimum, where a lattice of a few hundred places resolves it.

    None if it leaves part of the fitted region empty.
    """
    grid = LATTICE[cell.dimensions]
    masses = Hills(dimensions=cell.dimensions, apart=cell.apart).masses(grid)

    def compute() -> dict[str, Any]:
        axis = grid.low + (np.arange(grid.bins) + 0.5) * (grid.high - grid.low) / grid.bins
        places = np.stack(np.meshgrid(*[axis] * cell.dimensions, indexing="ij"), -1).reshape(-1, cell.dimensions)
        shares = optimum(masses, places, cell.guesses, cell.power)
        return {"optimum": None if empty(shares, masses) else slope(shares, 10**12, masses)}

    identity = {"optimum": dataclasses.asdict(cell), "grid": to_json(grid)}
    identity |= {"ratio": density_data.RATIO, "tolerance": density_data.TOLERANCE}
    return cache.remembered(runs / f"optimum_{cell.name}.json", identity, compute)["optimum"]


def score(masses: np.ndarray, points: Any, log_weights: jax.Array) -> dict[str, float]:
    """Return the divergences of weighted points from the truth, and the share of the effective sample size."""
    weights = np.exp(np.asarray(log_weights, float) - float(np.max(log_weights)))
    share = float(samplers.effective_sample_size(log_weights)) / len(points)
    return {**grid_metrics.score(masses, COARSE(points, weights)), "ess": share}


def measure(cell: Cell, method: Any, states: Sequence[Any], ways: Sequence[str]) -> list[dict[str, Any]]:
    """Measure each network: the exponent, the divergences under some ways to weigh, and the folds."""
    rows = Hills(dimensions=cell.dimensions, apart=cell.apart)
    fine, coarse = rows.masses(FINE[cell.dimensions]), rows.masses(COARSE)
    weighted_samples, closed_form = (
        jax.jit(make, static_argnums=2) for make in (method.weighted_samples, method.closed_form_weighted_samples)
    )
    decode, log_density = jax.jit(method.decode), jax.jit(method.log_density)
    key = jax.random.key(1)
    noise = jax.random.normal(key, (WEIGHED, method.latent_dim))  # of the guesses that are weighed
    found = []
    for state in states:
        shares = FINE[cell.dimensions](weighted_samples(jax.random.key(0), state, DRAWS).samples)
        guesses, log_q = decode(state, noise), log_density(state, noise)
        weights = {
            "bare": lambda: jnp.zeros(WEIGHED),
            "head": lambda: guesses.log_weights,  # noqa: B023
            "nearest": lambda: closed_form(key, state, WEIGHED).log_weights,  # noqa: B023
            "sheet": lambda: samplers.zador_log_weights(log_q, dimensions=cell.dimensions, power=cell.power),  # noqa: B023
        }
        # The mean of 1 / q over the guesses in a region is its volume as often as sheets of the map lie over it.
        inside = np.all(np.abs(np.asarray(guesses.samples)) < 1, 1)
        sheets = np.mean(np.where(inside, np.exp(-np.asarray(log_q, float)), 0)) / 2**cell.dimensions
        found.append(
            {
                "exponent": slope(shares, DRAWS, fine),
                "sheets": float(sheets),
                "shares": shares.tolist(),
                **{name: score(coarse, guesses.samples, weights[name]()) for name in ways},
            }
        )
    return found


def trained(experiment: Any, cell: Cell, *, train: bool = True) -> dict[str, Any]:
    """Train one cell's networks and measure each, remembered.

    Args:
        experiment: its `runs`, `steps`, `seeds`, and `shown`, the number of guesses where all weights are compared.
        cell: which networks.
        train: whether to train them; else they are measured as they were drawn.

    Returns:
        `seconds`, and the measures of each of the `seeds`.
    """
    made = config(cell, experiment.steps, experiment.num_seeds)
    # The search for the nearest of 32 pools takes as long as the training: only where the table shows it.
    ways = [way for way in WEIGHTS if way != "nearest" or (cell.guesses == experiment.shown and not cell.shared)]

    def compute() -> dict[str, Any]:
        begun = time.perf_counter()
        if train:
            result = jaxgen.train(made, progress=False)
            method, states = result.config.method, [result.state_of(seed) for seed in range(made.num_seeds)]
        else:
            method, states = (
                made.method,
                [training.untrained(dataclasses.replace(made, seed=seed))[1] for seed in range(made.num_seeds)],
            )
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "seeds": measure(cell, method, states, ways)}

    identity = {
        "config": to_json(made),
        "train": train,
        "ways": ways,
        "draws": [DRAWS, WEIGHED],
        "ratio": density_data.RATIO,
    }
    identity |= {"grids": [to_json(FINE[cell.dimensions]), to_json(COARSE)]}
    name = cell.name if train else f"{cell.name}_untrained"
    return cache.remembered(experiment.cache_dir / f"{name}.json", identity, compute)


def floor(cell: Cell, seeds: int) -> list[dict[str, Any]]:
    """Measure exact draws of p^(d / (d + r)), weighed by the law."""
    d, rows = cell.dimensions, []
    fine, coarse = (Hills(dimensions=d).masses(grid) for grid in (FINE[d], COARSE))
    for seed in range(seeds):
        generator = np.random.default_rng(1000 + seed)
        many = generator.standard_normal((DRAWS, d)) / np.sqrt(cell.law)
        few = many[:WEIGHED]
        log_q = -0.5 * cell.law * np.sum(few**2, 1)
        weights = samplers.zador_log_weights(jnp.asarray(log_q), dimensions=d, power=cell.power)
        rows.append({"exponent": slope(FINE[d](many), DRAWS, fine), **score(coarse, few, weights)})
    return rows


def drawn(dimensions: int, seeds: int, *, truth: bool) -> list[dict[str, Any]]:
    """Measure as many draws as guesses: of the truth (floor), or uniform over [-4, 4]^d (chance)."""
    masses, rows = [Hills(dimensions=dimensions).masses(grid) for grid in (FINE[dimensions], COARSE)], []
    for seed in range(seeds):
        generator = np.random.default_rng(2000 + seed)
        shape = (DRAWS, dimensions)
        points = generator.standard_normal(shape) if truth else generator.uniform(-4.0, 4.0, shape)
        exponent = slope(FINE[dimensions](points), DRAWS, masses[0])
        rows.append({"exponent": exponent, **score(masses[1], points[:WEIGHED], jnp.zeros(WEIGHED))})
    return rows
