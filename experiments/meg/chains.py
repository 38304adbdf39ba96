"""Figures 1 and 4 of Kumar et al., Maximum entropy generators for energy-based models (2019): chains of images.

    python -m experiments.meg.chains                                 # reduced networks on MNIST
    python -m experiments.meg.chains --sets mnist cifar10 faces --output-dir experiments/results
    python -m experiments.meg.chains --paper --sets mnist cifar10 faces   # the paper's size: meant for a GPU
    python -m experiments.meg.chains --quick                         # three minutes

From the same noise one chain walks in the generator's latent space and one among the images themselves, 100 steps each.
The figure shows both; the table says how often proposals were accepted, how many independent draws the energies along
the way are worth, and where the energy went. The published step size and inverse temperature stand beside a step size
that was adapted to acceptance 0.574, of at most 1: a flat density accepts any step. An energy has no zero of its own:
the table has the chains' less the mean of 400 training images.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxgen
from experiments.common import cache, olivetti, report, training
from experiments.meg import image_models
from jaxgen import data, metrics, samplers
from jaxgen.scan import iterate
from jaxgen.serialization.config_json import to_json

TITLE = "Figures 1 and 4: 100 steps of chains from the same starts"
COLUMNS = [
    report.Column("step_size", "step size", 5),
    report.Column("acceptance", "acceptance", 2),
    report.Column("ess", "ESS of the energy, of 100", 1),
    report.Column("rhat", "R-hat of the energy", 2),
    report.Column("start", "energy at the start, above training images'", 1),
    report.Column("end", "at the end", 1),
]
STEP_SIZE, BETA, STEPS, WARM = 0.01, 0.1, 100, 200
LARGEST = 1.0  # step size: a density that is flat accepts any
CHAINS, SHOWN, EVERY = 64, 6, 10
SETS: dict[str, tuple[str, Any]] = {
    "mnist": ("MNIST", data.ScaledToTanh(data.Images("mnist"))),
    "cifar10": ("CIFAR-10", data.ScaledToTanh(data.Images("cifar10"))),
    "faces": ("Olivetti faces", olivetti.Olivetti()),
}
SPACES = {"latent": "latent space", "data": "among the images"}


@dataclasses.dataclass(frozen=True)
class Experiment(image_models.Experiment):
    """Which images, how many seeds, how large."""

    sets: tuple[str, ...] = ("mnist",)
    """Image sets."""
    quick: bool = False
    """Three minutes: one seed of MNIST, 20 steps."""
    cache_dir: pathlib.Path = pathlib.Path("runs/meg/chains")
    """Where cells and checkpoints are kept."""
    output_dir: pathlib.Path = pathlib.Path("runs/meg/chains")
    """Where the table and the figures go."""


def configure(experiment: Experiment, name: str, seed: int) -> jaxgen.Config:
    """Return what is trained."""
    images = SETS[name][1]
    return image_models.configure("meg", images, images.tables()[0].shape[1:], seed, experiment.size())


def walk(
    key: Any,
    log_density: Callable[[Any], samplers.latent.LogDensity],
    look: Callable[[Any, Any], Any],
    state: Any,
    start: Any,
    *,
    adapt: bool,
) -> dict[str, Any]:
    """Walk from starts `[n, ...]`.

    Args:
        key: of the proposals.
        log_density: from the state of networks to the log-density of one place.
        look: from that state and places `[n, ...]` to images `[n, h, w, c]` and energies `[n]`.
        state: of the networks.
        start: `[n, ...]`.
        adapt: whether the step size is adapted before; the walk itself begins at the starts again.

    Returns:
        The step size, the mean acceptance, the energies `[n, steps + 1]`, and some images along the way.
    """

    @jax.jit
    def run(key: Any, state: Any) -> Any:
        make = lambda size: samplers.Chains(samplers.MALA(log_density(state), size, BETA))
        adapted = samplers.StepSizeAdaptation(make, STEP_SIZE)
        key_warm, key_walk = jax.random.split(key)
        size = jnp.asarray(STEP_SIZE)
        if adapt:
            found = jnp.exp(iterate(adapted.step, key_warm, adapted.init(start), length=WARM)[0].log_average)
            size = jnp.minimum(found, LARGEST)

        def step(key: Any, states: Any) -> Any:
            states, moves = make(size).step(key, states)
            images, energy = look(state, states.position)
            return states, (images[:SHOWN], energy, moves.acceptance)

        _, (images, energy, acceptance) = iterate(step, key_walk, make(size).init(start), length=STEPS)
        first, begun = look(state, start)
        images, energy = jnp.concatenate([first[None, :SHOWN], images]), jnp.concatenate([begun[None], energy])
        return size, jnp.mean(acceptance), images[::EVERY], energy

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
        "images": np.uint8(np.round(images * 255)).tolist(),
    }


def measured(experiment: Experiment, name: str, seed: int, *, train: bool) -> dict[str, Any]:
    """Train, or leave untrained, and walk in both spaces, at the published step size and at one that was adapted."""
    config = configure(experiment, name, seed)
    walks = {"step": STEP_SIZE, "beta": BETA, "steps": STEPS, "warm": WARM, "largest": LARGEST, "chains": CHAINS}
    identity = {"config": to_json(config), "trained": train, "images": cache.counted(config.data), **walks}
    where = cache.place(experiment.cache_dir, f"{name}{'' if train else '-untrained'}-{seed}", to_json(config))

    def compute() -> dict[str, Any]:
        method, state, cell = training.networks(config, where, train=train)
        key_start, key_walk = jax.random.split(training.fresh_key(seed))
        z = jax.random.normal(key_start, (CHAINS, method.latent_dim))
        shown = lambda state, x: (image_models.pixels(x), method.energy(state, x))
        decoded = lambda state, z: shown(state, method.decode(state, z))
        places = {
            "latent": (method.latent_log_density, decoded, state, z),
            "data": (method.data_log_density, shown, state, method.decode(state, z)),
        }
        found: dict[str, Any] = {}
        for adapt in (False, True):
            for space, given in places.items():
                found[f"{space} {'adapted' if adapt else 'published'}"] = walk(key_walk, *given, adapt=adapt)
        some = jnp.asarray(SETS[name][1].tables()[0][:400])
        known = float(jnp.mean(method.energy(state, data.to_float(some))))
        return {**cell, "walks": {row: {**walked, "data": known} for row, walked in found.items()}}

    return cache.remembered(where.with_suffix(".json"), identity, compute)


def run(experiment: Experiment) -> list[report.Table]:
    """Train and walk in every cell, and print and write a table and a figure for each image set."""
    if unknown := set(experiment.sets) - set(SETS):
        raise SystemExit(f"there are no sets {sorted(unknown)}; choose from {', '.join(SETS)}.")
    if experiment.quick:
        runs = experiment.cache_dir / "quick"
        steps, sets = min(experiment.steps, 20), experiment.sets[:1]
        experiment = dataclasses.replace(
            experiment, sets=sets, num_seeds=1, steps=steps, paper=False, cache_dir=runs, output_dir=runs
        )
    return [tabulated(experiment, name) for name in experiment.sets]


def tabulated(experiment: Experiment, name: str) -> report.Table:
    """Train and walk in every cell of an image set, print its table, and write it with its figure."""
    title, rows = SETS[name][0], []
    for train in (True, False):
        cells = []
        for seed in range(experiment.first_seed, experiment.first_seed + experiment.num_seeds):
            print(f"{title}, {'trained' if train else 'untrained'}, seed {seed}", flush=True)
            cells.append(measured(experiment, name, seed, train=train)["walks"])
        for row in cells[0]:
            space, rule = row.split()
            told = f"{'' if train else 'untrained, '}{SPACES[space]}, step size {rule}"
            rows.append(report.Row.of(told, [above(cell[row]) for cell in cells], COLUMNS))
        if train:
            draw(experiment.output_dir / f"meg_chains_{name}.png", cells[0])
    remark = (
        f"{CHAINS} chains at inverse temperature {BETA}; {experiment.size().told()}. ESS is that of one chain's 100 "
        "energies, pooled over the chains."
    )
    table = report.Table(f"meg_chains_{name}", f"{TITLE}, {title}", COLUMNS, rows, [remark])
    table.write(experiment.output_dir, {"config": to_json(configure(experiment, name, experiment.first_seed))})
    return table


def above(walked: dict[str, Any]) -> dict[str, Any]:
    """Return what a walk's measures are with energies above the data's."""
    return {**walked, **{name: walked[name] - walked["data"] for name in ("start", "end")}}


def draw(path: pathlib.Path, walks: dict[str, dict[str, Any]]) -> None:
    """Draw a chain in each line, every tenth step, and the mean energy along the way."""
    shown = ("latent published", "data published", "data adapted")
    with report.figure(path, 1, len(shown) + 1, size=4) as axes:
        for axis, row in zip(axes[0], shown, strict=False):
            images = np.array(walks[row]["images"], np.uint8).swapaxes(0, 1)  # [chain, step, h, w, c]
            chains, steps, height, width, channels = images.shape
            joined = images.swapaxes(1, 2).reshape(chains * height, steps * width, channels)
            axis.imshow(joined if channels == 3 else joined[..., 0], cmap="gray")
            axis.set(title=f"{SPACES[row.split()[0]]}, step size {row.split()[1]}", xticks=[], yticks=[])
        for row, walked in walks.items():
            axes[0, -1].plot(walked["energies"], label=row)
        axes[0, -1].axhline(walks[shown[0]]["data"], color="grey", linestyle=":")
        axes[0, -1].set(title="mean energy", xlabel="step")
        axes[0, -1].legend(fontsize="small")


if __name__ == "__main__":
    run(tyro.cli(Experiment))
