"""Cases of maximum entropy generators: training steps and chains by jaxgen, by BlackJAX and in eager PyTorch."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import resources
from experiments.speed.case import Case, Ready, dense_products, equal, forward, resolved_method
from jaxgen import data, methods, nets, samplers
from jaxgen.scan import iterate


def plane(quick: bool) -> list[Case]:
    """The paper's step in the plane: five updates of the energy and one of the generator, 256 rows each."""
    width, rows, steps = (16, 8, 2) if quick else (512, 256, 10)
    networks = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3)
    # Only the rows of one run: shuffling more would be counted for a few steps, where `train` shuffles for hundreds.
    x = data.TwentyFiveGaussians(n=steps * 5 * rows, test_n=1).tables()[0]

    def make() -> Any:
        from torch import nn

        from experiments.speed.torch_networks import Pair, dense, leaky

        critic = lambda inputs: dense((inputs, *(width,) * 3, 1), leaky)
        return critic(2), dense((2, *(width,) * 3, 2)), Pair(nn.Identity(), critic(4))

    title = f"MEG in the plane, {width} wide, 5 x {rows} + {rows} rows"
    return _cases(title, networks, 2, x, rows, steps, make, aim=1.5)


def digits(quick: bool) -> list[Case]:
    """The paper's step on images of 28 by 28: five updates of the energy and one of the generator, 64 rows each."""
    width, rows, latent_dim, steps = (16, 4, 8, 1) if quick else (512, 64, 128, 1)
    networks = nets.digit_meg_networks(1, latent_dim=latent_dim, width=width)
    x = np.random.default_rng(0).uniform(-1, 1, (10 * 5 * rows, 28, 28, 1)).astype(np.float32)  # no real images needed

    def make() -> Any:
        from experiments.speed import torch_meg

        return torch_meg.digits(latent_dim, width)

    title = f"MEG on 28 x 28, {width} wide, 5 x {rows} + {rows} rows"
    return _cases(title, networks, latent_dim, x, rows, steps, make, aim=1)


def chains(quick: bool) -> list[Case]:
    """MALA chains in the latent space of dense networks, with one gradient for each transition."""
    width, count, steps = (16, 8, 2) if quick else (512, 1024, 20)
    networks, step_size = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3), 0.05
    start = jax.random.normal(jax.random.key(0), (count, 2))
    params = [net.init(jax.random.key(at), start) for at, net in enumerate((networks.energy, networks.generator))]

    def density(params: Any) -> Any:
        energy = lambda x: networks.energy.apply(params[0], x)[0]
        return samplers.latent_log_density(energy, lambda z: networks.generator.apply(params[1], z))

    def prepared(step: Any, state: Any) -> Ready:
        program, costs = resources.compiled(jax.jit(step), params, jax.random.key(0), state)
        carry = [jax.random.key(0), state]

        def run() -> None:
            carry[0] = jax.random.fold_in(carry[0], 0)
            carry[1] = jax.block_until_ready(program(params, *carry))

        return Ready(run, costs)

    def ours() -> Ready:
        make = lambda params: samplers.Chains(samplers.MALA(density(params), step_size))
        step = lambda params, key, state: iterate(make(params).step, key, state, length=steps)[0]
        return prepared(step, jax.jit(lambda params: make(params).init(start))(params))

    def blackjax() -> Ready:
        import blackjax

        def step(params: Any, key: Any, state: Any) -> Any:
            kernel = blackjax.mala(density(params), step_size).step
            transition = lambda state, key: (jax.vmap(kernel)(jax.random.split(key, count), state)[0], None)
            return jax.lax.scan(transition, state, jax.random.split(key, steps))[0]

        initial = jax.jit(lambda p: jax.vmap(blackjax.mala(density(p), step_size).init)(start))(params)
        equal(float(jnp.mean(jax.vmap(density(params))(start))), float(jnp.mean(initial.logdensity)))
        return prepared(step, initial)

    def eager() -> Ready:
        import torch

        from experiments.speed import torch_meg
        from experiments.speed.torch_networks import adopt, dense, leaky

        hidden = (width,) * 3
        energy = adopt(dense((2, *hidden, 1), leaky), params[0]["params"])
        generator = adopt(dense((2, *hidden, 2)), params[1]["params"])
        chains = torch_meg.Chains(energy, generator, torch.tensor(np.array(start)), step_size)
        equal(float(jnp.mean(jax.vmap(density(params))(start))), float(chains.position[1].mean()))

        def run() -> None:
            for _ in range(steps):
                chains.step()

        return Ready(run, {})

    flop = 2 * forward(count, dense_products((2, *(width,) * 3, 2, *(width,) * 3, 1)))
    title = f"MALA, {count} chains, {width} wide"
    return [
        Case(f"{title}: jaxgen", steps, flop, ours),
        Case(f"{title}: BlackJAX", steps, flop, blackjax, aim=1.2, needs="blackjax"),
        Case(f"{title}: eager PyTorch", steps, flop, eager, aim=2, needs="torch"),
    ]


def _cases(
    title: str,
    networks: nets.MEGNetworks,
    latent_dim: int,
    x: np.ndarray,
    rows: int,
    steps: int,
    make: Any,
    *,
    aim: float,
) -> list[Case]:
    generator, energy, statistic = networks
    method = methods.MEG(critic=energy, generator=generator, statistic=statistic, latent_dim=latent_dim)
    config = jaxgen.Config(method, data.Arrays(x), steps=1000 * steps, batch_size=5 * rows, steps_per_call=steps)
    flop = _flop(resolved_method(config), jnp.asarray(x[: 5 * rows]))
    return [
        Case.of(config, f"{title}: jaxgen", flop),
        Case(f"{title}: eager PyTorch", steps, flop, lambda: _plain(config, steps, make), aim=aim, needs="torch"),
    ]


def _plain(config: jaxgen.Config, steps: int, make: Any) -> Ready:
    """Prepare the same step in eager PyTorch, and check that its losses equal jaxgen's."""
    import torch

    from experiments.speed import torch_meg
    from experiments.speed.torch_networks import adopt, tensors

    (table,) = config.data.tables()
    method = resolved_method(config)
    rows = config.batch_size // method.n_critic
    key, x = jax.random.key(1), jnp.asarray(table[:rows])
    state = method.init(key, x)
    parts = (state.critic.params, state.generator.params["generator"], state.generator.params["statistic"])
    energy, generator, statistic = (adopt(net, part["params"]) for net, part in zip(make(), parts, strict=True))
    theirs = torch_meg.Adversaries(energy, generator, statistic, method.penalty, method.latent_dim)
    draw = lambda key: jax.random.normal(key, (rows, method.latent_dim))
    first, second = jax.random.split(key)
    params, model_state = state.generator.params, state.generator.model_state
    ours = float(method.critic_loss(key, state.critic.params, {}, x, params, model_state)[0])
    equal(ours, float(theirs.critic_loss(*tensors(x, draw(first))).detach()))
    ours = float(method.generator_loss(key, params, model_state, state.critic.params, rows)[0])
    shuffled = methods.shuffled_rows(second, draw(first))
    equal(ours, float(theirs.generator_loss(*tensors(draw(first), shuffled)).detach()))
    batches = torch.tensor(np.array(table[: steps * config.batch_size])).split(config.batch_size)

    def run() -> None:
        for batch in batches:
            theirs.step(batch, method.n_critic)

    return Ready(run, {})


def _flop(method: Any, x: Any) -> float:
    """Return the floating-point operations of one step, as XLA counts those of the gradients of both losses."""
    shapes = jax.eval_shape(method.init, jax.random.key(0), x)
    share = jax.ShapeDtypeStruct((x.shape[0] // method.n_critic, *x.shape[1:]), x.dtype)
    critic, generator = shapes.critic, shapes.generator
    critic_loss = lambda params, x, *other: method.critic_loss(jax.random.key(0), params, {}, x, *other)[0]
    generator_loss = lambda *params: method.generator_loss(jax.random.key(0), *params, share.shape[0])[0]

    def count(loss: Any, *arguments: Any) -> float:
        analysis: Any = jax.jit(jax.grad(loss)).lower(*arguments).cost_analysis()
        return analysis["flops"]

    of_critic = count(critic_loss, critic.params, share, generator.params, generator.model_state)
    of_generator = count(generator_loss, generator.params, generator.model_state, critic.params)
    return method.n_critic * of_critic + of_generator
