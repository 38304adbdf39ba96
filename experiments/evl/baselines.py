"""Baselines of the extreme value paper, and the bounds that it leaves out, on any data of known distribution."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

import jaxgen
from experiments.common import training
from experiments.common.experiment import Cell
from experiments.evl import grid_metrics
from jaxgen import methods, nets
from jaxgen.optim import Cosine, Exponential, torch_rmsprop

BATCH_SIZE = 200  # points a step, as in the paper


def empirical(toy: Any) -> np.ndarray:
    """Return the training points."""
    return toy.tables()[0]


def mixture(toy: Any) -> np.ndarray:
    """Sample scikit-learn's mixture of ten Gaussians, fitted as the released code does."""
    from sklearn.mixture import GaussianMixture  # takes a quarter of a second to import

    (x,) = toy.tables()
    return GaussianMixture(10, random_state=toy.seed).fit(x.astype(np.float64)).sample(toy.test_n)[0]


def box(toy: Any) -> np.ndarray:
    """Sample uniformly from the box around the training points (chance)."""
    (x,) = toy.tables()
    return np.random.default_rng(toy.seed).uniform(x.min(0), x.max(0), (toy.test_n, x.shape[1]))


def again(toy: Any) -> np.ndarray:
    """Sample the distribution itself, as often as for the test set: the score of a perfect model (floor)."""
    return toy.points(toy.n + 2 * toy.test_n)[-toy.test_n :]


def gan(toy: Any, seed: int, *, epochs: int = 50, published: bool = False) -> jaxgen.Config:
    """Return the paper's unrolled relativistic network, by its protocol.

    The released code (`published`) unrolls four times, and through the last layer alone.
    """
    epoch = toy.n // BATCH_SIZE
    method = methods.RelativisticGAN(
        generator_rate=Exponential(1e-3, 0.99, transition_steps=epoch),
        discriminator_rate=Exponential(1e-3, 0.95, transition_steps=epoch),
    )
    if published:
        method = dataclasses.replace(method, unroll=4, unrolled=methods.last_layer)
    calls = epochs // training.steps_per_call(epochs, 10)  # of whole epochs
    return training.configure(
        method, toy, steps=epoch * epochs, batch_size=BATCH_SIZE, seed=seed, calls=calls, shuffle=False
    )


def mixture_density(toy: Any, seed: int, *, components: int, steps: int = 4000) -> jaxgen.Config:
    """Return a mixture density network without inputs: a mixture of Gaussians fitted by gradient descent."""
    method = methods.MixtureDensity(components=components, learning_rate=Cosine(2e-2, steps), standardize=False)
    return training.configure(method, toy, steps=steps, batch_size=BATCH_SIZE, seed=seed, calls=10)


def extreme_value(
    toy: Any,
    seed: int,
    *,
    epochs: int = 50,
    decays: int | None = None,
    widths: tuple[int, ...] = (256,) * 5,
    evaluations: int | None = None,
) -> jaxgen.Config:
    """Return the paper's protocol: 128 guesses per target, 200 targets a step, RMSprop, points in a fixed order.

    The learning rate falls by 0.95 after every epoch, as in the paper, or `decays` times over the run. A compiled call
    is an epoch, or one of at most `evaluations` parts of the run.
    """
    epoch = toy.n // BATCH_SIZE
    steps = epoch * epochs
    method = methods.EVL(
        generator=nets.MLP((*widths, toy.tables()[0].shape[1] + 1)),
        latent_dim=16,
        candidates=methods.PerTarget(128, chunk=10),  # targets at a time, for the cache
        optimizer=torch_rmsprop,
        learning_rate=Exponential(5e-4, 0.95, transition_steps=steps // (decays or epochs)),
        ema_decay=None,
    )
    calls = evaluations or epochs
    return training.configure(method, toy, steps=steps, batch_size=BATCH_SIZE, seed=seed, calls=calls, shuffle=False)


@dataclasses.dataclass(frozen=True)
class Model:
    """One model of a table: either `points` or `config` is set."""

    title: str
    points: Callable[[Any], np.ndarray] | None = None  # samples of a model that needs no training by steps, of the data
    # What is trained, of the experiment and the data; baselines read its `epochs` and `density_steps`.
    config: Callable[[Any, Any], jaxgen.Config] | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # arguments of `grid_metrics.measured`

    def cell(self, experiment: Any, row: str, toy: Any) -> Cell:
        """Return the cell that measures the model on some data."""
        if self.config is None:
            points: Any = self.points
            return Cell(row, toy.seed, functools.partial(grid_metrics.measured_points, toy, points))
        config = self.config(experiment, toy)
        return Cell(row, toy.seed, functools.partial(grid_metrics.measured, config, **self.options), config)


def configs(models: Iterable[str], known: Mapping[str, Model], experiment: Any, toy: Any) -> dict[str, Any]:
    """Return the configs of models that are trained, in JSON's own types, for the details of a table."""
    makers = {model: known[model].config for model in models}
    return {model: jaxgen.to_json(make(experiment, toy)) for model, make in makers.items() if make}


def mixture_density_model(components: int) -> Model:
    """Return the row of a mixture density network."""
    config = lambda e, toy: mixture_density(toy, toy.seed, components=components, steps=e.density_steps)
    title = f"mixture density network, {components} Gaussians"
    return Model(title, config=config, options={"count": grid_metrics.count_samples})


def _gan(title: str, published: bool) -> Model:
    config = lambda e, toy: gan(toy, toy.seed, epochs=e.epochs, published=published)
    return Model(title, config=config, options={"count": grid_metrics.count_samples})


MODELS = {
    "floor": Model("the truth itself (floor)", again),
    "chance": Model("uniform in the data's box (chance)", box),
    "empirical": Model("the training points", empirical),
    "gaussian_mixture": Model("mixture of 10 Gaussians", mixture),
    "gan_published": _gan("unrolled GAN, as released", True),
    "gan": _gan("unrolled GAN, through all layers", False),
}
