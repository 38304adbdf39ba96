"""Small methods and configs that many tests share, and a method whose numbers can be worked out by hand."""

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
    """A dense generator with batch normalisation."""

    width: int = 3

    @nn.compact
    def __call__(self, z: Any) -> Any:
        return nn.Dense(self.width)(jnp.tanh(nets.BatchNorm()(nn.Dense(6)(z))))


class Flat(nn.Module):
    """A dense network of images as vectors."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nets.MLP(self.widths)(x.reshape(*x.shape[:-3], -1))


class Shaped(nn.Module):
    """A dense network that makes images between -1 and 1."""

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Any) -> Any:
        numbers = nets.MLP((8, math.prod(self.shape)))(z)
        return jnp.tanh(numbers).reshape(*z.shape[:-1], *self.shape)


def autoencoder(shape: tuple[int, ...], latent_dim: int, **how: Any) -> nets.Autoencoder:
    """Dense networks in the place of the paper's for images."""
    return nets.Autoencoder(Flat((8, 2 * latent_dim)), Shaped(tuple(shape)))


def adversaries(shape: tuple[int, ...], width: int) -> nets.MEGNetworks:
    """Dense networks in the place of the paper's for images."""
    statistic = nets.PairNet(nets.MLP((8, 1)), Flat((8, 4)))
    return nets.MEGNetworks(Shaped(tuple(shape)), Flat((8, 1)), statistic)


def looked(images: Any) -> Any:
    """A judge of images that needs no training: coarse pixels, and as many classes as it has brightnesses."""
    features = images.reshape(len(images), -1)[:, ::9]
    bright = np.minimum((images.mean((1, 2, 3)) * 20).astype(int), 9)
    return features, np.eye(10)[bright]


def meg(**changes: Any) -> methods.MEG:
    return methods.MEG(
        **{
            "critic": nets.MLP((6, 6, 1), nets.LeakyReLU(0.2), hidden=nets.torch_uniform),
            "generator": nets.MLP((6, 3), hidden=nets.torch_uniform),
            "statistic": nets.PairNet(nets.MLP((6, 1), jnp.tanh, hidden=nets.torch_uniform)),
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
    # Not Adam, whose first steps are a gradient over its own size: rounding of small ones would show.
    "meg": meg(generator=Normed(), latent_mcmc=methods.LatentMCMC(2, 0.05), optimizer=optax.sgd),
    "vae": methods.NegativeSamplingVAE(
        nets.MLP((6, 4)),
        nets.MLP((6, 3)),
        latent_dim=2,
        observation_model=methods.Gaussian(learned=True),
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
JUDGES = {  # of inliers and outliers
    "discriminator": methods.OutlierDiscriminator(nets.MLP((8, 1)), learning_rate=1e-2),
    "unsure classifier": methods.Classifier(nets.MLP((8, 2)), classes=2, uniformity_weight=1.0, learning_rate=1e-2),
}
METHODS |= CONDITIONAL | JUDGES
MAPS = {  # of a source to a target
    "mmd map": methods.MMDMap(nets.MLP((6, 3)), noise_dim=1, scales=(0.5, 2.0), l2=1e-3, dropout=0.1),
}
METHODS |= MAPS
# What falls within 400 steps, and by how much at the least: a distance or a cross-entropy by a third, a log-likelihood
# by half a nat, of a flow, which starts with rows scaled, by a fifth.
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
    """The swiss roll's last two coordinates given its first; or the sign of the last, as a label."""

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
    """Descends on the squared distance to the data and to noise: linear, so every gradient is known."""

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
    """Stands still, reports a draw for each step, and breaks where it is told to.

    Attributes:
        draw: breaks at the step with this draw, and so no more once that step is repeated with other noise.
        place: breaks in every step of the seed that stands here, again and again.
        state: whether it is the state that breaks, and not the metric.
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
