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
from jaxgen.methods.checks import check_judge, check_weights
from jaxgen.methods.conditioning import beside, check_given, parted, parted_specs
from jaxgen.methods.parts import filled
from jaxgen.methods.schemes import Own, Pool
from jaxgen.nets import MLP, WeightedGenerator, output_shape
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["EVL", "Guesses"]


_FEWEST = 4096  # guesses to pick from: among few, even the worst of them would be picked


class Guesses(NamedTuple):
    """Weighted draws of an extreme value network; with inputs, `n` stands for `b n`."""

    samples: Float[Array, "n ..."]
    log_weights: Float[Array, "*n"]  # up to a common constant


@dataclasses.dataclass(frozen=True)
class EVL:
    """A generator trained on the least distance of many guesses, and on foreseeing which guess that will be.

    The first part spreads the guesses over the support of the data; the second weighs them, so that guesses drawn by
    their weight follow the distribution of the data.

    Rows `[d]` or `[...]` have one distribution; pairs of rows, an input `[k]` and an outcome, a distribution for each
    input (section III): the networks then see the noise with the input behind it, and each target needs its `Own`
    guesses. With `Own(1)` and no weight on the cross-entropy this is least squares.

    Attributes:
        generator: `z [..., k] -> [..., d + 1]`, the last number being the logit; with a `head`, `-> [..., *row]`.
            None is a dense network of five hidden layers of 256 whose guesses are weighed by where they lie
            (`nets.WeightedGenerator`); `nets.MLP((256,) * 5 + (d + 1,))` is the paper's, whose logit shares the trunk.
        head: a network of its own for the logit, `z [..., k] -> [..., 1]`; None where the generator makes it.
        latent_dim: dimensions of the standard normal noise.
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
        given: width of an input, 0 where there is none; set by `sized`.
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
    given: int = 0
    axis_name: str | None = None

    def sized(self, *rows: PyTree[jax.ShapeDtypeStruct]) -> "EVL":
        """Fill in the generator where it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows, or of pairs of an input and such a row.
            ValueError: if a dense network cannot make rows of this shape, the networks make others, a pool is to be
                shared by targets of different inputs, or a number is out of range.
        """
        given, shape = parted_specs("EVL", rows)
        # An input alone, without noise, is something to make guesses of.
        if self.latent_dim + given < 1 or not self.power > 0 or self.bandwidth < 0 or self.oversampling < 1:
            raise ValueError(
                f"latent_dim is {self.latent_dim}, power {self.power}, bandwidth {self.bandwidth} and oversampling "
                f"{self.oversampling}; make them 1 at least, positive, 0 at least and 1 at least."
            )
        check_weights(distance_weight=self.distance_weight, probability_weight=self.probability_weight)
        if given and isinstance(self.scheme, Pool):
            raise ValueError("a pool cannot be shared by targets of different inputs; give scheme=Own(...).")
        if self.generator is None and len(shape) != 1:
            raise ValueError(
                f"EVL's default network makes vectors; rows are {shape}: flatten them, or give generator= and head=."
            )
        if isinstance(self.generator, WeightedGenerator) and self.generator.given != given:
            raise ValueError(
                f"the generator's weight sees {self.generator.given} columns of an input and the data have {given}; "
                f"give WeightedGenerator(..., given={given})."
            )
        method = dataclasses.replace(self, given=given)
        if self.generator is None:
            generator = MLP((256,) * 5 + shape)
            if self.head is None:
                generator = WeightedGenerator(generator, MLP((64, 64, 1)), given)
            method = dataclasses.replace(method, generator=generator)
        noise = jax.ShapeDtypeStruct((2, self.latent_dim + given), jnp.float32)
        makes = output_shape(method._generator, noise)
        if self.head is None and len(shape) != 1:
            raise ValueError(f"rows are {shape}, to which no logit can be appended; give head=, or flatten them.")
        wanted = (2, *shape) if self.head else (2, shape[0] + 1)
        if makes != wanted:
            raise ValueError(
                f"the generator makes rows of shape {makes[1:]} for data of shape {shape}; its output must be the "
                "data's shape where there is a head, and one number longer, the logit, where there is none."
            )
        if self.head:
            check_judge("head", self.head, noise, gives="logit")
        return method

    def init(self, key: Key[Array, ""], rows: PyTree) -> Trained:
        """Return freshly drawn networks."""
        noise = jnp.zeros((1, self.latent_dim + self.given))
        key_generator, key_head = jax.random.split(key)
        variables = {"generator": self._generator.init(key_generator, noise)}
        if self.head is not None:
            variables["head"] = self.head.init(key_head, noise)
        return self._descent.init(variables)

    def step(self, key: Key[Array, ""], state: Trained, rows: PyTree) -> tuple[Trained, Metrics]:
        """Descend once on the loss of one minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, variables: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of both parts, and each by itself.

        Args:
            key: of the noise.
            params: of generator and head.
            variables: passed on.
            rows: targets `[b, ...]`, or a pair of inputs `[b, k]` and targets.

        Returns:
            The loss; `distance` (per dimension) and `cross_entropy` (nats); and the variables.
        """

        def generate(noise: Array) -> tuple[Array, Array]:
            samples, logits = self._generate(params, noise)
            return samples.reshape(len(samples), -1), logits

        draw = lambda count: jax.random.normal(key, (count, self.latent_dim))
        given, x = parted(rows)
        targets = x.reshape(len(x), -1)
        parts = self.scheme(generate, draw, given, targets, self.power)
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

        Raises:
            ValueError: if the model was made for inputs.
        """
        samples, log_weights = self.guess_given(key, state, jnp.zeros((1, 0)), n)
        return Guesses(samples[0], log_weights[0])

    def guess_given(self, key: Key[Array, ""], state: Trained, given: Float[Array, "b k"], n: int) -> Guesses:
        """Make weighted guesses for each input.

        Args:
            key: of the noise.
            state: of one seed.
            given: inputs `[b, k]`.
            n: guesses for each.

        Returns:
            Samples `[b, n, ...]` and their log-weights `[b, n]`, each input's up to a constant of its own.

        Raises:
            ValueError: if the inputs are of another width.
        """
        check_given(
            given, given.shape[1] == self.given, without="guess or sample", within="guess_given or sample_given"
        )
        noise = jax.random.normal(key, (len(given) * n, self.latent_dim))
        made = self.decode(state, beside(noise, given))
        samples, log_weights = jax.tree.map(lambda leaf: leaf.reshape(len(given), n, *leaf.shape[1:]), made)
        if self.bandwidth:
            samples += self.bandwidth * jax.random.normal(jax.random.fold_in(key, 1), samples.shape)
        return Guesses(samples, log_weights)

    def decode(self, state: Trained, noise: Float[Array, "n k"]) -> Guesses:
        """Return the guess that each row of noise makes, without the bandwidth's noise, and its log-weight.

        Where there are inputs they stand behind the noise.
        """
        return Guesses(*self._generate(self._descent.params(state), noise))

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

        Raises:
            ValueError: if the model was made for inputs.
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
            ValueError: if noise and data have different dimensions, or the model has inputs.
        """
        if self.given:
            raise ValueError(f"this model has inputs of {self.given} columns; the density is that of one without any.")
        params = self._descent.params(state)
        return samplers.pushforward_log_density(lambda z: self._generate(params, z[None])[0].reshape(-1), noise)

    def log_weight(self, state: Trained, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-weight of the guess that each row of noise makes, up to a common constant."""
        return self.decode(state, noise).log_weights

    def sample(self, key: Key[Array, ""], state: Trained, n: int) -> Float[Array, "n ..."]:
        """Draw from the model: guesses picked in proportion to their weight, with replacement.

        Args:
            key: of the draws.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, ...]`.

        Raises:
            ValueError: if the model was made for inputs.
        """
        return self.sample_given(key, state, jnp.zeros((1, 0)), n)[0]

    def sample_given(
        self, key: Key[Array, ""], state: Trained, given: Float[Array, "b k"], n: int
    ) -> Float[Array, "b n ..."]:
        """Draw for each input: its guesses picked in proportion to their weight, with replacement.

        Args:
            key: of the draws.
            state: of one seed.
            given: inputs `[b, k]`.
            n: draws for each.

        Returns:
            Draws `[b, n, ...]`.

        Raises:
            ValueError: if the inputs are of another width.
        """
        key_guess, key_pick = jax.random.split(key)
        samples, log_weights = self.guess_given(key_guess, state, given, max(self.oversampling * n, _FEWEST))
        pick = lambda key, made, weights: made[samplers.resample(key, weights, n)]
        return jax.vmap(pick)(jax.random.split(key_pick, len(given)), samples, log_weights)

    @property
    def _generator(self) -> nn.Module:
        return filled(self, self.generator)

    @property
    def _descent(self) -> Descent:
        # Targets with guesses of their own are independent, so their gradients are a mean over chunks of targets.
        chunk = self.scheme.chunk if isinstance(self.scheme, Own) else None
        return Descent(self.loss, self.optimiser(self.learning_rate), self.axis_name, self.average, chunk)

    def _generate(self, params: Params, noise: Array) -> tuple[Array, Array]:
        """`[n, k]` -> samples `[n, ...]`, logits `[n]`."""
        made = self._generator.apply(params["generator"], noise)
        if self.head is None:
            return made[..., :-1], made[..., -1]
        return made, self.head.apply(params["head"], noise)[..., 0]
