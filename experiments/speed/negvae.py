"""What the benchmark races of autoencoders: training steps with negative samples, by jaxgen and in eager PyTorch."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.negvae import ood_evaluation
from experiments.speed.evl import Contender, Ready, equal
from jaxgen import data, methods
from jaxgen.data.validation import row_specs
from jaxgen.methods.negative_sampling_vae import Drawn

__all__ = ["adversarial", "auxiliary"]


def auxiliary(quick: bool) -> list[Contender]:
    """The paper's step on images of 28 by 28 with those of another set for negatives."""
    return _races("auxiliary", methods.Auxiliary(), quick)


def adversarial(quick: bool) -> list[Contender]:
    """The same with the model's own samples, by which the decoder is trained too."""
    return _races("adversarial", methods.ModelSamples(), quick)


def _races(name: str, negatives: Any, quick: bool) -> list[Contender]:
    rows, width = (4, 4) if quick else (50, ood_evaluation.WIDTH)
    x, others = np.random.default_rng(0).uniform(size=(2, 10 * rows, 28, 28, 1)).astype(np.float32)
    tables = (x, others)[: 1 + negatives.tables]
    method = ood_evaluation.grayscale(methods.Bernoulli(), negatives, width)
    given: Any = data.Zip((data.Arrays(x), data.Arrays(others))) if negatives.tables else data.Arrays(x)
    config = jaxgen.Config(method, given, steps=1000, batch_size=rows, steps_per_call=1)
    flop, plainly = _arithmetic(method.resolve(*row_specs(tables)), *(jnp.asarray(table[:rows]) for table in tables))
    title = f"negatives {name}, 28 x 28, {rows} + {rows} rows"
    return [
        Contender.of(config, f"{title}: jaxgen", flop),
        *(
            Contender(
                f"{title}: eager PyTorch{', its passes shared by hand' * shared}",
                1,
                flop if shared else plainly,
                lambda shared=shared: _eager(config, (x, others), width, shared=shared),  # type: ignore[misc]
                aim=None if shared else 1,
                needs="torch",
            )
            for shared in (False, True)
        ),
    ]


def _eager(config: jaxgen.Config, tables: tuple[np.ndarray, np.ndarray], width: int, *, shared: bool) -> Ready:
    """Make ready the same step in eager PyTorch, whose losses are compared for the same parameters and noise first."""
    import torch

    from experiments.speed import torch_meg, torch_negvae

    method: Any = config.method.resolve(*row_specs(config.data.tables()))
    rows, key = config.batch_size, jax.random.key(1)
    x, others = (jnp.asarray(table[:rows]) for table in tables)
    state = method.init(key, x)
    made = torch_negvae.digits(method.latent_dim, width)
    parts = (state.encoder.params, state.decoder.params["decoder"])
    encoder, decoder = (torch_meg.adopt(net, part) for net, part in zip(made, parts, strict=True))
    theirs = torch_negvae.Autoencoders(
        encoder,
        decoder,
        method.latent_dim,
        method.shift,
        adversarial=method.negatives.adversarial > 0,
        shared=shared,
    )
    noise, prior = jax.random.normal(key, (2, rows, method.latent_dim))
    drawn = Drawn(x, noise, prior, others, noise)
    torch_of = lambda *arrays: [torch.tensor(np.array(array)) for array in arrays]
    given = [(part.params, part.model_state) for part in (state.encoder, state.decoder)]
    ours = float(method.encoder_loss(key, *given[0], drawn, given[1])[0])
    loss, z = theirs.encoder_loss(*torch_of(x, others, noise))
    equal(ours, float(loss.detach()))
    ours = float(method.decoder_loss(key, *given[1], drawn, given[0], given[0])[0])
    rows_of, prior_of = torch_of(x, prior)
    equal(ours, float(theirs.decoder_loss(rows_of, z, prior_of).detach()))
    batches = itertools.cycle(zip(*(torch.tensor(table).split(rows) for table in tables), strict=True))
    return Ready(lambda: theirs.step(*next(batches)), {})


def _arithmetic(method: Any, *tables: Any) -> tuple[float, float]:
    """Return the arithmetic of one step as XLA runs it, having found what both losses share, and as it is written."""
    state = jax.eval_shape(method.init, jax.random.key(0), *tables)
    written = jax.jit(method.step).lower(jax.random.key(0), state, *tables)
    counts: Any = written.compile().cost_analysis(), written.cost_analysis()
    return counts[0]["flops"], counts[1]["flops"]
