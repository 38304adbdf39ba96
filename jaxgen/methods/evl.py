"""Extreme value networks: generators trained on the nearest of many guesses."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, samplers
from jaxgen.methods._checks import check_scalar_output, check_weights
from jaxgen.methods._conditioning import check_condition, concatenate_condition, split_condition, split_condition_specs
from jaxgen.methods._modules import filled
from jaxgen.methods.candidate_sampling import PerTarget, SharedPool
from jaxgen.nets import MLP, WeightedGenerator, output_shape
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import keys
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["EVL", "WeightedSamples"]


_FEWEST = 4096  # guesses to pick from: among few, even the worst of them would be picked


class WeightedSamples(NamedTuple):
    """Weighted draws of an extreme value network; with inputs, `n` stands for `b n`."""

    samples: Float[Array, "n ..."]
    log_weights: Float[Array, "*n"]  # up to a common constant


@dataclasses.dataclass(frozen=True)
class EVL:
    """A generator trained on the least distance of many guesses, and on foreseeing which guess that will be.

    The first part spreads the guesses over the support of the data; the second weighs them, so that guesses drawn by
    their weight follow the distribution of the data.

    Rows `[d]` or `[...]` have one distribution; pairs of rows, an input `[k]` and an outcome, a distribution for each
    input (section III): the networks then see the noise with the input behind it, and each target needs its `PerTarget`
    guesses. With `PerTarget(1)` and no weight on the cross-entropy this is least squares.

    Attributes:
        generator: `z [..., k] -> [..., d + 1]`, the last number being the logit; with a `head`, `-> [..., *row]`.
            None is a dense network of five hidden layers of 256 whose guesses are weighed by where they lie
            (`nets.WeightedGenerator`); `nets.MLP((256,) * 5 + (d + 1,))` is the paper's, whose logit shares the trunk.
        weight_network: a network of its own for the logit, `z [..., k] -> [..., 1]`; None where the generator makes it.
        latent_dim: dimensions of the standard normal noise.
        candidates: `PerTarget` or `SharedPool`.
        power: exponent of the Euclidean distance.
        distance_weight: weight of the distance, divided by d as in the paper's code (a mean over dimensions).
        probability_weight: weight of the cross-entropy.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `descent.Cosine`.
        ema_decay: decay of an exponential average of the weights, which then makes the samples; None keeps none.
        bandwidth: standard deviation of normal noise on every guess, in the data's units: a guess then stands for a
            narrow Gaussian, as in section IV of the paper, and covers the edge from which a finite pool draws back.
            The loss does not know of it.
        oversampling: guesses made for each draw of `sample`, which makes 4,096 at least.
        condition_dim: width of an input, 0 where there is none; set by `resolve`.
        axis_name: the axis over devices, set by `train`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019).
    """

    generator: nn.Module | None = None
    weight_network: nn.Module | None = None
    latent_dim: int = 16
    candidates: PerTarget | SharedPool = dataclasses.field(default_factory=SharedPool)
    power: float = 2.0
    distance_weight: float = 1.0
    probability_weight: float = 1.0
    optimizer: Callable[..., optax.GradientTransformation] = optax.adam
    learning_rate: float | Schedule = 1e-3
    ema_decay: float | None = 0.999
    bandwidth: float = 0.0
    oversampling: int = 4
    condition_dim: int = 0
    axis_name: str | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "EVL":
        """Fill in the generator where it was left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows, or of pairs of an input and such a row.
            ValueError: if a dense network cannot make rows of this shape, the networks make others, a pool is to be
                shared by targets of different inputs, or a number is out of range.
        """
        given, shape = split_condition_specs("EVL", row_specs)
        # An input alone, without noise, is something to make guesses of.
        if self.latent_dim + given < 1 or not self.power > 0 or self.bandwidth < 0 or self.oversampling < 1:
            raise ValueError(
                f"latent_dim is {self.latent_dim}, power {self.power}, bandwidth {self.bandwidth} and oversampling "
                f"{self.oversampling}; make them 1 at least, positive, 0 at least and 1 at least."
            )
        check_weights(distance_weight=self.distance_weight, probability_weight=self.probability_weight)
        if given and isinstance(self.candidates, SharedPool):
            raise ValueError("a pool cannot be shared by targets of different inputs; give candidates=Own(...).")
        if self.generator is None and len(shape) != 1:
            raise ValueError(
                f"EVL's default network makes vectors; rows are {shape}: flatten them, or give generator= and "
                "weight_network=."
            )
        if isinstance(self.generator, WeightedGenerator) and self.generator.condition_dim != given:
            raise ValueError(
                f"the generator's weight sees {self.generator.condition_dim} columns of an input and the data "
                f"have {given}; "
                f"give WeightedGenerator(..., condition_dim={given})."
            )
        method = dataclasses.replace(self, condition_dim=given)
        if self.generator is None:
            generator = MLP((256,) * 5 + shape)
            if self.weight_network is None:
                generator = WeightedGenerator(generator, MLP((64, 64, 1)), given)
            method = dataclasses.replace(method, generator=generator)
        noise = jax.ShapeDtypeStruct((2, self.latent_dim + given), jnp.float32)
        makes = output_shape(method._generator, noise)
        if self.weight_network is None and len(shape) != 1:
            raise ValueError(
                f"rows are {shape}, to which no logit can be appended; give weight_network=, or flatten them."
            )
        wanted = (2, *shape) if self.weight_network else (2, shape[0] + 1)
        if makes != wanted:
            raise ValueError(
                f"the generator makes rows of shape {makes[1:]} for data of shape {shape}; its output must be the "
                "data's shape where there is a head, and one number longer, the logit, where there is none."
            )
        if self.weight_network:
            check_scalar_output("weight_network", self.weight_network, noise, gives="logit")
        return method

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return freshly drawn networks."""
        noise = jnp.zeros((1, self.latent_dim + self.condition_dim))
        key_generator, key_head = jax.random.split(key)
        model_state = {"generator": self._generator.init(key_generator, noise)}
        if self.weight_network is not None:
            model_state["weight_network"] = self.weight_network.init(key_head, noise)
        return self._descent.init(model_state)

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Descend once on the loss of one minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of both parts, and each by itself.

        Args:
            key: of the noise.
            params: of generator and head.
            model_state: passed on.
            rows: targets `[b, ...]`, or a pair of inputs `[b, k]` and targets.

        Returns:
            The loss; `distance` (per dimension) and `cross_entropy` (nats); and the variables.
        """

        def generate(noise: Array) -> tuple[Array, Array]:
            samples, logits = self._generate(params, noise)
            return samples.reshape(len(samples), -1), logits

        draw = lambda count: jax.random.normal(key, (count, self.latent_dim))
        given, x = split_condition(rows)
        targets = x.reshape(len(x), -1)
        parts = self.candidates(generate, draw, given, targets, self.power)
        distance, surprise = jnp.mean(parts.distance) / targets.shape[1], jnp.mean(parts.cross_entropy)
        value = self.distance_weight * distance + self.probability_weight * surprise
        return value, ({"distance": distance, "cross_entropy": surprise}, model_state)

    def weighted_samples(self, key: Key[Array, ""], state: TrainState, n: int) -> WeightedSamples:
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
        samples, log_weights = self.weighted_samples_given(key, state, jnp.zeros((1, 0)), n)
        return WeightedSamples(samples[0], log_weights[0])

    def weighted_samples_given(
        self, key: Key[Array, ""], state: TrainState, given: Float[Array, "b k"], n: int
    ) -> WeightedSamples:
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
        check_condition(
            given, given.shape[1] == self.condition_dim, without="guess or sample", within="guess_given or sample_given"
        )
        noise = jax.random.normal(key, (len(given) * n, self.latent_dim))
        made = self.decode(state, concatenate_condition(noise, given))
        samples, log_weights = jax.tree.map(lambda leaf: leaf.reshape(len(given), n, *leaf.shape[1:]), made)
        if self.bandwidth:
            samples += self.bandwidth * jax.random.normal(jax.random.fold_in(key, 1), samples.shape)
        return WeightedSamples(samples, log_weights)

    def decode(self, state: TrainState, noise: Float[Array, "n k"]) -> WeightedSamples:
        """Return the guess that each row of noise makes, without the bandwidth's noise, and its log-weight.

        Where there are inputs they stand behind the noise.
        """
        return WeightedSamples(*self._generate(self._descent.params(state), noise))

    def closed_form_weighted_samples(
        self,
        key: Key[Array, ""],
        state: TrainState,
        n: int,
        *,
        dimensions: int | float | None = None,
        pools: int = 32,
        size: int = 512,
    ) -> WeightedSamples:
        """Make the same guesses as `weighted_samples`, weighed by the density law instead of by what was learned.

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
        guesses = self.weighted_samples(key, state, n)
        bare = dataclasses.replace(self, bandwidth=0.0)  # the law is about the guesses that the training saw
        places = bare.weighted_samples(key, state, n).samples.reshape(n, -1)

        def distance(key: Key[Array, ""]) -> Array:
            pool = bare.weighted_samples(key, state, size).samples
            return jnp.sqrt(losses.nearest(places, pool.reshape(size, -1))[1])

        distances = jax.lax.map(distance, keys(jax.random.fold_in(key, 2), pools)).T
        dimensions = places.shape[1] if dimensions is None else dimensions
        log_density = samplers.nearest_log_density(distances, guesses=size, dimensions=dimensions)
        log_weights = samplers.zador_log_weights(log_density, dimensions=dimensions, power=self.power)
        return WeightedSamples(guesses.samples, log_weights)

    def log_density(self, state: TrainState, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
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
        if self.condition_dim:
            raise ValueError(
                f"this model has inputs of {self.condition_dim} columns; the density is that of one without any."
            )
        params = self._descent.params(state)
        return samplers.pushforward_log_density(lambda z: self._generate(params, z[None])[0].reshape(-1), noise)

    def log_weight(self, state: TrainState, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-weight of the guess that each row of noise makes, up to a common constant."""
        return self.decode(state, noise).log_weights

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
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
        self, key: Key[Array, ""], state: TrainState, given: Float[Array, "b k"], n: int
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
        samples, log_weights = self.weighted_samples_given(key_guess, state, given, max(self.oversampling * n, _FEWEST))
        pick = lambda key, made, weights: made[samplers.resample(key, weights, n)]
        return jax.vmap(pick)(jax.random.split(key_pick, len(given)), samples, log_weights)

    @property
    def _generator(self) -> nn.Module:
        return filled(self, self.generator)

    @property
    def _descent(self) -> GradientStep:
        # Targets with guesses of their own are independent, so their gradients are a mean over chunks of targets.
        chunk = self.candidates.chunk if isinstance(self.candidates, PerTarget) else None
        return GradientStep(self.loss, self.optimizer(self.learning_rate), self.axis_name, self.ema_decay, chunk)

    def _generate(self, params: Params, noise: Array) -> tuple[Array, Array]:
        """`[n, k]` -> samples `[n, ...]`, logits `[n]`."""
        made = self._generator.apply(params["generator"], noise)
        if self.weight_network is None:
            return made[..., :-1], made[..., -1]
        return made, self.weight_network.apply(params["weight_network"], noise)[..., 0]
