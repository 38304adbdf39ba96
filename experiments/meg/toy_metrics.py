"""Metrics of an energy, its generator and its chains in the plane, against a distribution of known density."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

import jaxgen
from experiments.common import training
from experiments.meg.toy_data import PlanarMixture
from jaxgen import methods, metrics, samplers
from jaxgen.scan import iterate, keys

FINE, COARSE = metrics.Grid(500, -2.0, 2.0), metrics.Grid(50, -2.0, 2.0)  # of densities, as in the paper; of samples
NUM_SAMPLES, NUM_CHAINS = 100_000, 2_000
ADAPTATION_STEPS, CHAIN_STEPS = 300, 50  # steps that adapt the step size; steps that are kept


def run_chains(
    key: Any, log_density: Callable[[Any], samplers.latent.LogDensity], state: Any, start: Any
) -> tuple[np.ndarray, float]:
    """Adapt the step size of MALA chains from positions `[n, k]`, freeze it, and run them on."""

    @jax.jit
    def run(key: Any, state: Any) -> tuple[Any, Any]:  # the state is an argument: XLA would fold a constant
        adapted = samplers.StepSizeAdaptation(
            lambda size: samplers.Chains(samplers.MALA(log_density(state), size)), 1e-3
        )
        key_adapt, key_run = jax.random.split(key)
        warm, _ = iterate(adapted.step, key_adapt, adapted.init(start), length=ADAPTATION_STEPS)
        frozen: Any = adapted.frozen(warm)
        _, positions, info = frozen.draw(key_run, warm.inner, CHAIN_STEPS)
        return positions, jnp.mean(info.acceptance)

    positions, acceptance = run(key, state)
    return np.asarray(positions).reshape(-1, start.shape[1]), float(acceptance)


def measure_chains(
    method: methods.MEG, state: Any, distribution: PlanarMixture, seed: int, inverse: float
) -> dict[str, Any]:
    """Measure chains on the energy times an inverse temperature, in the latent space and in data space."""
    _, key_noise, key = keys(training.fresh_key(seed), 3)  # `measure_models` uses the first
    decode = jax.jit(method.decode)
    z = jax.random.normal(key_noise, (NUM_CHAINS, 2))
    measures = {}
    for row, density in (("latent", samplers.latent_log_density), ("tilted", samplers.tilted_log_density)):
        tempered = lambda energy, generate, density=density: density(lambda x: inverse * energy(x), generate)
        log_density = lambda state, tempered=tempered: method.latent_log_density(state, density=tempered)
        positions, acceptance = run_chains(key, log_density, state, z)
        generated = np.asarray(decode(state, jnp.asarray(positions)))
        measures[row] = {**measure_samples(distribution, generated), "acceptance": acceptance}
    in_data_space = lambda state: lambda x: inverse * method.data_log_density(state)(x)
    positions, acceptance = run_chains(key, in_data_space, state, decode(state, z))
    return {**measures, "data": {**measure_samples(distribution, positions), "acceptance": acceptance}}


def measure_models(result: jaxgen.Result[methods.MEG], distribution: PlanarMixture, seed: int) -> dict[str, Any]:
    """Measure the generator and the energy of one seed."""
    generated = np.asarray(result.sample(keys(training.fresh_key(seed), 1)[0], NUM_SAMPLES)[0])
    measures = {"generator": measure_samples(distribution, generated)}
    log_density = -_energies(*training.first_model(result))
    frequencies = FINE(distribution.toy(n=100_000, test_n=1, seed=seed).tables()[0])
    truth = distribution.cell_probabilities(FINE)
    for row, inverse in (("energy", 1.0), ("fitted", _best_inverse_temperature(log_density, frequencies))):
        probabilities = special.softmax(inverse * log_density)
        x = _sample_cells(np.random.default_rng(seed), probabilities)
        kl = float(np.sum(special.xlogy(truth, truth / np.maximum(probabilities, 1e-300))))
        measures[row] = {**measure_samples(distribution, x), "grid_kl": kl, "inverse_temperature": inverse}
        if row == "energy":
            half = probabilities.reshape(FINE.bins // 2, 2, FINE.bins // 2, 2).sum((1, 3))
            measures[row]["density"] = np.log10(np.maximum(half, 1e-12)).round(2).tolist()
    return measures


def measure_samples(distribution: PlanarMixture, x: np.ndarray) -> dict[str, Any]:
    """Compare samples `[n, 2]` with the distribution."""
    truth, counted = distribution.cell_probabilities(COARSE), COARSE(x)
    divergences = {"kl": metrics.kl_divergence(truth, counted), "fisher": metrics.fisher_distance(truth, counted)}
    some = np.random.default_rng(0).permutation(len(x))[:4_000]
    return {**distribution.coverage(x), **divergences, "points": x[some].round(4).tolist()}


def _energies(method: methods.MEG, state: Any) -> np.ndarray:
    """Energy at the center of each cell of the fine grid, in the grid's order."""
    ticks = FINE.low + (FINE.high - FINE.low) * (np.arange(FINE.bins) + 0.5) / FINE.bins
    centers = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    return np.asarray(jax.jit(method.energy)(state, jnp.asarray(centers)), np.float64)


def _best_inverse_temperature(log_density: np.ndarray, frequencies: np.ndarray) -> float:
    """Inverse temperature at which points with these cell frequencies have the highest likelihood."""
    loss = lambda log: special.logsumexp(np.exp(log) * log_density) - np.exp(log) * np.sum(frequencies * log_density)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def _sample_cells(generator: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    """Sample points `[NUM_SAMPLES, 2]` from a density that is constant within each cell of the fine grid."""
    cells = generator.choice(len(probabilities), NUM_SAMPLES, p=probabilities / probabilities.sum())
    within = np.stack(np.unravel_index(cells, (FINE.bins,) * 2), 1) + generator.uniform(size=(NUM_SAMPLES, 2))
    return FINE.low + within * (FINE.high - FINE.low) / FINE.bins
