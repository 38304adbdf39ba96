"""Time to the first training step in a fresh process: importing, tracing, compiling, drawing parameters.

    python -m experiments.speed.first_step --output-dir experiments/results/speed   # ten minutes on two cores
    python -m experiments.speed.first_step --before ../other-checkout --quick   # next to another checkout

Each measurement is a process of its own without a persistent cache of compiled programs. It trains twice for the same
number of steps, from two seeds. The second run finds everything compiled, so the difference is the time before the
first step. Methods have their default settings; FlowJAX trains a flow with the same number of couplings and widths.
"""

import dataclasses
import json
import os
import pathlib
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro

if TYPE_CHECKING:
    from experiments.common import report  # which imports what a measured process should not have

STAGES = {"backend_compile": "xla", "jaxpr_trace": "trace", "jaxpr_to_mlir_module": "trace"}
ROWS = {
    "evl": "EVL, 1,000 x 2",
    "flow": "Flow, 1,000 x 10",
    "flowjax": "FlowJAX's fit_to_data, 1,000 x 10",
    "meg": "MEG, 1,000 x 2",
    "mmd": "MMDMap, 1,000 x 2",
    "vae": "NegativeSamplingVAE, adversarial, 28 x 28 x 1",
}
QUICK = ("mmd",)
COLUMN_TITLES = {
    "seconds": "s to the first step",
    "xla": "of these XLA",
    "trace": "tracing and lowering",
    "rest": "the rest",
    "cores": "core s to the first step",
    "programs": "programs compiled",
    "imports": "s to import",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Methods, and number of repeats."""

    rows: tuple[str, ...] = tuple(ROWS)  # methods to measure
    repeats: int = 5  # fresh processes of each, interleaved
    before: pathlib.Path | None = None  # another checkout to compare with
    quick: bool = False  # one method once; the times mean nothing
    output_dir: pathlib.Path = pathlib.Path("runs/speed/first_step")  # directory of the table


def run(experiment: Experiment) -> "report.Table":
    """Measure every method in fresh processes, print the table, and write it."""
    from experiments.common import report

    if unknown := set(experiment.rows) - set(ROWS):
        raise SystemExit(f"there are no rows {sorted(unknown)}; choose from {', '.join(ROWS)}.")
    if experiment.quick:
        experiment = dataclasses.replace(experiment, rows=QUICK, repeats=1)
    here = pathlib.Path(__file__).parents[2]
    checkouts = {"": here} | ({} if experiment.before is None else {", before": experiment.before.absolute()})
    measured: dict[str, list[dict[str, float]]] = {}
    for _ in range(experiment.repeats):
        for name in experiment.rows:
            for which, checkout in checkouts.items():
                if not (name == "flowjax" and which):
                    measured.setdefault(ROWS[name] + which, []).append(fresh(name, checkout))
    digits = lambda name: 0 if name == "programs" else 1
    columns = [
        report.Column(name, title, digits(name), report.median_and_range) for name, title in COLUMN_TITLES.items()
    ]
    rows = [report.Row.of(title, cells, columns) for title, cells in measured.items()]
    remark = (
        f"Medians of {experiment.repeats} fresh processes, and their range; importing is not included. A function that "
        "is traced within another counts twice, and two programs that are compiled at the same time both count, so the "
        "rest can be negative."
    )
    title = "Time to the first training step in a fresh process"
    table = report.Table("first_step", title, columns, rows, [remark], "processes", "aim")
    table.write(experiment.output_dir)
    return table


def fresh(name: str, checkout: pathlib.Path) -> dict[str, float]:
    """Measure one method of a checkout in a fresh process."""
    environment = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"PYTHONPATH": str(checkout), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(pathlib.Path(__file__).absolute()), "--measure", name]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} in {checkout} failed:\n{done.stderr[-2000:]}")
    print(f"{name} in {checkout.name}: {done.stdout.splitlines()[-1]}", flush=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(name: str) -> dict[str, float]:
    """Return what the first run in this process took longer than the second, in seconds, by stage."""
    begun = time.perf_counter()
    train = _flowjax() if name == "flowjax" else _jaxgen(name)
    imports = time.perf_counter() - begun
    import jax

    spent: dict[str, float] = defaultdict(float)

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        for part, stage in STAGES.items():
            if event.endswith(f"{part}_duration"):
                spent[stage] += duration_secs
                spent["programs"] += stage == "xla"

    jax.monitoring.register_event_duration_secs_listener(listen)
    first = _clock(lambda: train(0))
    compiled = spent.copy()
    spent.clear()
    seconds, cores = (one - other for one, other in zip(first, _clock(lambda: train(1)), strict=True))
    stages = {stage: compiled[stage] - spent[stage] for stage in ("xla", "trace")}
    rest = seconds - sum(stages.values())
    return {**stages, "rest": rest, "seconds": seconds, "cores": cores, "imports": imports} | {
        "programs": compiled["programs"] - spent["programs"]
    }


def _jaxgen(name: str) -> Callable[[int], Any]:
    """Import what trains, and return a function of a seed."""
    import jaxgen
    from jaxgen import data, methods

    train, random = jaxgen.train, np.random.default_rng(0)
    shape, steps = {"flow": ((1000, 10), 100), "vae": ((1000, 28, 28, 1), 2)}.get(name, ((1000, 2), 100))
    x = random.uniform(size=shape).astype(np.float32)
    tables = data.Zip((data.Arrays(x), data.Arrays(x + 1))) if name == "mmd" else data.Arrays(x)
    make: dict[str, Callable[[], Any]] = {
        "evl": methods.EVL,
        "flow": methods.Flow,
        "meg": methods.MEG,
        "mmd": methods.MMDMap,
        "vae": lambda: methods.NegativeSamplingVAE(negatives=methods.ModelSamples()),
    }
    config = jaxgen.Config(make[name](), tables, steps=steps, steps_per_call=steps)
    return lambda seed: train(dataclasses.replace(config, seed=seed), progress=False)


def _flowjax() -> Callable[[int], Any]:
    """Import FlowJAX, and return a function of a seed that takes about 100 steps on batches of 200."""
    import equinox
    import jax
    from flowjax import distributions, flows, train

    x = np.random.default_rng(0).uniform(size=(1000, 10)).astype(np.float32)
    draw = lambda key: flows.coupling_flow(
        key, base_dist=distributions.StandardNormal((10,)), flow_layers=8, nn_width=128, nn_depth=2
    )

    def fit(seed: int) -> Any:
        keys = jax.random.split(jax.random.key(seed))
        fitted, _ = train.fit_to_data(
            keys[0], draw(keys[1]), x, max_epochs=25, max_patience=25, batch_size=200, val_prop=0.2, show_progress=False
        )
        return jax.block_until_ready(equinox.filter(fitted, equinox.is_array))

    return fit


def _clock(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds that something takes by the clock, and by all cores together."""
    used = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    begun, worked = time.perf_counter(), used()
    run()
    return time.perf_counter() - begun, used() - worked


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        run(tyro.cli(Experiment))
