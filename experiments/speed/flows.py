"""Cases of normalizing flows: training steps of affine couplings, by jaxgen and by FlowJAX."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgen
from experiments.common import resources
from experiments.speed.case import Case, Ready, dense_products, equal, forward, resolved_method
from jaxgen import data, methods, nets

DEPTH, CLAMP, RATE = 8, 2.0, 1e-3  # number of couplings, bound of the log-scale, learning rate


def couplings(quick: bool) -> list[Case]:
    """A maximum likelihood step of eight affine couplings in the plane, on batches in order.

    The conditioners are the same. jaxgen's flow first scales the two features, with four parameters. FlowJAX flips the
    features after every coupling, which in the plane transforms them in turn as well.
    """
    width, rows, steps = (16, 64, 2) if quick else (128, 512, 50)
    x = np.random.default_rng(0).normal(size=(10 * steps * rows, 2)).astype(np.float32)
    network = nets.dense_flow(2, depth=DEPTH, widths=(width, width), clamp=CLAMP)
    method = methods.Flow(network, learning_rate=RATE, ema_decay=None)
    config = jaxgen.Config(
        method, data.Arrays(x), steps=1000 * steps, batch_size=rows, steps_per_call=steps, shuffle=False
    )
    products = dense_products((1, width, width, 2))
    flop = 3 * DEPTH * forward(rows, products)  # the loss, and its gradients with respect to kernels and inputs
    title = f"{DEPTH} affine couplings, {width}x2, {rows} rows in the plane"
    return [
        Case.of(config, f"{title}: jaxgen", flop),
        Case(f"{title}: FlowJAX, its steps in one scan", steps, flop, lambda: _scanned(config, width), 1, "flowjax"),
        Case(f"{title}: FlowJAX, a step at a time", steps, flop, lambda: _one_by_one(config, width), 1, "flowjax"),
    ]


def initial(config: jaxgen.Config) -> tuple[Any, Any]:
    """Return the flow, and parameters with nonzero kernels and the identity as first scaling."""
    method = resolved_method(config)

    def draw(key: Any, x: Any) -> Any:
        leaves, form = jax.tree.flatten(method.init(key, x).params["params"])
        keys = jax.random.split(key, len(leaves))
        moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        params = jax.tree.unflatten(form, moved)
        return {"params": params | {"layers_0": jax.tree.map(jnp.zeros_like, params["layers_0"])}}

    return method, jax.jit(draw)(jax.random.key(0), config.data.tables()[0][: config.batch_size])


def adopt(params: Any, width: int) -> Any:
    """Return FlowJAX's flow with the same couplings, bound of the log-scale, and parameters."""
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
    # FlowJAX's conditioners return the shift before the log-scale.
    layers[2] = jax.tree.map(lambda leaf: leaf[..., ::-1], layers[2])
    weights = [jnp.swapaxes(layer["kernel"], 1, 2) for layer in layers] + [layer["bias"] for layer in layers]
    networks = lambda flow: flow.bijection.bijection.bijection.bijections[0].conditioner.layers
    return equinox.tree_at(
        lambda flow: [layer.weight for layer in networks(flow)] + [layer.bias for layer in networks(flow)],
        flow,
        weights,
    )


def _theirs(config: jaxgen.Config, width: int) -> tuple[Any, Any, Any]:
    """Return FlowJAX's parameters, optimizer state and step; its loss and gradient are checked to equal jaxgen's."""
    import equinox
    import paramax
    from flowjax import train
    from flowjax.train.losses import MaximumLikelihoodLoss

    method, params = initial(config)
    frozen = lambda leaf: isinstance(leaf, paramax.NonTrainable)
    flow, static = equinox.partition(adopt(params, width), equinox.is_inexact_array, is_leaf=frozen)
    loss, optimizer = MaximumLikelihoodLoss(), optax.adam(RATE)
    x = jnp.asarray(config.data.tables()[0][: config.batch_size])
    ours, gradient = jax.jit(jax.value_and_grad(lambda p: method.loss(jax.random.key(0), p, {}, x)[0]))(params)
    theirs, other = equinox.filter_jit(equinox.filter_value_and_grad(loss))(flow, static, x)
    square = lambda tree: sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(tree))
    equal(float(ours), float(theirs))
    equal(square(gradient) - square(gradient["params"]["layers_0"]), square(other))

    def step(flow: Any, opt_state: Any, x: Any) -> tuple[Any, Any, Any]:
        return train.step(flow, static, x, optimizer=optimizer, opt_state=opt_state, loss_fn=loss)

    return flow, optimizer.init(flow), step


def _batches(config: jaxgen.Config) -> jax.Array:
    (table,) = config.data.tables()
    return jnp.asarray(
        table[: config.steps_per_call * config.batch_size].reshape(config.steps_per_call, config.batch_size, 2)
    )


def _scanned(config: jaxgen.Config, width: int) -> Ready:
    """Compile FlowJAX's steps into one program, over batches on the device."""
    flow, opt_state, step = _theirs(config, width)
    batches = _batches(config)

    def run_segment(state: Any, batches: Any) -> Any:
        def body(state: Any, x: Any) -> tuple[Any, Any]:
            flow, opt_state, value = step(*state, x)
            return (flow, opt_state), value

        return jax.lax.scan(body, state, batches)

    state = jax.tree.map(jnp.copy, (flow, opt_state))  # donated leaves must not share memory
    program, costs = resources.compiled(jax.jit(run_segment, donate_argnums=0), state, batches)

    def run() -> None:
        nonlocal state
        state, _ = jax.block_until_ready(program(state, batches))

    return Ready(run, costs)


def _one_by_one(config: jaxgen.Config, width: int) -> Ready:
    """Prepare FlowJAX's steps as its own training calls them, one after another from Python."""
    flow, opt_state, step = _theirs(config, width)
    batches = list(_batches(config))
    start = time.perf_counter()
    jax.block_until_ready(step(flow, opt_state, batches[0]))
    seconds = time.perf_counter() - start

    def run() -> None:
        nonlocal flow, opt_state
        for batch in batches:
            flow, opt_state, _ = step(flow, opt_state, batch)
        jax.block_until_ready(flow)

    return Ready(run, {"compile": seconds})
