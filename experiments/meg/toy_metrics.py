"""What an energy, its generator and chains do in the plane, measured against a law whose density is known."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, special

from experiments.common import training
from experiments.meg import toy_data
from jaxgen import methods, metrics, samplers
from jaxgen.scan import iterate, keys

__all__ = ["measured", "samples", "sizes", "walked"]

FINE, COARSE = metrics.Grid(500, -2.0, 2.0), metrics.Grid(50, -2.0, 2.0)  # of densities, as in the paper; of samples
DRAWS, CHAINS, WARM, WALK = 100_000, 2_000, 300, 50  # steps that adapt the step size; steps whose places are kept


def chains(
    key: Any, log_density: Callable[[Any], samplers.latent.LogDensity], state: Any, start: Any
) -> tuple[np.ndarray, float]:
    """Walk from the starts `[n, k]`, first adapting the step size; return places and the mean acceptance."""

    @jax.jit
    def walk(key: Any, state: Any) -> tuple[Any, Any]:  # the state is no constant: XLA would fold it
        adapted = samplers.StepSizeAdaptation(
            lambda size: samplers.Chains(samplers.MALA(log_density(state), size)), 1e-3
        )
        key_warm, key_walk = jax.random.split(key)
        warm, _ = iterate(adapted.step, key_warm, adapted.init(start), length=WARM)
        frozen: Any = adapted.frozen(warm)
        _, places, moves = frozen.draw(key_walk, warm.inner, WALK)
        return places, jnp.mean(moves.acceptance)

    places, acceptance = walk(key, state)
    return np.asarray(places).reshape(-1, start.shape[1]), float(acceptance)


def walked(method: methods.MEG, state: Any, law: toy_data.Peaks, seed: int, inverse: float) -> dict[str, Any]:
    """Measure chains on the energy times an inverse temperature, from the generator's noise or from its samples."""
    _, key_noise, key = keys(training.fresh_key(seed), 3)  # the first is spent in `measured`
    decode = jax.jit(method.decode)
    z = jax.random.normal(key_noise, (CHAINS, 2))
    found = {}
    for row, density in (("latent", samplers.latent_log_density), ("tilted", samplers.tilted_log_density)):
        tempered = lambda energy, generate, make=density: make(lambda x: inverse * energy(x), generate)
        log_density = lambda state, make=tempered: method.latent_log_density(state, density=make)
        places, acceptance = chains(key, log_density, state, z)
        found[row] = {**samples(law, np.asarray(decode(state, jnp.asarray(places)))), "acceptance": acceptance}
    alone = lambda state: lambda x: inverse * method.data_log_density(state)(x)
    places, acceptance = chains(key, alone, state, decode(state, z))
    return {**found, "data": {**samples(law, places), "acceptance": acceptance}}


def measured(method: methods.MEG, state: Any, law: toy_data.Peaks, seed: int) -> dict[str, Any]:
    """Measure the generator and the energy of one seed."""
    draw = jax.jit(method.sample, static_argnums=2)
    found = {"generator": samples(law, np.asarray(draw(keys(training.fresh_key(seed), 1)[0], state, DRAWS)))}
    log_density = -_energies(method, state)
    x = law.toy(n=100_000, test_n=1, seed=seed).tables()[0]
    counts = FINE(x)
    for row, inverse in (("energy", 1.0), ("fitted", _best(log_density, counts))):
        shares = special.softmax(inverse * log_density)
        places = _drawn(np.random.default_rng(seed), shares)
        kl = float(np.sum(special.xlogy(law.masses(FINE), law.masses(FINE) / np.maximum(shares, 1e-300))))
        found[row] = {**samples(law, places), "grid_kl": kl, "inverse_temperature": inverse}
        if row == "energy":
            half = shares.reshape(FINE.bins // 2, 2, FINE.bins // 2, 2).sum((1, 3))
            found[row]["density"] = np.log10(np.maximum(half, 1e-12)).round(2).tolist()
    return found


def samples(law: toy_data.Peaks, x: np.ndarray) -> dict[str, Any]:
    """Measure samples `[n, 2]`, and keep some of them to be drawn."""
    truth, counted = law.masses(COARSE), COARSE(x)
    divergences = {"kl": metrics.kl_divergence(truth, counted), "fisher": metrics.fisher_distance(truth, counted)}
    some = np.random.default_rng(0).permutation(len(x))[:4_000]
    return {**law.kept(x), **divergences, "points": x[some].round(4).tolist()}


def _energies(method: methods.MEG, state: Any) -> np.ndarray:
    """Return the energy at the centre of each cell of the fine grid, in its order."""
    ticks = FINE.low + (FINE.high - FINE.low) * (np.arange(FINE.bins) + 0.5) / FINE.bins
    places = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    return np.asarray(jax.jit(method.energy)(state, jnp.asarray(places)), np.float64)


def _best(log_density: np.ndarray, counts: np.ndarray) -> float:
    """Return the inverse temperature at which counted points are most likely."""
    loss = lambda log: special.logsumexp(np.exp(log) * log_density) - np.exp(log) * np.sum(counts * log_density)
    return float(np.exp(optimize.minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))


def _drawn(generator: np.random.Generator, shares: np.ndarray) -> np.ndarray:
    """Draw points of the fine grid, uniform within their cells."""
    cells = generator.choice(len(shares), DRAWS, p=shares / shares.sum())
    within = np.stack(np.unravel_index(cells, (FINE.bins,) * 2), 1) + generator.uniform(size=(DRAWS, 2))
    return FINE.low + within * (FINE.high - FINE.low) / FINE.bins


def sizes() -> dict[str, Any]:
    """Return what the numbers of a cell depend on beside what is trained."""
    grids = {"fine": FINE.bins, "coarse": COARSE.bins, "due": toy_data.DUE}
    return {"draws": DRAWS, "chains": CHAINS, "warm": WARM, "walk": WALK, **grids}
