"""Energy-based GANs: what maximum entropy generators and Wasserstein GANs share."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, nets
from jaxgen.methods._modules import apply_network, at_least_single, normal, required
from jaxgen.methods._validation import sliced_wasserstein
from jaxgen.nets.image_sides import check_image_shape
from jaxgen.nets.shapes import check_scalar_output
from jaxgen.numerics.threefry import with_unrolled_key
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import adversarial_adam, build_optimizer
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_table, check_weights

__all__ = ["EnergyGAN", "EnergyGANState", "split_batch", "default_networks"]

Self = TypeVar("Self", bound="EnergyGAN")
Loss = tuple[Array, tuple[Metrics, PyTree]]


class EnergyGANState(NamedTuple):
    """State of both networks, each with its own optimizer."""

    critic: TrainState
    generator: TrainState  # of the generator and networks trained with it; `model_state` is the generator's


def split_batch(rows: Float[Array, "b ..."], parts: int) -> Float[Array, "parts share ..."]:
    """Split a minibatch into equal parts, by every `parts`-th row.

    Interleaving gives each part the same share of every device's rows, for any number of devices.

    Args:
        rows: `[b, ...]`, of one device.
        parts: number of parts, which must divide `b`.

    Returns:
        Parts `[parts, b / parts, ...]`.

    Raises:
        ValueError: if `parts` does not divide `b`.
    """
    if rows.shape[0] % parts:
        raise ValueError(
            f"`batch_size` must be a multiple of `n_critic` times the number of devices (got {rows.shape[0]} rows per "
            f"device for n_critic={parts})."
        )
    return rows.reshape(-1, parts, *rows.shape[1:]).swapaxes(0, 1)


def default_networks(shape: tuple[int, ...], latent_dim: int) -> nets.MEGNetworks:
    """Return the default networks for rows of a shape: the maximum entropy generators paper's, or of their form.

    Args:
        shape: of a row.
        latent_dim: dimensions of the noise.

    Raises:
        ValueError: if the rows are neither vectors nor images with sides of 8 to 64 pixels.
    """
    if len(shape) == 1:
        return nets.dense_meg_networks(shape[0])
    check_image_shape(shape, "set all networks")
    if shape in ((32, 32, 3), (64, 64, 3)):
        return nets.photo_meg_networks(shape[0], latent_dim=latent_dim)
    height, width, channels = shape
    return nets.image_meg_networks((height, width, channels), latent_dim=latent_dim)


@dataclasses.dataclass(frozen=True)
class EnergyGAN(abc.ABC):
    """Base class of energy-based GANs: an energy that is low on data, and a generator of low energy.

    The energy, or critic, is trained to be low on data and high on samples.

    A step splits a minibatch of `batch_size` rows over `n_critic` updates of the critic; then the generator is updated
    once. Every update, the generator's too, therefore uses `batch_size / n_critic` rows. For the batch size of a paper,
    set `batch_size` to `n_critic` times that number.

    A generator with batch normalization is trained with the statistics of its batches, each device on its own rows.
    Samples, scores and chains use the running statistics, which the generator's updates average, also over devices.

    The default networks of vectors are those of `nets.dense_meg_networks`. Images of 32 x 32 and 64 x 64 with three
    channels have those of `nets.photo_meg_networks`. All other images with sides of 8 to 64 pixels have those of
    `nets.image_meg_networks`: convolutions of stride 2 until the larger side is at most 2 pixels, with 64 features
    that double up to 512, and as many transposed convolutions back. For 28 x 28 they are the paper's.

    Attributes:
        critic: `x [..., *row] -> [..., 1]`, the energy.
        generator: `z [..., k] -> [..., *row]`.
        latent_dim: k, dimensions of the standard normal noise. None is the number of values in a row, at most 128 for
            images and 32 for vectors.
        n_critic: updates of the critic in each step.
        penalty: weight of the regularizer.
        regularizer: takes the energy and rows `[n, ...]`, and returns the penalty of each, `[n]`.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule such as `optim.Cosine` over the generator's updates. All `n_critic`
            updates of the critic in a step have the same rate.
        axis_name: the axis over devices, set by `train`.
    """

    uses_columns_as_given: ClassVar[bool] = True  # `train` and `check` say so for columns of very different scale

    critic: nn.Module | None = None
    generator: nn.Module | None = None
    latent_dim: int | None = None
    n_critic: int = 5
    penalty: float = 0.1
    regularizer: Callable[[losses.Field, Array], Array] = losses.score_penalty
    optimizer: Callable[..., optax.GradientTransformation] = adversarial_adam
    learning_rate: float | Schedule = 1e-4
    axis_name: str | None = None

    def resolve(self: Self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> Self:
        """Return the method with its networks filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        check_table(self, row_specs)
        shape = row_specs[0].shape
        if self.n_critic < 1 or (self.latent_dim is not None and self.latent_dim < 1):
            raise ValueError(
                f"`n_critic` and `latent_dim` must be at least 1 (got {self.n_critic} and {self.latent_dim}); "
                "latent_dim=None is the default width."
            )
        check_weights(penalty=self.penalty)
        latent_dim = self.latent_dim or min(row_specs[0].size, 32 if len(shape) == 1 else 128)
        critic = self.critic or default_networks(shape, latent_dim).energy
        generator = self.generator or default_networks(shape, latent_dim).generator
        noise = jax.ShapeDtypeStruct((2, latent_dim), jnp.float32)
        output = nets.output_shape(generator, noise, collections=("params", "batch_stats"))
        if output != (2, *shape):
            raise ValueError(
                f"the generator must return rows of the data's shape {shape} (got {output[1:]}); change its last layer."
            )
        check_scalar_output("critic", critic, jax.ShapeDtypeStruct((2, *shape), jnp.float32), output="energy")
        return dataclasses.replace(self, critic=critic, generator=generator, latent_dim=latent_dim)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> EnergyGANState:
        """Return networks with fresh parameters."""
        key_critic, key_generator = jax.random.split(key)
        params, model_state = self._init_generator(key_generator, x[:1])
        critic = required(self, self.critic).init(key_critic, x[:1])
        return EnergyGANState(self._critic_step.init(critic), self._generator_step.init(params, model_state))

    @with_unrolled_key
    def step(
        self, key: Key[Array, ""], state: EnergyGANState, x: Float[Array, "b ..."]
    ) -> tuple[EnergyGANState, Metrics]:
        """Take `n_critic` gradient steps with the critic on parts of the rows, then one with the generator.

        Raises:
            ValueError: if `n_critic` does not divide the number of rows on a device.
        """
        key_critic, key_generator = jax.random.split(key)
        parts = split_batch(at_least_single(x), self.n_critic)
        fixed = (state.generator.params, state.generator.model_state)
        update = lambda key, critic, rows: self._critic_step.step(key, critic, rows, *fixed)
        critic, critic_metrics = iterate(update, key_critic, state.critic, parts)
        generator, metrics = self._generator_step.step(key_generator, state.generator, critic.params, parts.shape[1])
        metrics = metrics | {"generator_loss": metrics["loss"]}
        return EnergyGANState(critic, generator), metrics | jax.tree.map(jnp.mean, critic_metrics)

    def critic_loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        x: Float[Array, "b ..."],
        generator: Params,
        statistics: PyTree,
    ) -> Loss:
        """Return the mean energy of data minus that of samples, plus the weighted penalty.

        Args:
            key: of the samples, and of the points where the regularizer is evaluated.
            params: of the critic.
            model_state: returned unchanged.
            x: rows `[b, ...]`.
            generator: parameters of the generator and networks trained with it.
            statistics: model state of the generator.

        Returns:
            The loss, metrics, and the model state. The metrics are `energy_gap`, the mean energy of data minus that of
            samples; `energy_std`, the standard deviation of the energy over data and samples; `energy_abs_max`,
            its largest absolute value; and `penalty`, before its weight. The middle two are of one update's rows
            on one device, averaged over updates and devices.
        """
        key_samples, key_where = jax.random.split(key)
        energy = lambda rows: self._energy(params, rows)
        samples, metrics = self._negative_samples(key_samples, params, generator, statistics, x.shape[0])
        real, penalty = self._energy_and_penalty(key_where, energy, x, samples)
        fake = energy(samples)
        gap, penalty = jnp.mean(real) - jnp.mean(fake), jnp.mean(penalty)
        both = jnp.concatenate([real, fake])
        spread = {"energy_std": jnp.std(both), "energy_abs_max": jnp.max(jnp.abs(both))}
        metrics = {"energy_gap": gap, "penalty": penalty, **spread, **metrics}
        return gap + self.penalty * penalty, (metrics, model_state)

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, critic: Params, rows: int
    ) -> Loss:
        """Return the mean energy of samples.

        Args:
            key: of the noise.
            params: of the generator and networks trained with it.
            model_state: of the generator.
            critic: parameters of the critic.
            rows: number of samples.

        Returns:
            The loss; metrics; and the model state, updated with this batch's statistics.
        """
        samples, model_state = self._generate(params, model_state, self._noise(key, rows))
        return jnp.mean(self._energy(critic, samples)), ({}, model_state)

    def sample(self, key: Key[Array, ""], state: EnergyGANState, n: int) -> Float[Array, "n ..."]:
        """Draw samples from the generator.

        Args:
            key: of the noise.
            state: of one seed.
            n: number of samples.

        Returns:
            Samples `[n, ...]`.
        """
        return self.decode(state, self._noise(key, n))

    def validation_loss(self, key: Key[Array, ""], state: EnergyGANState, x: Float[Array, "n ..."]) -> Float[Array, ""]:
        """Return the sliced Wasserstein distance between samples of the generator and validation rows.

        An energy has an unknown constant, and the losses of adversaries do not fall with the quality. So this measures
        the generator, and the energy only through it.

        Args:
            key: of the samples and the directions.
            state: of one seed.
            x: rows `[n, ...]`, compared with n samples.

        Returns:
            The distance in units of the rows, `[]`.
        """
        return sliced_wasserstein(key, lambda key, n: self.sample(key, state, n), x)

    def decode(self, state: EnergyGANState, z: Float[Array, "... k"]) -> Float[Array, "..."]:
        """Return the generator's output for noise `[..., k]`: rows `[..., *row]`, independent of each other."""
        return self._decode(self._generator_step.params(state.generator), state.generator.model_state, z)

    def energy(self, state: EnergyGANState, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
        """Return the energy `[n]` of rows `[n, ...]`: low on data, and defined up to a constant."""
        return self._energy(self._critic_step.params(state.critic), x)

    def scores(self, state: EnergyGANState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Return out-of-distribution scores of rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `energy`, and `score_norm`, the norm of its gradient with respect to the row; `[n]` each.
        """
        squared_norm = losses.score_penalty(lambda rows: self.energy(state, rows), x)
        return {"energy": self.energy(state, x), "score_norm": jnp.sqrt(squared_norm)}

    @abc.abstractmethod
    def _energy_and_penalty(
        self, key: Key[Array, ""], energy: losses.Field, x: Array, samples: Array
    ) -> tuple[Array, Array]:
        """Return the energy of each row, and the regularizer's penalty, `[n]` each."""

    def _negative_samples(
        self, key: Key[Array, ""], critic: Params, generator: Params, statistics: PyTree, rows: int
    ) -> tuple[Array, Metrics]:
        """Return samples on which the critic learns a high energy, and metrics."""
        samples, _ = self._generate(generator, statistics, self._noise(key, rows))
        return samples, {}

    def _init_generator(self, key: Key[Array, ""], x: Array) -> tuple[Params, PyTree]:
        """Return fresh parameters of generator and networks trained with it, and the generator's model state."""
        variables = dict(
            required(self, self.generator).init(key, jnp.zeros((1, required(self, self.latent_dim)), jnp.float32))
        )
        return {"generator": {"params": variables.pop("params")}}, variables

    def _noise(self, key: Key[Array, ""], rows: int) -> Array:
        return normal(key, rows, required(self, self.latent_dim))

    def _energy(self, params: Params, x: Array) -> Array:
        return required(self, self.critic).apply(params, x)[..., 0]

    def _decode(self, params: Params, model_state: PyTree, z: Array) -> Array:
        return apply_network(
            required(self, self.generator), params["generator"]["params"], model_state, z, train=False
        )[0]

    def _generate(self, params: Params, model_state: PyTree, z: Array) -> tuple[Array, PyTree]:
        """Return samples normalized by the statistics of their batch, and the updated running statistics."""
        return apply_network(required(self, self.generator), params["generator"]["params"], model_state, z, train=True)

    @property
    def _critic_step(self) -> GradientStep:
        schedule = self.learning_rate
        rate = (lambda count: schedule(count // self.n_critic)) if callable(schedule) else schedule
        return GradientStep(self.critic_loss, build_optimizer(self.optimizer, rate), self.axis_name)

    @property
    def _generator_step(self) -> GradientStep:
        return GradientStep(self.generator_loss, build_optimizer(self.optimizer, self.learning_rate), self.axis_name)
