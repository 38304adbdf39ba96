"""Cases of variational autoencoders: training steps with negative samples, by jaxgen and in eager PyTorch."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxgen
from experiments.negvae import ood_evaluation
from experiments.speed.case import Case, Ready, equal, resolved_method
from jaxgen import data, methods
from jaxgen.methods.negative_sampling_vae import StepSamples


def auxiliary(quick: bool) -> list[Case]:
    """The paper's step on images of 28 by 28, with images of another set as negatives."""
    return _cases("auxiliary", methods.Auxiliary(), quick)


def adversarial(quick: bool) -> list[Case]:
    """The same with the model's own samples as negatives, which train the decoder too."""
    return _cases("adversarial", methods.ModelSamples(), quick)


def _cases(name: str, negatives: Any, quick: bool) -> list[Case]:
    rows, width = (4, 4) if quick else (50, ood_evaluation.WIDTH)
    x, others = np.random.default_rng(0).uniform(size=(2, 10 * rows, 28, 28, 1)).astype(np.float32)
    tables = (x, others)[: 1 + negatives.num_tables]
    method = ood_evaluation.grayscale(methods.Bernoulli(), negatives, width)
    dataset: Any = data.Zip((data.Arrays(x), data.Arrays(others))) if negatives.num_tables else data.Arrays(x)
    config = jaxgen.Config(method, dataset, steps=1000, batch_size=rows, steps_per_call=1)
    flop, unoptimized = _flop(resolved_method(config), *(jnp.asarray(table[:rows]) for table in tables))
    title = f"negatives {name}, 28 x 28, {rows} + {rows} rows"
    return [
        Case.of(config, f"{title}: jaxgen", flop),
        *(
            Case(
                f"{title}: eager PyTorch{', its passes shared by hand' * shared}",
                1,
                flop if shared else unoptimized,
                lambda shared=shared: _eager(config, (x, others), width, shared=shared),  # type: ignore[misc]
                aim=None if shared else 1,
                needs="torch",
            )
            for shared in (False, True)
        ),
    ]


def _eager(config: jaxgen.Config, tables: tuple[np.ndarray, np.ndarray], width: int, *, shared: bool) -> Ready:
    """Prepare the same step in eager PyTorch, and check that its losses equal jaxgen's."""
    import torch

    from experiments.speed import torch_negvae
    from experiments.speed.torch_networks import adopt, tensors

    method = resolved_method(config)
    rows, key = config.batch_size, jax.random.key(1)
    x, others = (jnp.asarray(table[:rows]) for table in tables)
    state = method.init(key, x)
    networks = torch_negvae.digits(method.latent_dim, width)
    parts = (state.encoder.params, state.decoder.params["decoder"])
    encoder, decoder = (adopt(net, part) for net, part in zip(networks, parts, strict=True))
    kind = {"adversarial": method.negatives.adversarial > 0, "shared": shared}
    theirs = torch_negvae.Autoencoders(encoder, decoder, method.latent_dim, method.shift, **kind)
    noise, prior = jax.random.normal(key, (2, rows, method.latent_dim))
    samples = StepSamples(x, noise, prior, others, noise)
    encoder_state, decoder_state = ((part.params, part.model_state) for part in (state.encoder, state.decoder))
    ours = float(method.encoder_loss(key, *encoder_state, samples, decoder_state)[0])
    loss, z = theirs.encoder_loss(*tensors(x, others, noise))
    equal(ours, float(loss.detach()))
    ours = float(method.decoder_loss(key, *decoder_state, samples, encoder_state, encoder_state)[0])
    torch_x, torch_prior = tensors(x, prior)
    equal(ours, float(theirs.decoder_loss(torch_x, z, torch_prior).detach()))
    batches = itertools.cycle(zip(*(torch.tensor(table).split(rows) for table in tables), strict=True))
    return Ready(lambda: theirs.step(*next(batches)), {})


def _flop(method: Any, *tables: Any) -> tuple[float, float]:
    """Return the floating-point operations of one step, after and before XLA merges what both losses share."""
    state = jax.eval_shape(method.init, jax.random.key(0), *tables)
    lowered = jax.jit(method.step).lower(jax.random.key(0), state, *tables)
    counts: Any = lowered.compile().cost_analysis(), lowered.cost_analysis()
    return counts[0]["flops"], counts[1]["flops"]
