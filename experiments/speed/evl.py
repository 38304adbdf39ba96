"""Cases of extreme value networks: training steps by jaxgen, by plain autodiff, and in eager PyTorch."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.evl import baselines
from experiments.speed.case import (
    Case,
    Ready,
    backward,
    dense_products,
    equal,
    forward,
    image_products,
    resolved_method,
)
from jaxgen import data, methods, nets
from jaxgen.optim import torch_rmsprop


def own(quick: bool) -> list[Case]:
    """The paper's protocol in low dimensions: 128 guesses for each of 200 targets, five layers of 256."""
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
        from experiments.speed.torch_networks import adopt, dense

        return torch_evl.PerTarget(adopt(dense((16, *network.widths)), params["generator"]["params"]))

    title = f"{published.batch_size} targets x {guesses} guesses of their own"
    eager = lambda: plain(of(None), steps, make, rows)
    return [
        Case.of(of(chunk), f"{title}: jaxgen, {chunk} targets at a time", flop),
        Case.of(of(None), f"{title}: jaxgen, all targets at once", flop),
        Case(f"{title}: eager PyTorch", steps, flop, eager, aim=2, needs="torch"),
    ]


def pool(quick: bool) -> list[Case]:
    """The paper's images: 512 guesses shared by 50 targets, ten convolutions, and a weight network of four layers."""
    widths, head, guesses, chunk, batch = (
        ((16, 8, 8, 4, 4), (8,), 32, 8, 10) if quick else ((512, 256, 128, 128, 64), (256,) * 4, 512, 64, 50)
    )
    shape, latent_dim, steps = (28, 28, 1), 2, 1
    pixels = np.random.default_rng(0).uniform(size=(10 * batch, *shape)).astype(np.float32)  # no real images needed

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
        from experiments.speed.torch_networks import adopt, dense

        generator = adopt(torch_evl.convolutional(latent_dim, widths, shape), params["generator"]["params"])
        weight_network = adopt(dense((latent_dim, *head, 1)), params["weight_network"]["params"])
        return torch_evl.SharedPool(generator, weight_network)

    logits, search = dense_products((latent_dim, *head, 1)), 2.0 * batch * guesses * pixels[0].size

    def differentiated(rows: int, images: Sequence[int]) -> float:
        return forward(rows, [*images, *logits]) + backward(rows, images) + backward(rows, logits)

    full = image_products(latent_dim, widths, shape[2])
    images = image_products(latent_dim, widths, shape[2], taps=4) if jax.devices()[0].platform == "cpu" else full
    normalizer = 2 * forward(guesses, logits) + backward(guesses, logits)
    searched = forward(guesses, images) + differentiated(batch, images) + normalizer
    title = f"{batch} images, {guesses} shared guesses"
    flop, eager = differentiated(guesses, full) + search, lambda: plain(of(None), steps, make, guesses)
    return [
        Case.of(of(chunk), f"{title}: jaxgen, {chunk} at a time", searched + search),
        Case.of(of(None), f"{title}: jaxgen, through all of it", differentiated(guesses, images) + search, aim=2),
        Case(f"{title}: eager PyTorch, through all of it", steps, flop, eager, aim=2, needs="torch"),
    ]


def plain(config: jaxgen.Config, steps: int, make: Callable[[Any], Any], guesses: int) -> Ready:
    """Prepare the step in eager PyTorch, and check that its loss equals jaxgen's at the same parameters and noise."""
    import torch

    from experiments.speed import torch_evl
    from experiments.speed.torch_networks import descend

    (table,), method = config.data.tables(), resolved_method(config)
    key, x = jax.random.key(0), table[: config.batch_size]
    params = method.init(key, jnp.asarray(x)).params
    loss = make(params)
    noise = np.array(jax.random.normal(key, (guesses, method.latent_dim)))
    equal(float(method.loss(key, params, {}, jnp.asarray(x))[0]), torch_evl.value(loss, noise, x))
    optimizer = torch.optim.RMSprop(loss.parameters(), lr=5e-4)
    batches = torch.tensor(table[: steps * config.batch_size]).split(config.batch_size)

    def run() -> None:
        for batch in batches:
            descend(optimizer, loss(torch.randn(noise.shape), batch))

    return Ready(run, {})
