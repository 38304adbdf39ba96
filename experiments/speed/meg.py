"""What the benchmark races of energies: training steps and chains by jaxgen, by BlackJAX and in eager PyTorch."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.common import resources
from experiments.speed.evl import Contender, Ready, equal
from jaxgen import data, methods, nets, samplers
from jaxgen.data.validation import row_specs
from jaxgen.scan import iterate

__all__ = ["chains", "digits", "plane"]


def plane(quick: bool) -> list[Contender]:
    """The paper's step in the plane: five updates of the energy and one of the generator, 256 rows each."""
    width, rows, steps = (16, 8, 2) if quick else (512, 256, 10)
    drawn = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3)
    # As many rows as a run sees: the order of more would be made for these few steps, and `train` uses it for hundreds.
    x = data.TwentyFiveGaussians(n=steps * 5 * rows, test_n=1).tables()[0]

    def make() -> Any:
        from torch import nn

        from experiments.speed import torch_meg as eager
        from experiments.speed.torch_evl import dense

        judge = lambda inputs: dense((inputs, *(width,) * 3, 1), eager.leaky)
        return judge(2), dense((2, *(width,) * 3, 2)), eager.Pair(nn.Identity(), judge(4))

    return _races(f"MEG in the plane, {width} wide, 5 x {rows} + {rows} rows", drawn, 2, x, rows, steps, make, aim=1.5)


def digits(quick: bool) -> list[Contender]:
    """The paper's step on images of 28 by 28: five updates of the energy and one of the generator, 64 rows each."""
    width, rows, latent_dim, steps = (16, 4, 8, 1) if quick else (512, 64, 128, 1)
    drawn = nets.digit_meg_networks(1, latent_dim=latent_dim, width=width)
    x = np.random.default_rng(0).uniform(-1, 1, (10 * 5 * rows, 28, 28, 1)).astype(np.float32)  # as good as any images

    def make() -> Any:
        from experiments.speed import torch_meg as eager

        return eager.digits(latent_dim, width)

    title = f"MEG on 28 x 28, {width} wide, 5 x {rows} + {rows} rows"
    return _races(title, drawn, latent_dim, x, rows, steps, make, aim=1)


def chains(quick: bool) -> list[Contender]:
    """Metropolis-adjusted Langevin chains in the latent space of dense networks, a gradient for each transition."""
    width, count, steps = (16, 8, 2) if quick else (512, 1024, 20)
    drawn, step_size = nets.dense_meg_networks(2, generator=(width,) * 3, energy=(width,) * 3), 0.05
    start = jax.random.normal(jax.random.key(0), (count, 2))
    params = [net.init(jax.random.key(at), start) for at, net in enumerate((drawn.energy, drawn.generator))]

    def density(params: Any) -> Any:
        energy = lambda x: drawn.energy.apply(params[0], x)[0]
        return samplers.latent_log_density(energy, lambda z: drawn.generator.apply(params[1], z))

    def prepared(step: Any, state: Any) -> Ready:
        program, found = resources.compiled(jax.jit(step), params, jax.random.key(0), state)
        hold = [jax.random.key(0), state]

        def run() -> None:
            hold[0] = jax.random.fold_in(hold[0], 0)
            hold[1] = jax.block_until_ready(program(params, *hold))

        return Ready(run, found)

    def ours() -> Ready:
        make = lambda params: samplers.Chains(samplers.MALA(density(params), step_size))
        step = lambda params, key, state: iterate(make(params).step, key, state, length=steps)[0]
        return prepared(step, jax.jit(lambda params: make(params).init(start))(params))

    def blackjax() -> Ready:
        import blackjax

        def step(params: Any, key: Any, state: Any) -> Any:
            kernel = blackjax.mala(density(params), step_size).step
            move = lambda state, key: (jax.vmap(kernel)(jax.random.split(key, count), state)[0], None)
            return jax.lax.scan(move, state, jax.random.split(key, steps))[0]

        begun = jax.jit(lambda p: jax.vmap(blackjax.mala(density(p), step_size).init)(start))(params)
        equal(float(jnp.mean(jax.vmap(density(params))(start))), float(jnp.mean(begun.logdensity)))
        return prepared(step, begun)

    def eager() -> Ready:
        import torch

        from experiments.speed import torch_meg
        from experiments.speed.torch_evl import dense

        hidden = (width,) * 3
        energy = torch_meg.adopt(dense((2, *hidden, 1), torch_meg.leaky), params[0]["params"])
        generator = torch_meg.adopt(dense((2, *hidden, 2)), params[1]["params"])
        walk = torch_meg.Chains(energy, generator, torch.tensor(np.array(start)), step_size)
        equal(float(jnp.mean(jax.vmap(density(params))(start))), float(walk.place[1].mean()))

        def run() -> None:
            for _ in range(steps):
                walk.step()

        return Ready(run, {})

    widths = (2, *(width,) * 3, 2, *(width,) * 3, 1)
    flop = 2 * 2.0 * count * sum(inputs * outputs for inputs, outputs in itertools.pairwise(widths))
    title = f"MALA, {count} chains, {width} wide"
    return [
        Contender(f"{title}: jaxgen", steps, flop, ours),
        Contender(f"{title}: BlackJAX", steps, flop, blackjax, aim=1.2, needs="blackjax"),
        Contender(f"{title}: eager PyTorch", steps, flop, eager, aim=2, needs="torch"),
    ]


def _races(
    title: str,
    drawn: nets.MEGNetworks,
    latent_dim: int,
    x: np.ndarray,
    rows: int,
    steps: int,
    make: Any,
    *,
    aim: float,
) -> list[Contender]:
    method = methods.MEG(
        critic=drawn.energy, generator=drawn.generator, statistic=drawn.statistic, latent_dim=latent_dim
    )
    config = jaxgen.Config(method, data.Arrays(x), steps=1000 * steps, batch_size=5 * rows, steps_per_call=steps)
    flop = _arithmetic(method.resolve(*row_specs((x,))), jnp.asarray(x[: 5 * rows]))
    return [
        Contender.of(config, f"{title}: jaxgen", flop),
        Contender(f"{title}: eager PyTorch", steps, flop, lambda: _plain(config, steps, make), aim=aim, needs="torch"),
    ]


def _plain(config: jaxgen.Config, steps: int, make: Any) -> Ready:
    """Make ready the same step in eager PyTorch, whose losses are compared for the same parameters and noise first."""
    import torch

    from experiments.speed import torch_meg as eager

    (table,) = config.data.tables()
    method: Any = config.method.resolve(*row_specs((table,)))
    rows = config.batch_size // method.n_critic
    key, x = jax.random.key(1), jnp.asarray(table[:rows])
    state = method.init(key, x)
    parts = (state.critic.params, state.generator.params["generator"], state.generator.params["statistic"])
    energy, generator, statistic = (eager.adopt(net, part["params"]) for net, part in zip(make(), parts, strict=True))
    theirs = eager.Adversaries(energy, generator, statistic, method.penalty, method.latent_dim)
    draw = lambda key: jax.random.normal(key, (rows, method.latent_dim))
    torch_of = lambda *arrays: [torch.tensor(np.array(array)) for array in arrays]
    first, second = jax.random.split(key)
    made, model_state = state.generator.params, state.generator.model_state
    ours = float(method.critic_loss(key, state.critic.params, {}, x, made, model_state)[0])
    equal(ours, float(theirs.critic_loss(*torch_of(x, draw(first))).detach()))
    ours = float(method.generator_loss(key, made, model_state, state.critic.params, rows)[0])
    strangers = methods.shuffled_rows(second, draw(first))
    equal(ours, float(theirs.generator_loss(*torch_of(draw(first), strangers)).detach()))
    batches = torch.tensor(np.array(table[: steps * config.batch_size])).split(config.batch_size)

    def run() -> None:
        for batch in batches:
            theirs.step(batch, method.n_critic)

    return Ready(run, {})


def _arithmetic(method: Any, x: Any) -> float:
    """Return the arithmetic of one step, as XLA counts that of both losses' gradients."""
    shapes = jax.eval_shape(method.init, jax.random.key(0), x)
    share = jax.ShapeDtypeStruct((x.shape[0] // method.n_critic, *x.shape[1:]), x.dtype)
    critic, generator = shapes.critic, shapes.generator
    judge = lambda params, x, made, seen: method.critic_loss(jax.random.key(0), params, {}, x, made, seen)[0]
    make = lambda params, seen, critic: method.generator_loss(jax.random.key(0), params, seen, critic, share.shape[0])[
        0
    ]

    def count(loss: Any, *given: Any) -> float:
        counted: Any = jax.jit(jax.grad(loss)).lower(*given).cost_analysis()
        return counted["flops"]

    return method.n_critic * count(judge, critic.params, share, generator.params, generator.model_state) + count(
        make, generator.params, generator.model_state, critic.params
    )
