"""A shared pool of guesses in one pass and over devices: time on this CPU, and what a TPU slice would need.

    python -m experiments.speed.candidate_pool                      # about fifteen minutes on two CPU cores
    python -m experiments.speed.candidate_pool --output-dir experiments/results/speed   # the committed tables
    python -m experiments.speed.candidate_pool --quick              # a small pool, for one simulated CPU device

Images of MNIST's size, 50 a step, with our network of `experiments.evl.images`, 512 guesses at a time. `TwoPasses` is
the earlier loss: one pass that searches, and another one for the logits. Both take turns in one process, and the
processor's seconds count, since other programs may run. For TPUs the steps are compiled only, by `jaxgen.preflight`,
which needs its compiler. Eight devices take 56 images, as 50 cannot be split.
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import experiment, report, resources
from experiments.common.experiment import Cell, Results
from experiments.speed.preflight import Rows
from experiments.speed.two_passes import TwoPasses
from jaxgen import methods, nets, samplers

MIB = 2**20
WIDTHS, SHAPE, CHUNK = (128, 128, 64, 32, 16), (28, 28, 1), 512
CPU_COLUMNS = [
    report.Column("one", "processor seconds a step, one pass", 2),
    report.Column("two", "two passes", 2),
    report.Column("ratio", "ratio", 2),
]
TARGET_COLUMNS = [
    report.Column("flops", "GFLOP a step on a device", 1),
    report.Column("needed", "memory of a device, MiB", 1),
    report.Column("temporaries", "of these temporaries", 1),
    report.Column("sent", "MiB sent a step", 2),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(experiment.Experiment):
    """Sizes of the pool, and targets."""

    sizes: tuple[int, ...] = (1024, 65_536)  # guesses of a step on this CPU
    repeats: int = 2  # steps of both losses
    chains: int = 16_384  # latent chains to run, on one and on four simulated devices
    target_chains: int = 2**20  # latent chains of the last target
    targets: tuple[str, ...] = ("v5e:1", "v5e:8")  # what to compile for; the first one also for the earlier loss
    earlier: int = 65_536  # guesses of the earlier loss
    guesses: int = 2**20  # guesses of each target

    name = "speed/candidate_pool"
    small = {
        **{"sizes": slice(1), "repeats": 1, "targets": ("cpu:1",), "earlier": 1024, "guesses": 2048},
        **{"chains": 64, "target_chains": 64},
    }

    def cells(self) -> Iterator[Cell]:
        """Each size on this CPU, then each target."""
        for size in self.sizes:
            yield Cell(f"{size:,} guesses", 0, functools.partial(timed, size, self.repeats), config(size))
        yield Cell("chains", 0, functools.partial(chained, self.chains), settings={"chains": self.chains})
        for title, (trained, target) in self._compiled().items():
            yield Cell(title, 0, functools.partial(compiled, trained, target), trained, {"target": target})

    def tables(self, results: Results) -> list[report.Table]:
        """One table of times, one of what targets need."""
        times = [report.Row(f"{size:,} guesses", results[f"{size:,} guesses"][0]) for size in self.sizes]
        alone = results["chains"][0]
        remarks = [
            "Median and range of the steps, which take turns.",
            f"{self.chains:,} latent chains of an untrained MEG in the plane, 5 steps on four simulated devices: "
            f"positions differ by at most {alone['difference']:.1e} from those on one device.",
        ]
        columns = [dataclasses.replace(column, format=report.median_and_range) for column in CPU_COLUMNS]
        needs = [report.Row.of(title, results[title], TARGET_COLUMNS) for title in self._compiled()]
        title = "A step with a shared pool of guesses: 50 images of MNIST's size"
        others = [
            "Eight devices take 56 images, as 50 cannot be split.",
            "Chains are those of a step of MEG in the plane, one for each of its rows, of 5 steps each.",
        ]
        return [
            report.Table("candidate_pool", title, columns, times, remarks, "steps"),
            report.Table("candidate_pool_targets", f"{title}, compiled", TARGET_COLUMNS, needs, others),
        ]

    def _compiled(self) -> dict[str, tuple[jaxgen.Config, str]]:
        """Config and target by title."""
        first, count = self.targets[0], f"{self.earlier:,} guesses"
        rows = {f"{count}, two passes, {first}": (config(self.earlier, True), first)}
        for target in self.targets:
            images = 56 if target.endswith(":8") else 50
            rows[f"{self.guesses:,} guesses, {target}"] = (config(self.guesses, batch_size=images), target)
        last = self.targets[-1]
        return rows | {f"{self.target_chains:,} latent chains, {last}": (chains_config(self.target_chains), last)}


def config(guesses: int, two_passes: bool = False, batch_size: int = 50) -> jaxgen.Config:
    """Return what is trained: one step of our network for images."""
    head = nets.MLP((256,) * 4 + (1,), last_kernel_init=nets.orthogonal)
    kind = TwoPasses if two_passes else methods.SharedPool
    candidates = kind(guesses, CHUNK, over_devices=not two_passes)
    method = methods.EVL(nets.ConvGenerator(SHAPE, WIDTHS), head, latent_dim=2, candidates=candidates)
    return jaxgen.Config(method, Rows((60_000, *SHAPE)), steps=1, steps_per_call=1, batch_size=batch_size)


def chains_config(chains: int) -> jaxgen.Config:
    """Return one step of MEG in the plane, whose negative samples come from this number of chains."""
    method = methods.MEG(n_critic=1, latent_mcmc=methods.LatentMCMC(5))
    return jaxgen.Config(method, Rows((chains, 2)), steps=1, steps_per_call=1, batch_size=chains)


def timed(guesses: int, repeats: int, directory: pathlib.Path) -> dict[str, list[float]]:
    """Measure in a fresh process."""
    return resources.in_fresh_process(processor_seconds, guesses, repeats)


def processor_seconds(guesses: int, repeats: int) -> dict[str, list[float]]:
    """Return the processor's seconds of steps with both losses; to be called in a process of its own."""
    rows = jnp.asarray(np.random.default_rng(0).uniform(size=(50, *SHAPE)), jnp.float32)
    runs: dict[str, list[float]] = {"one": [], "two": []}
    programs: dict[str, Any] = {}
    results: dict[str, float] = {}
    for name in runs:
        method: Any = config(guesses, name == "two").method.resolve(jax.ShapeDtypeStruct(SHAPE, jnp.float32))
        state = jax.jit(method.init)(jax.random.key(0), rows)
        programs[name], arguments = jax.jit(method.step), (jax.random.key(1), state, rows)
    programs = {name: program.lower(*arguments).compile() for name, program in programs.items()}
    for _ in range(repeats):
        for name, program in programs.items():
            begun = time.process_time()
            results[name] = float(program(*arguments)[1]["loss"])
            runs[name].append(time.process_time() - begun)
    if not abs(results["one"] - results["two"]) <= 1e-4 * abs(results["two"]):
        raise SystemExit(f"both losses must be equal (got {results}); compare them.")
    return {**runs, "ratio": [one / two for one, two in zip(runs["one"], runs["two"], strict=True)]}


def chained(chains: int, directory: pathlib.Path) -> dict[str, float]:
    """Compare in a fresh process, whose number of devices can be set."""
    return resources.in_fresh_process(chains_over_devices, chains)


def chains_over_devices(chains: int) -> dict[str, float]:
    """Return the largest difference of chains on four devices to those on one; to be called in a process of its own."""
    jax.config.update("jax_num_cpu_devices", 4)
    method: Any = chains_config(chains).method.resolve(jax.ShapeDtypeStruct((2,), jnp.float32))
    state = jax.jit(method.init)(jax.random.key(0), jnp.zeros((1, 2)))
    start = jax.random.normal(jax.random.key(1), (chains, method.latent_dim))
    mala = samplers.MALA(method.latent_log_density(state), 0.01)

    def run(axis_name: str | None, start: jax.Array) -> jax.Array:
        several = samplers.Chains(mala, axis_name)
        return several.draw(jax.random.key(2), several.init(start), 5)[1]

    mesh = jax.make_mesh((4,), ("devices",), (jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec("devices")
    split = jax.shard_map(functools.partial(run, "devices"), mesh=mesh, in_specs=rows, out_specs=rows)
    one, four = (np.asarray(jax.jit(draw)(start)) for draw in (functools.partial(run, None), split))
    return {"difference": float(np.max(np.abs(one - four)))}


def compiled(config: jaxgen.Config, target: str, directory: pathlib.Path) -> dict[str, float]:
    """Return what a step needs on a device of a target."""
    answer = jaxgen.preflight(config, target)
    print(answer, flush=True)
    return {
        "flops": answer.flops / 1e9,
        "needed": answer.needed_bytes / MIB,
        "temporaries": (answer.temporary_bytes or 0) / MIB,
        "sent": answer.bytes_sent / MIB,
    }


if __name__ == "__main__":
    experiment.main(Experiment)
