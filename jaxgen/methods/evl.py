"""Extreme value networks: generators trained on the nearest of many guesses."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, samplers
from jaxgen.methods._conditioning import check_condition, concatenate_condition, split_condition, split_condition_specs
from jaxgen.methods._modules import normal, required
from jaxgen.methods._validation import mean_over_rows
from jaxgen.methods.candidate_sampling import PerTarget, SharedPool
from jaxgen.nets import MLP, WeightedGenerator, output_shape
from jaxgen.nets.shapes import check_scalar_output
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import keys
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_weights, rows_remedy

__all__ = ["EVL", "WeightedSamples"]


_MIN_GUESSES = 4096  # resampling from few guesses would return those of low weight too often


class WeightedSamples(NamedTuple):
    """Weighted samples of an extreme value network; with conditions, `n` stands for `b n`."""

    samples: Float[Array, "n ..."]
    log_weights: Float[Array, "*n"]  # up to a common constant


@dataclasses.dataclass(frozen=True)
class EVL:
    """Extreme value network: a generator of weighted samples, trained on the nearest of many guesses.

    The distance to the nearest guess spreads the guesses over the support of the data. A cross-entropy trains logits to
    predict which guess is the nearest. Guesses resampled by these weights follow the distribution of the data.

    Rows `[d]` or `[...]` have one distribution. Pairs of a condition `[k]` and an outcome have one for each condition
    (section III): the networks get the noise followed by the condition, and each target needs its own `PerTarget`
    guesses. `PerTarget(1)` without weight on the cross-entropy is least squares.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        generator: `z [..., k] -> [..., d + 1]`, where the last number is the logit; with a `weight_network`,
            `-> [..., *row]`. None is a dense network of five hidden layers of 256, whose logit is a function of the
            sample (`nets.WeightedGenerator`). `nets.MLP((256,) * 5 + (d + 1,))` is the paper's, whose logit shares the
            trunk.
        weight_network: a separate network for the logit, `z [..., k] -> [..., 1]`; None if the generator returns it.
        latent_dim: dimensions of the standard normal noise.
        candidates: `PerTarget` or `SharedPool`.
        power: exponent of the Euclidean distance.
        distance_weight: weight of the distance, divided by d as in the paper's code (a mean over dimensions).
        probability_weight: weight of the cross-entropy.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine`.
        ema_decay: decay of an exponential moving average of the weights, which samples then use; None for none.
        bandwidth: standard deviation of normal noise added to every guess, in the data's units. A guess then stands for
            a narrow Gaussian, as in section IV of the paper, and covers the edge that a finite pool leaves uncovered.
            The loss does not depend on it.
        oversampling: guesses for each sample of `sample`, which generates at least 4,096.
        condition_dim: width of a condition, 0 where there is none; set by `resolve`.
        axis_name: the axis over devices, set by `train`.

    References:
        Guttenberg, Generating the support with extreme value losses (2019).
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

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
        """Return the method with its generator and `condition_dim` filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows, or of pairs of a condition and such a row.
            ValueError: if there is no default network for such rows, a network has another output shape, targets with
                conditions share a pool, or a number is out of range.
        """
        condition_dim, shape = split_condition_specs("EVL", row_specs)
        if not math.isfinite(self.bandwidth):
            raise ValueError(f"`bandwidth` must be finite (got {self.bandwidth}); use bandwidth=0. for none.")
        # A condition without noise is enough: the generator is then deterministic.
        if self.latent_dim + condition_dim < 1 or not self.power > 0 or self.bandwidth < 0 or self.oversampling < 1:
            raise ValueError(
                f"`latent_dim` must be at least 1, or 0 with conditions (got {self.latent_dim}), `power` positive (got "
                f"{self.power}), `bandwidth` at least 0 (got {self.bandwidth}) and `oversampling` at least 1 (got "
                f"{self.oversampling})."
            )
        check_weights(distance_weight=self.distance_weight, probability_weight=self.probability_weight)
        if condition_dim and isinstance(self.candidates, SharedPool):
            raise ValueError("targets with conditions cannot share a pool; use candidates=PerTarget(...).")
        if self.generator is None and len(shape) != 1:
            raise ValueError(
                f"EVL's default network generates vectors (got rows of shape {shape}); "
                f"{rows_remedy(shape, 'flatten them, or set `generator` and `weight_network`')}."
            )
        if isinstance(self.generator, WeightedGenerator) and self.generator.condition_dim != condition_dim:
            raise ValueError(
                f"the generator's `condition_dim` must be {condition_dim}, as in the data (got "
                f"{self.generator.condition_dim}); use WeightedGenerator(..., condition_dim={condition_dim})."
            )
        method = dataclasses.replace(self, condition_dim=condition_dim)
        if self.generator is None:
            generator = MLP((256,) * 5 + shape)
            if self.weight_network is None:
                generator = WeightedGenerator(generator, MLP((64, 64, 1)), condition_dim)
            method = dataclasses.replace(method, generator=generator)
        noise = jax.ShapeDtypeStruct((2, self.latent_dim + condition_dim), jnp.float32)
        output = output_shape(method._generator, noise)
        if self.weight_network is None and len(shape) != 1:
            raise ValueError(
                f"rows of shape {shape} leave no place for a logit in the generator's output; set `weight_network`, or "
                "flatten the rows."
            )
        expected = (2, *shape) if self.weight_network else (2, shape[0] + 1)
        if output != expected:
            raise ValueError(
                f"the generator must return shape {expected[1:]} (got {output[1:]}): the data's shape with a "
                "`weight_network`, and one number more, the logit, without; change its last layer."
            )
        if self.weight_network:
            check_scalar_output("weight_network", self.weight_network, noise, output="logit")
        return method

    def init(self, key: Key[Array, ""], rows: PyTree) -> TrainState:
        """Return networks with fresh parameters."""
        noise = jnp.zeros((1, self.latent_dim + self.condition_dim), jnp.float32)
        key_generator, key_weight = jax.random.split(key)
        params = {"generator": self._generator.init(key_generator, noise)}
        if self.weight_network is not None:
            params["weight_network"] = self.weight_network.init(key_weight, noise)
        return self._descent.init(params)

    def step(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> tuple[TrainState, Metrics]:
        """Take one gradient step on a minibatch."""
        return self._descent.step(key, state, rows)

    def loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, rows: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        """Return the weighted sum of the distance and the cross-entropy.

        Args:
            key: of the noise.
            params: of the generator and the weight network.
            model_state: returned unchanged.
            rows: targets `[b, ...]`, or a pair of conditions `[b, k]` and targets.

        Returns:
            The loss; the metrics `distance`, per dimension, and `cross_entropy`, in nats; and the model state.
        """
        parts, dimensions = self._parts(key, params, rows)
        distance, cross_entropy = jnp.mean(parts.distance) / dimensions, jnp.mean(parts.cross_entropy)
        value = self.distance_weight * distance + self.probability_weight * cross_entropy
        return value, ({"distance": distance, "cross_entropy": cross_entropy}, model_state)

    def validation_loss(self, key: Key[Array, ""], state: TrainState, rows: PyTree) -> Float[Array, ""]:
        """Return the loss of validation rows, by the averaged weights if there are any.

        Args:
            key: of the guesses; each 256 rows have their own.
            state: of one seed.
            rows: targets `[n, ...]`, or a pair of conditions `[n, k]` and targets.
        """
        params = self._descent.params(state)

        def loss(key: Key[Array, ""], rows: PyTree) -> Array:
            parts, dimensions = self._parts(key, params, rows)
            return self.distance_weight * parts.distance / dimensions + self.probability_weight * parts.cross_entropy

        return mean_over_rows(loss, key, rows)

    def weighted_samples(self, key: Key[Array, ""], state: TrainState, n: int) -> WeightedSamples:
        """Generate guesses and their log-weights, which together represent the distribution of the data.

        Args:
            key: of the noise.
            state: of one seed.
            n: number of guesses.

        Returns:
            Samples `[n, ...]` and their log-weights `[n]`.

        Raises:
            ValueError: if the model was trained with conditions.
        """
        samples, log_weights = self.weighted_samples_given(key, state, jnp.zeros((1, 0), jnp.float32), n)
        return WeightedSamples(samples[0], log_weights[0])

    def weighted_samples_given(
        self, key: Key[Array, ""], state: TrainState, condition: Float[Array, "b k"], n: int
    ) -> WeightedSamples:
        """Generate weighted guesses for each condition.

        Args:
            key: of the noise.
            state: of one seed.
            condition: conditions `[b, k]`.
            n: number of guesses for each.

        Returns:
            Samples `[b, n, ...]` and their log-weights `[b, n]`, up to a constant for each condition.

        Raises:
            ValueError: if the conditions have another width than in training.
        """
        fits = condition.ndim == 2 and condition.shape[1] == self.condition_dim
        unconditional, conditional = "weighted_samples or sample", "weighted_samples_given or sample_given"
        check_condition(condition, fits, unconditional=unconditional, conditional=conditional)
        noise = normal(key, len(condition) * n, self.latent_dim)
        flat = self.decode(state, concatenate_condition(noise, condition))
        samples, log_weights = jax.tree.map(lambda leaf: leaf.reshape(len(condition), n, *leaf.shape[1:]), flat)
        if self.bandwidth:
            samples += self.bandwidth * normal(jax.random.fold_in(key, 1), *samples.shape)
        return WeightedSamples(samples, log_weights)

    def decode(self, state: TrainState, noise: Float[Array, "n k"]) -> WeightedSamples:
        """Return the guess and log-weight of each row of noise `[n, k]`, without the bandwidth's noise.

        With conditions, each row is the noise followed by its condition.
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
        """Generate the guesses of `weighted_samples` with weights by Zador's density formula, not by logits.

        Many guesses settle at a density q proportional to p^(d / (d + r)), r being `power`; so p / q is proportional to
        q^(r / d). The nearest members of fresh pools give an estimate of q. The formula assumes a fully trained
        generator whose guesses are dense in the data; the learned weights need neither.

        Args:
            key: of the noise.
            state: of one seed.
            n: number of guesses.
            dimensions: d, the intrinsic dimension of the data, such as a manifold's; None is the number of columns.
            pools: number of pools; the relative variance of the weights' noise is about (r / d)^2 / pools.
            size: guesses in each pool; too few blur the density.

        Returns:
            Samples `[n, ...]` and their log-weights `[n]`.

        Raises:
            ValueError: if the model was trained with conditions.
        """
        guesses = self.weighted_samples(key, state, n)
        noiseless = dataclasses.replace(self, bandwidth=0.0)  # the formula describes guesses as in training
        points = noiseless.weighted_samples(key, state, n).samples.reshape(n, -1)

        def distance(key: Key[Array, ""]) -> Array:
            pool = noiseless.weighted_samples(key, state, size).samples
            return jnp.sqrt(losses.nearest(points, pool.reshape(size, -1))[1])

        distances = jax.lax.map(distance, keys(jax.random.fold_in(key, 2), pools)).T
        dimensions = points.shape[1] if dimensions is None else dimensions
        log_density = samplers.nearest_log_density(distances, pool_size=size, dimensions=dimensions)
        log_weights = samplers.zador_log_weights(log_density, dimensions=dimensions, power=self.power)
        return WeightedSamples(guesses.samples, log_weights)

    def log_density(self, state: TrainState, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-density of each guess under the generator, by change of variables.

        It is exact where the generator is one-to-one. Where several noise vectors give the same guess, it is the
        density of one of them alone.

        Args:
            state: of one seed.
            noise: `[n, k]`, with as many dimensions as the data.

        Returns:
            Log-densities of the guesses `[n]`, without bandwidth and weights.

        Raises:
            ValueError: if noise and data have different dimensions, or the model was trained with conditions.
        """
        if self.condition_dim:
            raise ValueError(f"log_density needs a model without conditions (got condition_dim={self.condition_dim}).")
        params = self._descent.params(state)
        return samplers.pushforward_log_density(lambda z: self._generate(params, z[None])[0].reshape(-1), noise)

    def log_weight(self, state: TrainState, noise: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Return the log-weight `[n]` of the guess from each row of noise `[n, k]`, up to a common constant."""
        return self.decode(state, noise).log_weights

    def sample(self, key: Key[Array, ""], state: TrainState, n: int) -> Float[Array, "n ..."]:
        """Draw samples: guesses resampled in proportion to their weight, with replacement.

        Args:
            key: of the draws.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`.

        Raises:
            ValueError: if the model was trained with conditions.
        """
        return self.sample_given(key, state, jnp.zeros((1, 0), jnp.float32), n)[0]

    def sample_given(
        self, key: Key[Array, ""], state: TrainState, condition: Float[Array, "b k"], n: int
    ) -> Float[Array, "b n ..."]:
        """Draw samples for each condition: guesses resampled in proportion to their weight, with replacement.

        Args:
            key: of the draws.
            state: of one seed.
            condition: conditions `[b, k]`.
            n: number of samples for each.

        Returns:
            Samples `[b, n, ...]`.

        Raises:
            ValueError: if the conditions have another width than in training.
        """
        key_guess, key_resample = jax.random.split(key)
        samples, log_weights = self.weighted_samples_given(
            key_guess, state, condition, max(self.oversampling * n, _MIN_GUESSES)
        )
        resample = lambda key, rows, log_weights: rows[samplers.resample(key, log_weights, n)]
        return jax.vmap(resample)(jax.random.split(key_resample, len(condition)), samples, log_weights)

    @property
    def _generator(self) -> nn.Module:
        return required(self, self.generator)

    @property
    def _descent(self) -> GradientStep:
        # Targets with their own guesses are independent, so the gradient is a mean over chunks of targets.
        chunk = self.candidates.chunk if isinstance(self.candidates, PerTarget) else None
        return GradientStep(
            self.loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name, self.ema_decay, chunk
        )

    def _parts(self, key: Key[Array, ""], params: Params, rows: PyTree) -> tuple[losses.ExtremeValue, int]:
        """Return both parts of the loss of each row, and the dimensions of a row."""

        def generate(noise: Array) -> tuple[Array, Array]:
            samples, logits = self._generate(params, noise)
            return samples.reshape(len(samples), -1), logits

        draw = lambda count: normal(key, count, self.latent_dim)
        condition, x = split_condition(rows)
        targets = x.reshape(len(x), -1)
        parts = self.candidates(generate, draw, condition, targets, self.power, self.axis_name)
        return parts, targets.shape[1]

    def _generate(self, params: Params, noise: Array) -> tuple[Array, Array]:
        """Map noise `[n, k]` to samples `[n, ...]` and logits `[n]`."""
        output = self._generator.apply(params["generator"], noise)
        if self.weight_network is None:
            return output[..., :-1], output[..., -1]
        return output, self.weight_network.apply(params["weight_network"], noise)[..., 0]
