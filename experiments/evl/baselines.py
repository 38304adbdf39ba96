"""What the extreme value paper compares with, and the bounds that it leaves out, on any data of known law."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import jaxgen
from experiments.common import training
from experiments.evl import grid_metrics
from jaxgen import methods, nets
from jaxgen.optim import Cosine, Exponential, torch_rmsprop
from jaxgen.serialization.config_json import to_json

__all__ = [
    "MODELS",
    "Cell",
    "configs",
    "density_network",
    "drawn",
    "extreme_value",
    "gan",
    "mixture_density",
    "trained",
]


def empirical(toy: Any) -> np.ndarray:
    """Return the training points."""
    return toy.tables()[0]


def mixture(toy: Any) -> np.ndarray:
    """Draw from scikit-learn's mixture of ten Gaussians, fitted as the released code does."""
    from sklearn.mixture import GaussianMixture  # takes a quarter of a second to import

    (x,) = toy.tables()
    return GaussianMixture(10, random_state=toy.seed).fit(x.astype(np.float64)).sample(toy.test_n)[0]


def box(toy: Any) -> np.ndarray:
    """Draw uniformly from the box around the training points: what no knowledge but the range achieves (chance)."""
    (x,) = toy.tables()
    return np.random.default_rng(toy.seed).uniform(x.min(0), x.max(0), (toy.test_n, x.shape[1]))


def again(toy: Any) -> np.ndarray:
    """Draw as many points as the test set holds from the truth itself: what a perfect model achieves (floor)."""
    return toy.points(toy.n + 2 * toy.test_n)[-toy.test_n :]


def gan(toy: Any, seed: int, *, epochs: int = 50, published: bool = False) -> jaxgen.Config:
    """Return the paper's unrolled relativistic network, by its protocol.

    Args:
        toy: the data.
        seed: of the training.
        epochs: of 200 rows a step, in a fixed order.
        published: whether to unroll as the released code does, four times and through the last layer alone.
    """
    epoch = toy.n // 200
    method = methods.RelativisticGAN(
        generator_rate=Exponential(1e-3, 0.99, transition_steps=epoch),
        discriminator_rate=Exponential(1e-3, 0.95, transition_steps=epoch),
    )
    if published:
        method = dataclasses.replace(method, unroll=4, unrolled=methods.last_layer)
    every = epoch * training.segment(epochs, 10)
    return jaxgen.Config(
        method, toy, steps=epoch * epochs, batch_size=200, steps_per_call=every, seed=seed, shuffle=False
    )


def mixture_density(toy: Any, seed: int, *, components: int, steps: int = 4000) -> jaxgen.Config:
    """Return a mixture density network without inputs: a mixture of Gaussians fitted by gradient descent."""
    method = methods.MixtureDensity(components=components, learning_rate=Cosine(2e-2, steps), standardize=False)
    return jaxgen.Config(
        method, toy, steps=steps, batch_size=200, steps_per_call=training.segment(steps, 10), seed=seed
    )


def extreme_value(
    toy: Any,
    seed: int,
    *,
    epochs: int = 50,
    decays: int | None = None,
    widths: tuple[int, ...] = (256,) * 5,
    looks: int | None = None,
) -> jaxgen.Config:
    """Return the paper's protocol: 128 guesses of its own for each of 200 targets, RMSprop, rows in a fixed order.

    Args:
        toy: the data.
        seed: of the training.
        epochs: through the data.
        decays: how often the learning rate falls by 0.95 over the run; None is after every epoch, as in the paper.
        widths: of the hidden layers.
        looks: most looks at the training; None is one after every epoch.
    """
    epoch = toy.n // 200
    steps = epoch * epochs
    method = methods.EVL(
        generator=nets.MLP((*widths, toy.tables()[0].shape[1] + 1)),
        latent_dim=16,
        candidates=methods.PerTarget(128, chunk=10),  # targets at a time, for the cache
        optimizer=torch_rmsprop,
        learning_rate=Exponential(5e-4, 0.95, transition_steps=steps // (decays or epochs)),
        ema_decay=None,
    )
    return jaxgen.Config(
        method,
        toy,
        steps=steps,
        batch_size=200,
        steps_per_call=training.segment(steps, looks) if looks else epoch,
        seed=seed,
        shuffle=False,
    )


@dataclasses.dataclass(frozen=True)
class Cell:
    """How one cell of a table comes about.

    Attributes:
        measure: makes the measures, given an experiment (`runs`, where cells are kept; `epochs` and `density_steps`,
            how long baselines train), the cell's name and the data.
        config: makes what is trained, given an experiment and the data; None where nothing is.
    """

    measure: Callable[[Any, str, Any], dict[str, Any]]
    config: Callable[[Any, Any], jaxgen.Config] | None = None

    def __call__(self, lengths: Any, name: str, toy: Any) -> dict[str, Any]:
        """Make the cell, or remember it."""
        return self.measure(lengths, name, toy)


def drawn(draw: Callable[[Any], np.ndarray], **settings: Any) -> Cell:
    """Return a cell that scores draws; settings are what they depend on beside the data."""
    return Cell(lambda lengths, name, toy: grid_metrics.drawn(lengths.runs, name, toy, draw, **settings))


def trained(config: Callable[[Any, Any], jaxgen.Config], **ways: Any) -> Cell:
    """Return a cell that trains and scores what an experiment and its data configure."""
    return Cell(
        lambda lengths, name, toy: grid_metrics.trained(lengths.runs, name, config(lengths, toy), **ways), config
    )


def configs(models: Iterable[str], known: Mapping[str, tuple[str, Cell]], lengths: Any, toy: Any) -> dict[str, Any]:
    """Describe what models are trained by on some data, as it stands beside a table.

    Args:
        models: their names.
        known: title and cell of each.
        lengths: the experiment.
        toy: the data.

    Returns:
        The description of each model's config; none of those that are not trained.
    """
    made = {model: known[model][1].config for model in models}
    return {model: to_json(config(lengths, toy)) for model, config in made.items() if config}


def density_network(components: int) -> tuple[str, Cell]:
    """Return title and cell of a mixture density network."""
    config = lambda lengths, toy: mixture_density(toy, toy.seed, components=components, steps=lengths.density_steps)
    title = f"mixture density network, {components} Gaussians"
    return title, trained(config, count=grid_metrics.count_draws)


def _gan(published: bool) -> Cell:
    config = lambda lengths, toy: gan(toy, toy.seed, epochs=lengths.epochs, published=published)
    return trained(config, count=grid_metrics.count_draws)


MODELS: dict[str, tuple[str, Cell]] = {
    "floor": ("the truth itself (floor)", drawn(again)),
    "chance": ("uniform in the data's box (chance)", drawn(box)),
    "empirical": ("the training points", drawn(empirical)),
    "gaussian_mixture": ("mixture of 10 Gaussians", drawn(mixture)),
    "gan_published": ("unrolled GAN, as released", _gan(True)),
    "gan": ("unrolled GAN, through all layers", _gan(False)),
}
