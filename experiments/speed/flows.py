"""What the benchmark races of normalising flows: training steps of affine couplings, by jaxgen and by FlowJAX."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgen
from experiments.common import resources
from experiments.speed.evl import Contender, Ready, dense_products, equal, forward
from jaxgen import data, methods, nets
from jaxgen.data.validation import row_specs

__all__ = ["adopted", "couplings", "drawn"]

DEPTH, CLAMP, RATE = 8, 2.0, 1e-3  # couplings, the bound of a scale's logarithm, and the learning rate


def couplings(quick: bool) -> list[Contender]:
    """A step on the likelihood of rows in the plane, in their order: eight affine couplings in turn on each feature.

    The networks in the couplings are the same; jaxgen's flow scales the two features before, with four parameters.
    FlowJAX flips the features after every coupling, which in the plane moves one and the other in turn as well.
    """
    width, rows, steps = (16, 64, 2) if quick else (128, 512, 50)
    x = np.random.default_rng(0).normal(size=(10 * steps * rows, 2)).astype(np.float32)
    network = nets.dense_flow(2, depth=DEPTH, widths=(width, width), clamp=CLAMP)
    method = methods.Flow(network, learning_rate=RATE)
    config = jaxgen.Config(
        method, data.Arrays(x), steps=1000 * steps, batch_size=rows, steps_per_call=steps, shuffle=False
    )
    products = dense_products((1, width, width, 2))
    flop = 3 * DEPTH * forward(rows, products)  # the loss, and its gradients by kernels and by rows
    title = f"{DEPTH} affine couplings, {width}x2, {rows} rows in the plane"
    return [
        Contender.of(config, f"{title}: jaxgen", flop),
        Contender(
            f"{title}: FlowJAX, its steps in one scan", steps, flop, lambda: _scanned(config, width), 1, "flowjax"
        ),
        Contender(f"{title}: FlowJAX, a step at a time", steps, flop, lambda: _one_by_one(config, width), 1, "flowjax"),
    ]


def drawn(config: jaxgen.Config) -> tuple[Any, Any]:
    """Return the flow and parameters that move rows: the first scaling is none, and no kernel is zero."""
    tables = config.data.tables()
    method: Any = config.method.resolve(*row_specs(tables))

    def draw(key: Any, x: Any) -> Any:
        leaves, form = jax.tree.flatten(method.init(key, x).params["params"])
        keys = jax.random.split(key, len(leaves))
        moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        params = jax.tree.unflatten(form, moved)
        return {"params": params | {"layers_0": jax.tree.map(jnp.zeros_like, params["layers_0"])}}

    return method, jax.jit(draw)(jax.random.key(0), tables[0][: config.batch_size])


def adopted(params: Any, width: int) -> Any:
    """Return FlowJAX's flow of as many couplings, with the same bound on scales and the same parameters.

    Args:
        params: of jaxgen's flow, whose first scaling is none.
        width: of the two hidden layers.
    """
    import equinox
    import paramax
    from flowjax import bijections, distributions, flows

    bounded = paramax.Parameterize(lambda raw: jnp.exp(CLAMP * jnp.tanh(raw / CLAMP)), jnp.zeros(()))
    flow = flows.coupling_flow(
        jax.random.key(0),
        base_dist=distributions.StandardNormal((2,)),
        transformer=equinox.tree_at(lambda affine: affine.scale, bijections.Affine(), bounded),
        flow_layers=DEPTH,
        nn_width=width,
        nn_depth=2,
    )
    stacked = params["params"]["layers_1"]["coupling"]["MLP_0"]
    layers = [stacked[f"Dense_{place}"] for place in range(3)]
    # FlowJAX's networks make the shift first, and then what makes the scale.
    layers[2] = jax.tree.map(lambda leaf: leaf[..., ::-1], layers[2])
    weights = [jnp.swapaxes(layer["kernel"], 1, 2) for layer in layers] + [layer["bias"] for layer in layers]
    networks = lambda flow: flow.bijection.bijection.bijection.bijections[0].conditioner.layers
    return equinox.tree_at(
        lambda flow: [layer.weight for layer in networks(flow)] + [layer.bias for layer in networks(flow)],
        flow,
        weights,
    )


def _theirs(config: jaxgen.Config, width: int) -> tuple[Any, Any, Any]:
    """Return FlowJAX's parameters, optimiser and step, having compared losses and gradients for the same parameters."""
    import equinox
    import paramax
    from flowjax import train
    from flowjax.train.losses import MaximumLikelihoodLoss

    method, params = drawn(config)
    left_out = lambda leaf: isinstance(leaf, paramax.NonTrainable)
    flow, static = equinox.partition(adopted(params, width), equinox.is_inexact_array, is_leaf=left_out)
    loss, optimizer = MaximumLikelihoodLoss(), optax.adam(RATE)
    x = jnp.asarray(config.data.tables()[0][: config.batch_size])
    ours, gradient = jax.jit(jax.value_and_grad(lambda p: method.loss(jax.random.key(0), p, {}, x)[0]))(params)
    theirs, other = equinox.filter_jit(equinox.filter_value_and_grad(loss))(flow, static, x)
    square = lambda tree: sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(tree))
    equal(float(ours), float(theirs))
    equal(square(gradient) - square(gradient["params"]["layers_0"]), square(other))

    def step(flow: Any, memory: Any, x: Any) -> tuple[Any, Any, Any]:
        return train.step(flow, static, x, optimizer=optimizer, opt_state=memory, loss_fn=loss)

    return flow, optimizer.init(flow), step


def _batches(config: jaxgen.Config) -> jax.Array:
    (table,) = config.data.tables()
    return jnp.asarray(
        table[: config.steps_per_call * config.batch_size].reshape(config.steps_per_call, config.batch_size, 2)
    )


def _scanned(config: jaxgen.Config, width: int) -> Ready:
    """Make ready FlowJAX's steps in one program, over batches on the device."""
    flow, memory, step = _theirs(config, width)
    batches = _batches(config)

    def advance(state: Any, batches: Any) -> Any:
        def body(state: Any, x: Any) -> tuple[Any, Any]:
            flow, memory, value = step(*state, x)
            return (flow, memory), value

        return jax.lax.scan(body, state, batches)

    state = jax.tree.map(jnp.copy, (flow, memory))  # no two leaves that are given away share memory
    program, found = resources.compiled(jax.jit(advance, donate_argnums=0), state, batches)

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(program(state, batches))

    return Ready(run, found)


def _one_by_one(config: jaxgen.Config, width: int) -> Ready:
    """Make ready FlowJAX's steps as its own training calls them, one after another from Python."""
    flow, memory, step = _theirs(config, width)
    batches = list(_batches(config))
    begun = time.perf_counter()
    jax.block_until_ready(step(flow, memory, batches[0]))
    seconds = time.perf_counter() - begun

    def run() -> None:
        nonlocal flow, memory
        for batch in batches:
            flow, memory, _ = step(flow, memory, batch)
        jax.block_until_ready(flow)

    return Ready(run, {"compile": seconds})
