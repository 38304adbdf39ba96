"""Extreme value networks: generators trained on the nearest of many guesses."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, samplers
from jaxgen.descent import Descent, Schedule, Trained
from jaxgen.loop import keys
from jaxgen.nets import MLP
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["EVL", "Guesses", "Own", "Pool"]


_FEWEST = 4096  # guesses to pick from: among few, even the worst of them would be picked


class Guesses(NamedTuple):
    """Weighted draws of an extreme value network."""

    samples: Float[Array, "n ..."]
    log_weights: Float[Array, " n"]  # up to a common constant


@dataclasses.dataclass(frozen=True)
class Own:
    """Each target has guesses of its own, as in section V of the paper.

    Attributes:
        guesses: how many for each target.
    """

    guesses: int = 128

    def __call__(
        self, generate: losses.Generate, draw: Callable[[int], Array], x: Float[Array, "b d"], power: float
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each."""
        samples, logits = generate(draw(x.shape[0] * self.guesses))
        split = lambda rows: rows.reshape(x.shape[0], self.guesses, *rows.shape[1:])
        return losses.extreme_value(x, split(samples), split(logits), power=power)


@dataclasses.dataclass(frozen=True)
class Pool:
    """All targets of a minibatch share one pool of guesses, as in section VI of the paper.

    Attributes:
        guesses: size of the pool, on each device.
        chunk: guesses made at a time, which must divide the pool: then memory does not grow with the pool, and the
            samples are differentiated for the winners only. None holds and differentiates the whole pool at once,
            which is faster for dense networks whose logits share the trunk.
    """

    guesses: int = 512
    chunk: int | None = None

    def __call__(
        self, generate: losses.Generate, draw: Callable[[int], Array], x: Float[Array, "b d"], power: float
    ) -> losses.ExtremeValue:
        """Return both parts of the loss, `[b]` each."""
        noise = draw(self.guesses)
        if self.chunk is None:
            return losses.extreme_value(x, *generate(noise), power=power)
        return losses.extreme_value_pool(generate, noise, x, chunk=self.chunk, power=power)


@dataclasses.dataclass(frozen=True)
class EVL:
    """A generator trained on the least distance of many guesses, and on foreseeing which guess that will be.

    The first part spreads the guesses over the support of the data; the second weighs them, so that guesses drawn by
    their weight follow the distribution of the data.

    Attributes:
        generator: `z [..., k] -> [..., d + 1]`, the last number being the logit; with a `head`, `-> [..., *row]`.
            None is a dense network of five hidden layers of 256.
        head: a network of its own for the logit, `z [..., k] -> [..., 1]`; None lets it share the generator's trunk.
        latent_dim: k, dimensions of the standard normal noise.
        scheme: `Own` or `Pool`.
        power: exponent of the Euclidean distance.
        distance_weight: weight of the distance, divided by d as in the paper's code (a mean over dimensions).
        probability_weight: weight of the cross-entropy.
        optimiser: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        average: decay of an exponential average of the weights, which then makes the samples; None keeps none.
        bandwidth: standard deviation of normal noise on every guess, in the data's units: a guess then stands for a
            narrow Gaussian, as in section IV of the paper, and covers the edge from which a finite pool draws back.
            The loss does not know of it.
        oversampling: guesses made for each draw of `sample`, which makes 4,096 at least.
        axis_name: the axis over devices, set by `train`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019).
    """

    generator: nn.Module | None = None
    head: nn.Module | None = None
    latent_dim: int = 16
    scheme: Own | Pool = dataclasses.field(default_factory=Pool)
    power: float = 2.0
    distance_weight: float = 1.0
    probability_weight: float = 1.0
    optimiser: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    average: float | None = 0.999
    bandwidth: float = 0.0
    oversampling: int = 4
    axis_name: str | None = None

    def sized(self, *rows: PyTree[jax.ShapeDtypeStruct]) -> "EVL":
        """Fill in the generator where it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if a dense network cannot make rows of this shape, or the generator makes others.
        """
        if len(rows) != 1 or not hasattr(rows[0], "shape") or not jnp.issubdtype(rows[0].dtype, jnp.floating):
            raise TypeError(f"EVL learns one table of floating-point rows; it got {rows}: give data.Arrays(x).")
        shape = rows[0].shape
        if self.generator is None and len(shape) != 1:
            raise ValueError(
                f"EVL's default network makes vectors; rows are {shape}: flatten them, or give generator= and head=."
            )
        filled = self if self.generator else dataclasses.replace(self, generator=_dense(shape[0], self.head))
        noise = jax.ShapeDtypeStruct((2, self.latent_dim), jnp.float32)
        makes = _output(filled._generator, noise)
        if self.head is None and len(shape) != 1:
            raise ValueError(f"rows are {shape}, to which no logit can be appended; give head=, or flatten them.")
        wanted = (2, *shape) if self.head else (2, shape[0] + 1)
        if makes != wanted:
            raise ValueError(
                f"the generator makes rows of shape {makes[1:]} for data of shape {shape}; its output must be the "
                "data's shape where there is a head, and one number longer, the logit, where there is none."
            )
        if self.head and _output(self.head, noise) != (2, 1):
            raise ValueError(
                f"the head makes {_output(self.head, noise)[1:]} numbers for a guess; it must make one, the logit."
            )
        return filled

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> Trained:
        """Return freshly drawn networks."""
        noise = jnp.zeros((1, self.latent_dim))
        key_generator, key_head = jax.random.split(key)
        variables = {"generator": self._generator.init(key_generator, noise)}
        if self.head is not None:
            variables["head"] = self.head.init(key_head, noise)
        return self._descent.init(variables)

    def step(self, key: Key[Array, ""], state: Trained, x: Float[Array, "b ..."]) -> tuple[Trained, Metrics]:
        """Descend once on the loss of one minibatch."""
        return self._descent.step(key, state, x)

    def loss(
        self, key: Key[Array, ""], params: Params, variables: PyTree, x: Float[Array, "b ..."]
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of both parts, and each by itself.

        Args:
            key: of the noise.
            params: of generator and head.
            variables: passed on.
            x: targets `[b, ...]`.

        Returns:
            The loss; `distance` (per dimension) and `cross_entropy` (nats); and the variables.
        """

        def generate(noise: Array) -> tuple[Array, Array]:
            samples, logits = self._generate(params, noise)
            return samples.reshape(len(samples), -1), logits

        draw = lambda count: jax.random.normal(key, (count, self.latent_dim))
        targets = x.reshape(len(x), -1)
        parts = self.scheme(generate, draw, targets, self.power)
        distance, surprise = jnp.mean(parts.distance) / targets.shape[1], jnp.mean(parts.cross_entropy)
        value = self.distance_weight * distance + self.probability_weight * surprise
        return value, ({"distance": distance, "cross_entropy": surprise}, variables)

    def guess(self, key: Key[Array, ""], state: Trained, n: int) -> Guesses:
        """Make weighted guesses: the support, and how much of the data is near each.

        Args:
            key: of the noise.
            state: of one seed.
            n: how many.

        Returns:
            Samples `[n, ...]` and their log-weights `[n]`.
        """
        noise = jax.random.normal(key, (n, self.latent_dim))
        samples, log_weights = self._generate(self._descent.params(state), noise)
        if self.bandwidth:
            samples += self.bandwidth * jax.random.normal(jax.random.fold_in(key, 1), samples.shape)
        return Guesses(samples, log_weights)

    def closed_form_guess(
        self,
        key: Key[Array, ""],
        state: Trained,
        n: int,
        *,
        dimensions: int | float | None = None,
        pools: int = 32,
        size: int = 512,
    ) -> Guesses:
        """Make the same guesses as `guess`, weighed by the density law instead of by what was learned.

        Many guesses settle at a density q that goes as p^(d / (d + r)), so p / q goes as q^(r / d); q is estimated from
        the nearest members of fresh pools. No logit takes part. The law holds for guesses that are dense in the data
        and fully trained; the learned weights need neither.

        Args:
            key: of the noise.
            state: of one seed.
            n: how many.
            dimensions: d, of the set near which the data lie: a manifold's own; None takes the data's.
            pools: how many pools; the weights' own noise has a relative variance of about (r / d)^2 / pools.
            size: guesses in each pool; too few blur the density.

        Returns:
            Samples `[n, ...]` and their log-weights `[n]`.
        """
        guesses = self.guess(key, state, n)
        bare = dataclasses.replace(self, bandwidth=0.0)  # the law is about the guesses that the training saw
        places = bare.guess(key, state, n).samples.reshape(n, -1)

        def distance(key: Key[Array, ""]) -> Array:
            pool = bare.guess(key, state, size).samples
            return jnp.sqrt(losses.nearest(places, pool.reshape(size, -1))[1])

        distances = jax.lax.map(distance, keys(jax.random.fold_in(key, 2), pools)).T
        dimensions = places.shape[1] if dimensions is None else dimensions
        log_density = samplers.nearest_log_density(distances, guesses=size, dimensions=dimensions)
        log_weights = samplers.zador_log_weights(log_density, dimensions=dimensions, power=self.power)
        return Guesses(guesses.samples, log_weights)

    def log_density(self, state: Trained, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-density of the guess that each row of noise makes, by change of variables.

        Exact where the generator does not fold; where it does, of one sheet alone.

        Args:
            state: of one seed.
            noise: `[n, k]`, with as many dimensions as the data.

        Returns:
            Log-densities of the bare guesses `[n]`, whatever the bandwidth and the weights.

        Raises:
            ValueError: if noise and data have different dimensions.
        """
        params = self._descent.params(state)
        return samplers.pushforward_log_density(lambda z: self._generate(params, z[None])[0].reshape(-1), noise)

    def log_weight(self, state: Trained, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-weight of the guess that each row of noise makes, up to a common constant."""
        return self._generate(self._descent.params(state), noise)[1]

    def sample(self, key: Key[Array, ""], state: Trained, n: int) -> Float[Array, "n ..."]:
        """Draw from the model: guesses picked in proportion to their weight, with replacement.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, ...]`.
        """
        key_guess, key_pick = jax.random.split(key)
        samples, log_weights = self.guess(key_guess, state, max(self.oversampling * n, _FEWEST))
        return samples[samplers.resample(key_pick, log_weights, n)]

    @property
    def _generator(self) -> nn.Module:
        if self.generator is None:
            raise ValueError("EVL has no generator yet; call sized(*rows), as train does, or give generator=.")
        return self.generator

    @property
    def _descent(self) -> Descent:
        return Descent(self.loss, self.optimiser(self.learning_rate), self.axis_name, self.average)

    def _generate(self, params: Params, noise: Array) -> tuple[Array, Array]:
        """`[n, k]` -> samples `[n, ...]`, logits `[n]`."""
        made = self._generator.apply(params["generator"], noise)
        if self.head is None:
            return made[..., :-1], made[..., -1]
        return made, self.head.apply(params["head"], noise)[..., 0]


def _output(network: nn.Module, noise: jax.ShapeDtypeStruct) -> tuple[int, ...]:
    """Return the shape of what a network makes, and refuse one with more than parameters."""
    made, collections = jax.eval_shape(network.init_with_output, jax.random.key(0), noise)
    if others := sorted(set(collections) - {"params"}):
        raise ValueError(f"EVL's networks have parameters only, and this one has {others}; leave BatchNorm out.")
    return made.shape


def _dense(width: int, head: nn.Module | None) -> MLP:
    return MLP((256,) * 5 + (width + (head is None),))
