"""Cases of the benchmark: the same training step by several implementations, compiled or prepared to run."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxgen
from experiments.common import resources
from jaxgen.data.validation import row_specs
from jaxgen.training import loop
from jaxgen.training.compilation import batch_rows, init_keys, programs, root_keys, step_keys


class Ready(NamedTuple):
    """A case that is ready to run."""

    run: Callable[[], Any]  # takes the case's steps, and waits until they are done
    costs: dict[str, float]  # cost of the preparation by column: seconds of compilation, MiB of XLA's temporaries


@dataclasses.dataclass(frozen=True)
class Case:
    """One implementation of the steps of a comparison."""

    title: str  # title of its row
    steps: int  # steps of one run
    flop: float  # floating-point operations of one step: 2 for each multiplication of matrix products and convolutions
    prepare: Callable[[], Ready]  # compiles or prepares it
    aim: float | None = None  # required ratio of its time to that of the comparison's first case
    needs: str = ""  # module of an optional library
    config: jaxgen.Config | None = None  # what is trained; None for other libraries

    @classmethod
    def of(cls, config: jaxgen.Config, title: str, flop: float, aim: float | None = None) -> "Case":
        """Return the case of jaxgen training a config."""
        return cls(title, config.steps_per_call, flop, lambda: trained(config), aim, config=config)


def resolved_method(config: jaxgen.Config) -> Any:
    """Return the method with the shapes of its data, for any number of devices."""
    return config.method.resolve(*row_specs(config.data.tables()))


def trained(config: jaxgen.Config) -> Ready:
    """Compile one call of `train`: `config.steps_per_call` steps in one program, with the data on the device."""
    tables = config.data.tables()
    config = config.resolved()
    compiled, roots = programs(config), root_keys(config)
    rows = batch_rows(config, roots, tables, 0, config.steps_per_call)
    started = compiled.start(tables, init_keys(roots), tuple(batches[:, 0] for batches in rows))
    placed, state = config.layout.place(tables), config.layout.place(started)
    segment = jax.jit(compiled.segment)
    done = 0
    keys = step_keys(config, roots, np.zeros(config.num_seeds, int), done, config.steps_per_call)
    program, costs = resources.compiled(segment, state, keys, rows, placed)

    def run() -> None:
        nonlocal state, done
        state, _ = loop.run_segment(config, program, state, roots, placed, done)
        done += config.steps_per_call

    return Ready(run, costs)


def equal(ours: float, theirs: float) -> None:
    """Exit unless two implementations compute the same number at the same parameters and noise."""
    if not abs(ours - theirs) <= 1e-4 * max(abs(ours), 1e-2):
        raise SystemExit(f"both implementations must compute the same number (got {ours} and {theirs}); compare them.")


def dense_products(widths: Sequence[int]) -> list[int]:
    """Return the multiplications of each dense layer for one row; the first width is the input's."""
    return [inputs * outputs for inputs, outputs in itertools.pairwise(widths)]


def image_products(latent_dim: int, widths: Sequence[int], channels: int, *, taps: int = 9) -> list[int]:
    """Return the multiplications of each layer of `nets.ConvGenerator` for one image."""
    products = []
    for block, (inputs, outputs) in enumerate(zip((latent_dim, *widths), widths, strict=False)):
        products += [4 ** (block + 1) * outputs * entries for entries in (taps * inputs, 9 * outputs)]
    return [*products, 9 * 4 ** len(widths) * widths[-1] * channels]


def forward(rows: int, products: Sequence[int]) -> float:
    """Return the floating-point operations of evaluating a network."""
    return 2.0 * rows * sum(products)


def backward(rows: int, products: Sequence[int]) -> float:
    """Return those of its gradient: with respect to every kernel, and to every layer's input except the noise."""
    return 2.0 * rows * (2 * sum(products) - products[0])
