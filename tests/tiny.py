"""Small methods and configs shared by many tests, and a method whose gradients are known in closed form."""

import dataclasses
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxgen
from jaxgen import data, methods, nets
from jaxgen.optim import GradientStep, TrainState
from jaxgen.parallel import Layout

ONE = Layout(devices=1)


def evl(**changes: Any) -> methods.EVL:
    return methods.EVL(
        **{
            "generator": nets.MLP((8, 8, 4)),
            "latent_dim": 3,
            "candidates": methods.SharedPool(16),
            "learning_rate": 3e-3,
            **changes,
        }
    )


class Normed(nn.Module):
    """A dense generator with batch normalization."""

    width: int = 3

    @nn.compact
    def __call__(self, z: Any) -> Any:
        return nn.Dense(self.width)(jnp.tanh(nets.BatchNorm()(nn.Dense(6)(z))))


class Flat(nn.Module):
    """A dense network on flattened images."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nets.MLP(self.widths)(x.reshape(*x.shape[:-3], -1))


class Shaped(nn.Module):
    """A dense network whose outputs are images between -1 and 1."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Any) -> Any:
        numbers = nets.MLP((8, math.prod(self.shape)))(z)
        return jnp.tanh(numbers).reshape(*z.shape[:-1], *self.shape)


def autoencoder(shape: tuple[int, ...], latent_dim: int, **how: Any) -> nets.Autoencoder:
    """Small dense networks instead of the paper's convolutional ones."""
    return nets.Autoencoder(Flat((8, 2 * latent_dim)), Shaped(tuple(shape)))


def adversaries(shape: tuple[int, ...], width: int) -> nets.MEGNetworks:
    """Small dense networks instead of the paper's convolutional ones."""
    statistic = nets.PairNet(nets.MLP((8, 1)), Flat((8, 4)))
    return nets.MEGNetworks(Shaped(tuple(shape)), Flat((8, 1)), statistic)


def looked(images: Any) -> Any:
    """An image classifier without training: every ninth pixel as features, and ten brightness levels as classes."""
    features = images.reshape(len(images), -1)[:, ::9]
    bright = np.minimum((images.mean((1, 2, 3)) * 20).astype(int), 9)
    return features, np.eye(10)[bright]


def meg(**changes: Any) -> methods.MEG:
    return methods.MEG(
        **{
            "critic": nets.MLP((6, 6, 1), nets.LeakyReLU(0.2), hidden_kernel_init=nets.torch_uniform),
            "generator": nets.MLP((6, 3), hidden_kernel_init=nets.torch_uniform),
            "statistic": nets.PairNet(nets.MLP((6, 1), jnp.tanh, hidden_kernel_init=nets.torch_uniform)),
            "latent_dim": 2,
            "n_critic": 2,
            "learning_rate": 1e-3,
            **changes,
        }
    )


METHODS = {
    "archetypes": methods.Archetypes(2),
    "evl pool": evl(),
    "evl chunked pool": evl(candidates=methods.SharedPool(16, chunk=4)),
    "evl own": evl(candidates=methods.PerTarget(4), ema_decay=None),
    "evl own in chunks": evl(candidates=methods.PerTarget(4, chunk=2), ema_decay=None),
    "evl head": evl(
        generator=nets.MLP((8, 3)), weight_network=nets.MLP((4, 1)), candidates=methods.SharedPool(16, chunk=8)
    ),
    "evl weighted": evl(generator=nets.WeightedGenerator(nets.MLP((8, 8, 3)), nets.MLP((4, 1)))),
    "evl sgd": evl(optimizer=optax.sgd, learning_rate=0.01),
    "mixture density": methods.MixtureDensity(components=3, learning_rate=1e-2),
    "gan": methods.RelativisticGAN(nets.MLP((8, 3)), nets.MLP((8, 1)), latent_dim=3, unroll=2, ema_decay=0.9),
    # Not Adam: it divides by the size of the gradient, which amplifies rounding errors of small gradients.
    "meg": meg(generator=Normed(), latent_mcmc=methods.LatentMCMC(2, 0.05), optimizer=optax.sgd),
    "vae": methods.NegativeSamplingVAE(
        nets.MLP((6, 4)),
        nets.MLP((6, 3)),
        latent_dim=2,
        observation_model=methods.Gaussian(learn_scale=True),
        negatives=methods.ModelSamples(),
        shift=2.0,
        negative_reconstruction_weight=0.5,
        optimizer=optax.sgd,
        learning_rate=0.01,
    ),
    "deep archetypes": methods.DeepArchetypes(
        3, methods.Flow(nets.dense_flow(3, depth=2, widths=(6,))), optimizer=optax.sgd, learning_rate=1e-3
    ),
    "flow": methods.Flow(nets.dense_flow(3, depth=2, widths=(6,)), learning_rate=3e-3, ema_decay=0.9),
    "wgan": methods.WGANGP(nets.MLP((6, 1)), nets.MLP((6, 3)), latent_dim=2, n_critic=2),
}
CONDITIONAL = {
    "evl given": evl(generator=nets.MLP((8, 8, 3)), candidates=methods.PerTarget(4), condition_dim=1),
    "mixture density given": methods.MixtureDensity(nets.MLP((8, 18)), components=3, learning_rate=1e-2),
    "classifier": methods.Classifier(nets.MLP((8, 2)), classes=2, learning_rate=1e-2, ema_decay=0.9),
}
JUDGES = {  # trained on inliers and outliers
    "discriminator": methods.OutlierDiscriminator(nets.MLP((8, 1)), learning_rate=1e-2),
    "unsure classifier": methods.Classifier(nets.MLP((8, 2)), classes=2, uniformity_weight=1.0, learning_rate=1e-2),
}
METHODS |= CONDITIONAL | JUDGES
MAPS = {  # trained on a source and a target
    "mmd map": methods.MMDMap(
        nets.MLP((6, 3)),
        noise_dim=1,
        scales=(0.5, 2.0),
        l2=1e-3,
        dropout=0.1,
        optimizer=optax.sgd,
        learning_rate=0.01,
    ),
}
METHODS |= MAPS
# Metrics that must decrease within 400 steps, and the minimum decrease: 30 % of a distance, cross-entropy or bound,
# 0.5 nats of a negative log-likelihood, and 0.2 nats for a flow, whose rows are already standardized.
FALLS = {
    "evl": ("distance", lambda first, last: last < 0.7 * first),
    "vae": ("loss", lambda first, last: last < 0.7 * first),
    "mixture density": ("loss", lambda first, last: last < first - 0.5),
    "flow": ("loss", lambda first, last: last < first - 0.2),
    "classifier": ("loss", lambda first, last: last < 0.7 * first),
    "discriminator": ("loss", lambda first, last: last < 0.7 * first),
}


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The swiss roll's last two coordinates with its first as condition, or its rows labeled by a sign."""

    labels: bool = False

    def tables(self) -> Any:
        (x,) = data.SwissRoll(n=100, test_n=1).tables()
        return ((x, (x[:, 2] > 0).astype(int)),) if self.labels else ((x[:, :1], x[:, 1:]),)


def config(method: Any, **changes: Any) -> jaxgen.Config:
    settings = {"steps": 6, "steps_per_call": 3, "batch_size": 8, "num_seeds": 2, "layout": ONE}
    rows: Any = data.SwissRoll(n=100, test_n=1)
    if method in CONDITIONAL.values():
        rows = Pairs(labels=isinstance(method, methods.Classifier))
    if method in JUDGES.values():
        given = Pairs(labels=True) if isinstance(method, methods.Classifier) else rows
        others = data.Normal(n=90, test_n=1, dimensions=3)
        rows = data.Zip((given, others))
    if isinstance(method, methods.MMDMap):
        rows = data.Zip((data.Normal(n=90, test_n=1), rows))
    return jaxgen.Config(method, rows, **{**settings, **changes})


@dataclasses.dataclass(frozen=True)
class Mean:
    """Minimizes the squared distance to noisy rows; the gradient is linear and known in closed form."""

    axis_name: str | None = None

    def resolve(self, *row_specs: Any) -> "Mean":
        return self

    def init(self, key: Any, x: Any) -> TrainState:
        return self._descent.init(jnp.zeros(x.shape[1]))

    def step(self, key: Any, state: TrainState, x: Any) -> Any:
        return self._descent.step(key, state, x)

    def loss(self, key: Any, params: Any, model_state: Any, x: Any) -> Any:
        noise = jax.random.normal(key, x.shape)
        value = 0.5 * jnp.mean(jnp.sum((params[None] - x - noise) ** 2, -1))
        return value, ({"noise": jnp.mean(noise)}, model_state)

    @property
    def _descent(self) -> GradientStep:
        return GradientStep(self.loss, optax.sgd(0.1), self.axis_name)


class Walk(NamedTuple):
    place: jax.Array
    steps: jax.Array


@dataclasses.dataclass(frozen=True)
class Faulty:
    """Keeps its state, reports a random number in each step, and returns NaN in chosen steps.

    Attributes:
        draw: NaN in the step with this random number, so not when the step is repeated with other noise.
        place: NaN in every step of the seed with this state, also when repeated.
        state: whether the state is NaN, instead of the metric.
    """

    draw: float = -1.0
    place: float = -1.0
    state: bool = False
    axis_name: str | None = None

    def resolve(self, *row_specs: Any) -> "Faulty":
        return self

    def init(self, key: Any, x: Any) -> Walk:
        return Walk(jax.random.uniform(key), jnp.zeros((), jnp.int32))

    def step(self, key: Any, state: Walk, x: Any) -> Any:
        draw = jax.random.uniform(key)
        broken = (jnp.abs(draw - self.draw) < 1e-6) | (jnp.abs(state.place - self.place) < 1e-6)
        place = jnp.where(broken & self.state, jnp.nan, state.place)
        return Walk(place, state.steps + 1), {"draw": jnp.where(broken & (not self.state), jnp.nan, draw)}


@dataclasses.dataclass(frozen=True)
class Scripted:
    """Counts its steps, and has the validation losses that it is given.

    Attributes:
        places: the random number that the state of each seed begins with, by which a seed is recognized.
        losses: validation loss of each seed after 1, 2, ... steps.
        broken: the step of each seed whose metric is NaN; 0 for none.
    """

    places: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    broken: tuple[int, ...] = ()
    axis_name: str | None = None

    def resolve(self, *row_specs: Any) -> "Scripted":
        return self

    def init(self, key: Any, x: Any) -> Walk:
        return Walk(jax.random.uniform(key), jnp.zeros((), jnp.int32))

    def step(self, key: Any, state: Walk, x: Any) -> Any:
        steps = state.steps + 1
        broken = self._entry(state, jnp.asarray(self.broken)) == steps if self.broken else False
        return Walk(state.place, steps), {"loss": jnp.where(broken, jnp.nan, steps * 1.0), "sum": jnp.sum(x)}

    def validation_loss(self, key: Any, state: Walk, x: Any) -> Any:
        return self._entry(state, jnp.asarray(self.losses))[state.steps - 1]

    def _entry(self, state: Walk, table: Any) -> Any:
        return table[jnp.argmin(jnp.abs(jnp.asarray(self.places) - state.place))]
