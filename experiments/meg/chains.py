"""Figures 1 and 4 of Kumar et al., Maximum entropy generators for energy-based models (2019): chains of images.

    python -m experiments.meg.chains                                 # reduced networks on MNIST
    python -m experiments.meg.chains --sets mnist cifar10 faces --output-dir experiments/results/meg
    python -m experiments.meg.chains --paper --sets mnist cifar10 faces   # the paper's size: meant for a GPU
    python -m experiments.meg.chains --quick                         # three minutes

From the same noise, MALA chains run in the generator's latent space and in the space of images, 100 steps each. The
figure shows both. The table has their acceptance, the effective sample size of the energies along the chains, and the
energy at both ends. The published step size and inverse temperature are compared with a step size that is adapted to
acceptance 0.574, of at most 1, since a flat density accepts any step. An energy is defined up to a constant, so the
table subtracts the mean energy of 400 training images.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import cache, experiment, olivetti, report, training
from experiments.common.experiment import Cell, Results
from experiments.meg import image_models
from jaxgen import data, metrics, samplers
from jaxgen.scan import iterate

TITLE = "Figures 1 and 4: 100 steps of chains from the same starts"
COLUMNS = [
    report.Column("step_size", "step size", 5),
    report.Column("acceptance", "acceptance", 2),
    report.Column("ess", "ESS of the energy, of 100", 1),
    report.Column("rhat", "R-hat of the energy", 2),
    report.Column("start", "energy at the start, above training images'", 1),
    report.Column("end", "at the end", 1),
]
STEP_SIZE, BETA, CHAIN_STEPS, ADAPTATION_STEPS = 0.01, 0.1, 100, 200
MAX_STEP_SIZE = 1.0  # a flat density accepts any step
NUM_CHAINS = 64
NUM_SHOWN, SHOWN_EVERY = 6, 10  # chains of the figure, and the steps between their images
IMAGE_SETS: dict[str, tuple[str, Any]] = {
    "mnist": ("MNIST", data.ScaledToTanh(data.Images("mnist"))),
    "cifar10": ("CIFAR-10", data.ScaledToTanh(data.Images("cifar10"))),
    "faces": ("Olivetti faces", olivetti.Olivetti()),
}
SPACES = {"latent": "latent space", "data": "among the images"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(image_models.Experiment):
    """Image sets, number of seeds, and size."""

    sets: tuple[str, ...] = ("mnist",)  # image sets, a table and a figure each

    name = "meg/chains"
    choices = {"sets": IMAGE_SETS}
    small = {"sets": slice(1)}

    def config(self, name: str, seed: int) -> jaxgen.Config:
        """Configuration of one image set."""
        images = IMAGE_SETS[name][1]
        return self.image_config("meg", images, images.tables()[0].shape[1:], seed)

    def cells(self) -> Iterator[Cell]:
        """Chains of trained and of untrained networks."""
        for name in self.sets:
            settings = {"images": cache.table_lengths(IMAGE_SETS[name][1])}
            for row, train in (("trained", True), ("untrained", False)):
                for seed in self.seeds:
                    config = self.config(name, seed)
                    yield Cell(f"{name}-{row}", seed, functools.partial(measure, config, train), config, settings)

    def tables(self, results: Results) -> list[report.Table]:
        """A table for each image set."""
        return [self._table(name, results) for name in self.sets]

    def _table(self, name: str, results: Results) -> report.Table:
        rows = []
        for key, prefix in (("trained", ""), ("untrained", "untrained, ")):
            cells = [cell["walks"] for cell in results[f"{name}-{key}"]]
            for row in cells[0]:
                space, rule = row.split()
                title = f"{prefix}{SPACES[space]}, step size {rule}"
                rows.append(report.Row.of(title, [above_data(cell[row]) for cell in cells], COLUMNS))
        remark = (
            f"{NUM_CHAINS} chains at inverse temperature {BETA}; {self.size()}. ESS is that of one chain's 100 "
            "energies, pooled over the chains."
        )
        details = {"config": jaxgen.to_json(self.config(name, self.first_seed))}
        title = f"{TITLE}, {IMAGE_SETS[name][0]}"
        return report.Table(f"chains_{name}", title, COLUMNS, rows, [remark], details=details)

    def figures(self, results: Results) -> None:
        """A figure for each image set, of the first seed's trained networks."""
        for name in self.sets:
            draw(self.results_directory / f"chains_{name}.png", results[f"{name}-trained"][0]["walks"])


def run_chains(
    key: Any,
    log_density: Callable[[Any], samplers.latent.LogDensity],
    observe: Callable[[Any, Any], Any],
    state: Any,
    start: Any,
    *,
    adapt: bool,
) -> dict[str, Any]:
    """Run MALA chains from positions `[n, ...]`, and measure the energies along the way.

    `observe(state, positions)` returns images `[n, h, w, c]` and energies `[n]`. If the step size is adapted first, the
    measured chains begin at `start` again.
    """

    @jax.jit
    def run(key: Any, state: Any) -> Any:
        make = lambda size: samplers.Chains(samplers.MALA(log_density(state), size, BETA))
        key_adapt, key_run = jax.random.split(key)
        size = jnp.asarray(STEP_SIZE)
        if adapt:
            adaptation = samplers.StepSizeAdaptation(make, STEP_SIZE)
            adapted, _ = iterate(adaptation.step, key_adapt, adaptation.init(start), length=ADAPTATION_STEPS)
            size = jnp.minimum(jnp.exp(adapted.log_average), MAX_STEP_SIZE)

        def step(key: Any, states: Any) -> Any:
            states, info = make(size).step(key, states)
            images, energy = observe(state, states.position)
            return states, (images[:NUM_SHOWN], energy, info.acceptance)

        _, (images, energy, acceptance) = iterate(step, key_run, make(size).init(start), length=CHAIN_STEPS)
        first_images, first_energy = observe(state, start)
        images = jnp.concatenate([first_images[None, :NUM_SHOWN], images])
        energy = jnp.concatenate([first_energy[None], energy])
        return size, jnp.mean(acceptance), images[::SHOWN_EVERY], energy

    size, acceptance, images, energy = (np.asarray(part) for part in run(key, state))
    chains = energy[1:].T.astype(np.float64)
    return {
        "step_size": float(size),
        "acceptance": float(acceptance),
        "ess": float(metrics.bulk_ess(chains[..., None])[0]) / len(chains),
        "rhat": float(metrics.split_rhat(chains[..., None])[0]),
        "start": float(energy[0].mean()),
        "end": float(energy[-1].mean()),
        "energies": energy.mean(1).tolist(),
        "images": image_models.as_bytes(images),
    }


def measure(config: jaxgen.Config, train: bool, directory: pathlib.Path) -> dict[str, Any]:
    """Run chains of trained or untrained networks in both spaces, with the published and an adapted step size."""
    result, times = training.timed(config, directory, train=train)
    method, state = training.first_model(result)
    key_start, key_run = jax.random.split(training.fresh_key(config.seed))
    z = jax.random.normal(key_start, (NUM_CHAINS, method.latent_dim))
    observe_images = lambda state, x: (image_models.pixels(x), method.energy(state, x))
    observe_latents = lambda state, z: observe_images(state, method.decode(state, z))
    spaces = {
        "latent": (method.latent_log_density, observe_latents, state, z),
        "data": (method.data_log_density, observe_images, state, method.decode(state, z)),
    }
    some = jnp.asarray(config.data.tables()[0][:400])
    energy_of_data = {"data": float(jnp.mean(method.energy(state, data.to_float(some))))}
    walks = {}
    for rule, adapt in (("published", False), ("adapted", True)):
        for space, arguments in spaces.items():
            walks[f"{space} {rule}"] = {**run_chains(key_run, *arguments, adapt=adapt), **energy_of_data}
    return {**times, "walks": walks}


def above_data(walk: dict[str, Any]) -> dict[str, Any]:
    """Subtract the mean energy of training images from the energies at both ends."""
    return {**walk, **{name: walk[name] - walk["data"] for name in ("start", "end")}}


def draw(path: pathlib.Path, walks: dict[str, dict[str, Any]]) -> None:
    """Draw a chain in each row of images, every tenth step, and the mean energy along the way."""
    shown = ("latent published", "data published", "data adapted")
    with report.figure(path, 1, len(shown) + 1, size=4) as axes:
        for axis, row in zip(axes[0], shown, strict=False):
            images = np.array(walks[row]["images"], np.uint8).swapaxes(0, 1)  # [chain, step, h, w, c]
            axis.imshow(report.tiled(images.reshape(-1, *images.shape[2:]), images.shape[1]), cmap="gray")
            axis.set(title=f"{SPACES[row.split()[0]]}, step size {row.split()[1]}", xticks=[], yticks=[])
        for row, walk in walks.items():
            axes[0, -1].plot(walk["energies"], label=row)
        axes[0, -1].axhline(walks[shown[0]]["data"], color="grey", linestyle=":")
        axes[0, -1].set(title="mean energy", xlabel="step")
        axes[0, -1].legend(fontsize="small")


if __name__ == "__main__":
    experiment.main(Experiment)
