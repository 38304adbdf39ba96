"""FlowJAX's flow of spline couplings, trained as long as ours on the same points."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgen
from jaxgen import nets
from jaxgen.methods import Flow


def trained(
    config: jaxgen.Config[Flow],
) -> tuple[Callable[[int], np.ndarray], Callable[[np.ndarray], np.ndarray]]:
    """Train FlowJAX's flow with as many couplings, bins and units as `nets.spline_flow` has by default.

    Points are standardized, as its documentation advises. Adam's learning rate falls along a cosine from the same peak,
    and minibatches of the same size are drawn with replacement. There is no average of the weights. Returned are
    functions that draw samples, `n -> [n, d]`, and return log-densities `[n]` of points `[n, d]`.
    """
    import equinox
    import paramax
    from flowjax import bijections, distributions, flows, train
    from flowjax.train.losses import MaximumLikelihoodLoss

    (points,) = config.data.tables()
    mean, std = points.mean(0), points.std(0)
    x = jnp.asarray((points - mean) / std)
    key_flow, key_steps, key_samples = jax.random.split(jax.random.key(config.seed), 3)
    network = nets.spline_flow(points.shape[1]).layers[1]
    spline = bijections.RationalQuadraticSpline(knots=network.coupling.bins - 1, interval=network.coupling.bound)
    flow = flows.coupling_flow(
        key_flow,
        base_dist=distributions.Normal(jnp.zeros(points.shape[1])),
        transformer=spline,
        flow_layers=network.depth,
        nn_width=network.coupling.conditioner.widths[0],
        nn_depth=len(network.coupling.conditioner.widths),
    )
    frozen = lambda leaf: isinstance(leaf, paramax.NonTrainable)
    params, static = equinox.partition(flow, equinox.is_inexact_array, is_leaf=frozen)
    rate: Any = config.method.learning_rate
    loss, optimizer = MaximumLikelihoodLoss(), optax.adam(optax.cosine_decay_schedule(rate.peak, config.steps))

    def step(state: tuple[Any, Any], key: Any) -> tuple[tuple[Any, Any], None]:
        batch = x[jax.random.randint(key, (config.batch_size,), 0, len(x))]
        params, opt_state, _ = train.step(
            state[0], static, batch, optimizer=optimizer, opt_state=state[1], loss_fn=loss
        )
        return (params, opt_state), None

    run = jax.jit(lambda state: jax.lax.scan(step, state, jax.random.split(key_steps, config.steps))[0])
    params, _ = run((params, optimizer.init(params)))
    flow = paramax.unwrap(equinox.combine(params, static))
    log_prob = jax.jit(lambda z: flow.log_prob(z))
    return (
        lambda n: np.asarray(flow.sample(key_samples, (n,)), np.float64) * std + mean,
        lambda points: np.asarray(log_prob(jnp.asarray((points - mean) / std, jnp.float32))) - np.log(std).sum(),
    )
