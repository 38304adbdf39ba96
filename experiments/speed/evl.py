"""What the benchmark races: the same training step by jaxgen, by plain autodiff, and in eager PyTorch."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import resources
from experiments.evl import baselines
from jaxgen import data, methods, nets
from jaxgen.data.validation import row_specs
from jaxgen.optim import torch_rmsprop
from jaxgen.training import loop
from jaxgen.training.compilation import batch_rows, programs, root_keys

__all__ = [
    "Contender",
    "Ready",
    "backward",
    "dense_products",
    "equal",
    "forward",
    "image_products",
    "own",
    "plain",
    "pool",
    "trained",
]


class Ready(NamedTuple):
    """A contender that can run.

    Attributes:
        run: takes the contender's steps, and waits for them.
        costs: what it cost to make it ready, by column: seconds to compile, MiB of XLA's temporaries.
    """

    run: Callable[[], Any]
    costs: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to take the steps of a race.

    Attributes:
        title: what is done, and by what.
        steps: taken by one run.
        flop: arithmetic of one step: 2 for each multiplication of matrix products and convolutions.
        prepare: makes it ready.
        aim: how many times as fast the race's first contender should be.
        needs: module of a library that may not be installed.
        config: what is trained, where it is by jaxgen.
    """

    title: str
    steps: int
    flop: float
    prepare: Callable[[], Ready]
    aim: float | None = None
    needs: str = ""
    config: jaxgen.Config | None = None

    @classmethod
    def of(cls, config: jaxgen.Config, title: str, flop: float, aim: float | None = None) -> "Contender":
        """Return jaxgen, training a config."""
        return cls(title, config.steps_per_call, flop, lambda: trained(config), aim, config=config)


def trained(config: jaxgen.Config) -> Ready:
    """Make ready what `train` does between two looks: `config.steps_per_call` steps in one compiled program."""
    tables = config.data.tables()
    config = loop.resolved(config, row_specs(tables))
    compiled, roots = programs(config), root_keys(config)
    rows = batch_rows(config, roots, tables, 0, config.steps_per_call)
    started = compiled.start(tables, roots, tuple(batches[:, 0] for batches in rows))
    placed, state = config.layout.place(tables), config.layout.place(started)
    segment = jax.jit(compiled.segment)
    done = 0
    program, found = resources.compiled(
        segment, state, roots, np.zeros(config.num_seeds, np.int32), rows, placed, np.int32(done)
    )

    def run() -> None:
        nonlocal state, done
        state, _ = loop.advance(config, program, state, roots, placed, done)
        done += config.steps_per_call

    return Ready(run, found)


def plain(config: jaxgen.Config, steps: int, make: Callable[[Any], Any], guesses: int) -> Ready:
    """Make ready the same step in eager PyTorch.

    Args:
        config: what jaxgen trains.
        steps: taken by one run.
        make: makes the loss, given parameters.
        guesses: rows of noise in one step.

    Returns:
        The contender, whose loss was compared with jaxgen's for the same parameters and the same noise.
    """
    import torch

    from experiments.speed import torch_evl

    (table,) = config.data.tables()
    method: Any = config.method.resolve(*row_specs((table,)))
    key, x = jax.random.key(0), table[: config.batch_size]
    params = method.init(key, jnp.asarray(x)).params
    loss = make(params)
    noise = np.array(jax.random.normal(key, (guesses, method.latent_dim)))
    ours, theirs = float(method.loss(key, params, {}, jnp.asarray(x))[0]), torch_evl.value(loss, noise, x)
    equal(ours, theirs)
    optimizer = torch.optim.RMSprop(loss.parameters(), lr=5e-4)
    batches = torch.tensor(table[: steps * config.batch_size]).split(config.batch_size)

    def run() -> None:
        for batch in batches:
            torch_evl.descend(loss, optimizer, noise.shape, batch)

    return Ready(run, {})


def equal(ours: float, theirs: float) -> None:
    """Refuse to race what does not do the same, for the same parameters and noise."""
    if not abs(ours - theirs) <= 1e-4 * max(abs(ours), 1e-2):
        raise SystemExit(f"the numbers are {ours} and {theirs}: the contenders do not do the same.")


def dense_products(widths: Sequence[int]) -> list[int]:
    """Return the multiplications that each layer takes for one row; the first width is the input's."""
    return [inputs * outputs for inputs, outputs in itertools.pairwise(widths)]


def image_products(latent_dim: int, widths: Sequence[int], channels: int, *, taps: int = 9) -> list[int]:
    """Return the multiplications that each layer of the image generator takes for one row.

    Args:
        latent_dim: of the noise.
        widths: features of each block.
        channels: of the images.
        taps: of the kernel on each doubled pixel; 4 where `nets.convolve_upsampled` adds those on equal pixels.
    """
    found = []
    for block, (inputs, outputs) in enumerate(zip((latent_dim, *widths), widths, strict=False)):
        found += [4 ** (block + 1) * outputs * tapped for tapped in (taps * inputs, 9 * outputs)]
    return [*found, 9 * 4 ** len(widths) * widths[-1] * channels]


def forward(rows: int, products: Sequence[int]) -> float:
    """Return the arithmetic of evaluating a network."""
    return 2.0 * rows * sum(products)


def backward(rows: int, products: Sequence[int]) -> float:
    """Return the arithmetic of its gradient: of every kernel, and of every layer's input but the noise."""
    return 2.0 * rows * (2 * sum(products) - products[0])


def own(quick: bool) -> list[Contender]:
    """The paper's protocol in low dimensions: 128 guesses of its own for each of 200 targets, five layers of 256."""
    steps, guesses, chunk, widths = (2, 4, 50, (16,) * 2) if quick else (5, 128, 10, (256,) * 5)
    published = dataclasses.replace(
        baselines.extreme_value(data.SwissRoll(seed=0), 0), steps=1000 * steps, steps_per_call=steps
    )
    network = nets.MLP((*widths, 4))

    def of(chunk: int | None) -> jaxgen.Config:
        method: Any = published.method
        method = dataclasses.replace(method, generator=network, candidates=methods.PerTarget(guesses, chunk))
        return dataclasses.replace(published, method=method)

    products, rows = dense_products((16, *network.widths)), published.batch_size * guesses
    flop = forward(rows, products) + backward(rows, products)

    def make(params: Any) -> Any:
        from experiments.speed import torch_evl

        return torch_evl.PerTarget(torch_evl.adopt(torch_evl.dense((16, *network.widths)), params["generator"]))

    title = f"{published.batch_size} targets x {guesses} guesses of their own"
    return [
        Contender.of(of(chunk), f"{title}: jaxgen, {chunk} targets at a time", flop),
        Contender.of(of(None), f"{title}: jaxgen, all targets at once", flop),
        Contender(
            f"{title}: eager PyTorch", steps, flop, lambda: plain(of(None), steps, make, rows), aim=2, needs="torch"
        ),
    ]


def pool(quick: bool) -> list[Contender]:
    """The paper's images: 512 guesses shared by 50 targets, made by ten convolutions, with a head of four layers."""
    widths, head, guesses, chunk, batch = (
        ((16, 8, 8, 4, 4), (8,), 32, 8, 10) if quick else ((512, 256, 128, 128, 64), (256,) * 4, 512, 64, 50)
    )
    shape, latent_dim, steps = (28, 28, 1), 2, 1
    pixels = np.random.default_rng(0).uniform(size=(10 * batch, *shape)).astype(np.float32)  # as good as any images

    def of(chunk: int | None) -> jaxgen.Config:
        method = methods.EVL(
            generator=nets.ConvGenerator(shape, widths),
            weight_network=nets.MLP((*head, 1)),
            latent_dim=latent_dim,
            candidates=methods.SharedPool(guesses, chunk),
            optimizer=torch_rmsprop,
            learning_rate=5e-4,
            ema_decay=None,
        )
        return jaxgen.Config(
            method, data.Arrays(pixels), steps=1000, batch_size=batch, steps_per_call=steps, shuffle=False
        )

    def make(params: Any) -> Any:
        from experiments.speed import torch_evl

        generator = torch_evl.adopt(torch_evl.convolutional(latent_dim, widths, shape), params["generator"])
        return torch_evl.SharedPool(generator, torch_evl.adopt(torch_evl.dense((latent_dim, *head, 1)), params["head"]))

    logits, search = dense_products((latent_dim, *head, 1)), 2.0 * batch * guesses * pixels[0].size

    def differentiated(rows: int, images: Sequence[int]) -> float:
        return forward(rows, [*images, *logits]) + backward(rows, images) + backward(rows, logits)

    plainly = image_products(latent_dim, widths, shape[2])
    images = image_products(latent_dim, widths, shape[2], taps=4) if jax.default_backend() == "cpu" else plainly
    normaliser = 2 * forward(guesses, logits) + backward(guesses, logits)
    searched = forward(guesses, images) + differentiated(batch, images) + normaliser
    title = f"{batch} images, {guesses} shared guesses"
    return [
        Contender.of(of(chunk), f"{title}: jaxgen, {chunk} at a time", searched + search),
        Contender.of(of(None), f"{title}: jaxgen, through all of it", differentiated(guesses, images) + search, aim=2),
        Contender(
            f"{title}: eager PyTorch, through all of it",
            steps,
            differentiated(guesses, plainly) + search,
            lambda: plain(of(None), steps, make, guesses),
            aim=2,
            needs="torch",
        ),
    ]
