"""A critic and a generator trained in turn: what maximum entropy and Wasserstein generators share."""

import abc
import dataclasses
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxgen import losses, nets
from jaxgen.methods._checks import check_scalar_output, check_table, check_weights
from jaxgen.methods._modules import applied, filled
from jaxgen.optim.gradient_step import GradientStep, TrainState
from jaxgen.optim.optimizers import adversarial_adam
from jaxgen.optim.schedules import Schedule
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["EnergyGAN", "EnergyGANState", "split_batch", "default_networks"]

Self = TypeVar("Self", bound="EnergyGAN")
Loss = tuple[Array, tuple[Metrics, PyTree]]


class EnergyGANState(NamedTuple):
    """What is trained: by turns, each with an optimiser of its own."""

    critic: TrainState
    generator: TrainState  # of the generator and what learns with it; `model_state` are the generator's


def split_batch(rows: Float[Array, "b ..."], hands: int) -> Float[Array, "hands share ..."]:
    """Deal rows like cards, so that each hand has its share of every device's rows, however many devices there are.

    Args:
        rows: `[b, ...]`, one device's.
        hands: how many, which must divide `b`.

    Returns:
        Hands `[hands, b / hands, ...]`.

    Raises:
        ValueError: if the rows cannot be dealt evenly.
    """
    if rows.shape[0] % hands:
        raise ValueError(
            f"{rows.shape[0]} rows on a device cannot be dealt to {hands} updates of the critic; choose a batch_size "
            f"that is a multiple of n_critic = {hands} times the number of devices."
        )
    return rows.reshape(-1, hands, *rows.shape[1:]).swapaxes(0, 1)


def default_networks(shape: tuple[int, ...], latent_dim: int) -> nets.MEGNetworks:
    """Return the networks of the maximum entropy generators paper for rows of a shape.

    Raises:
        ValueError: if it has none.
    """
    if len(shape) == 1:
        return nets.dense_meg_networks(shape[0])
    if len(shape) == 3 and shape[:2] == (28, 28):
        return nets.digit_meg_networks(shape[2], latent_dim=latent_dim)
    if shape in ((32, 32, 3), (64, 64, 3)):
        return nets.photo_meg_networks(shape[0], latent_dim=latent_dim)
    raise ValueError(f"there are no default networks for rows of shape {shape}; give all networks.")


@dataclasses.dataclass(frozen=True)
class EnergyGAN(abc.ABC):
    """Energies that are low for data and high for samples, and a generator that looks for low ones.

    A step takes a minibatch of `batch_size` rows and deals it to `n_critic` updates of the critic; then the generator
    is updated once. So each update, the generator's too, sees `batch_size / n_critic` rows: what a paper calls its
    batch is that many, and `batch_size` is `n_critic` times as large.

    A generator with batch normalisation is trained on its batches' statistics, each device on its own rows', and
    samples, scores and chains use the running ones, which the generator's updates average, over the devices too.

    Attributes:
        critic: `x [..., *row] -> [..., 1]`, the energy.
        generator: `z [..., k] -> [..., *row]`.
        latent_dim: k, dimensions of the standard normal noise; None is 128 for images, and those of a vector up to 32.
        n_critic: updates of the critic in each step.
        penalty: weight of the regulariser.
        regularizer: takes the energy and rows `[n, ...]`, and returns what each of them pays, `[n]`.
        optimizer: takes the learning rate.
        learning_rate: a number, or a schedule of the generator's updates such as `descent.Cosine`, at whose place the
            critic's `n_critic` updates are too.
        axis_name: the axis over devices, set by `train`.
    """

    critic: nn.Module | None = None
    generator: nn.Module | None = None
    latent_dim: int | None = None
    n_critic: int = 5
    penalty: float = 0.1
    regularizer: Callable[[losses.Field, Array], Array] = losses.score_penalty
    optimizer: Callable[..., optax.GradientTransformation] = adversarial_adam
    learning_rate: float | Schedule = 1e-4
    axis_name: str | None = None

    def resolve(self: Self, *rows: PyTree[jax.ShapeDtypeStruct]) -> Self:
        """Fill in the networks where they were left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        check_table(self, rows)
        shape = rows[0].shape
        if self.n_critic < 1 or (self.latent_dim is not None and self.latent_dim < 1):
            raise ValueError(f"n_critic is {self.n_critic} and latent_dim {self.latent_dim}; make both 1 at least.")
        check_weights(penalty=self.penalty)
        latent_dim = self.latent_dim or (min(shape[0], 32) if len(shape) == 1 else 128)
        critic = self.critic or default_networks(shape, latent_dim).energy
        generator = self.generator or default_networks(shape, latent_dim).generator
        noise = jax.ShapeDtypeStruct((2, latent_dim), jnp.float32)
        makes = nets.output_shape(generator, noise, collections=("params", "batch_stats"))
        if makes != (2, *shape):
            raise ValueError(
                f"the generator makes rows of shape {makes[1:]} for data of shape {shape}; give it the data's shape."
            )
        check_scalar_output("critic", critic, jax.ShapeDtypeStruct((2, *shape), jnp.float32), gives="energy")
        return dataclasses.replace(self, critic=critic, generator=generator, latent_dim=latent_dim)

    def init(self, key: Key[Array, ""], x: Float[Array, "b ..."]) -> EnergyGANState:
        """Return freshly drawn networks."""
        key_critic, key_generator = jax.random.split(key)
        params, model_state = self._drawn(key_generator, x[:1])
        critic = filled(self, self.critic).init(key_critic, x[:1])
        return EnergyGANState(self._judging.init(critic), self._generating.init(params, model_state))

    def step(
        self, key: Key[Array, ""], state: EnergyGANState, x: Float[Array, "b ..."]
    ) -> tuple[EnergyGANState, Metrics]:
        """Descend `n_critic` times with the critic, each time on its share of the rows, then with the generator.

        Raises:
            ValueError: if `n_critic` does not divide the rows on a device.
        """
        key_critic, key_generator = jax.random.split(key)
        shares = split_batch(x, self.n_critic)
        made = state.generator
        judge = lambda key, critic, rows: self._judging.step(key, critic, rows, made.params, made.model_state)
        critic, seen = iterate(judge, key_critic, state.critic, shares)
        generator, found = self._generating.step(key_generator, made, critic.params, shares.shape[1])
        found = found | {"generator_loss": found["loss"]}
        return EnergyGANState(critic, generator), found | jax.tree.map(jnp.mean, seen)

    def critic_loss(
        self,
        key: Key[Array, ""],
        params: Params,
        model_state: PyTree,
        x: Float[Array, "b ..."],
        generator: Params,
        statistics: PyTree,
    ) -> Loss:
        """Return how much higher the data's energy is than the samples', and what the energy pays for being steep.

        Args:
            key: of the samples, and of where the regulariser looks.
            params: of the critic.
            model_state: passed on.
            x: rows `[b, ...]`.
            generator: parameters of the generator and what learns with it.
            statistics: variables of the generator.

        Returns:
            The loss; `energy_gap`, the mean energy of the data less that of samples; `energy_deviation` over both, and
            `energy_largest`, its largest absolute value (of one update's rows on one device, averaged over both);
            `penalty`, before its weight; and the variables.
        """
        key_samples, key_where = jax.random.split(key)
        energy = lambda rows: self._energy(params, rows)
        made, seen = self._negatives(key_samples, params, generator, statistics, x.shape[0])
        real, steepness = self._judged(key_where, energy, x, made)
        fake = energy(made)
        gap, steepness = jnp.mean(real) - jnp.mean(fake), jnp.mean(steepness)
        both = jnp.concatenate([real, fake])
        spread = {"energy_deviation": jnp.std(both), "energy_largest": jnp.max(jnp.abs(both))}
        return gap + self.penalty * steepness, (
            {"energy_gap": gap, "penalty": steepness, **spread, **seen},
            model_state,
        )

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, critic: Params, rows: int
    ) -> Loss:
        """Return the mean energy of samples.

        Args:
            key: of the noise.
            params: of the generator and what learns with it.
            model_state: of the generator.
            critic: parameters of the critic.
            rows: how many samples.

        Returns:
            The loss; metrics; and the variables with this batch's statistics in them.
        """
        made, model_state = self._made(params, model_state, self._noise(key, rows))
        return jnp.mean(self._energy(critic, made)), ({}, model_state)

    def sample(self, key: Key[Array, ""], state: EnergyGANState, n: int) -> Float[Array, "n ..."]:
        """Draw from the generator.

        Args:
            key: of the noise.
            state: of one seed.
            n: how many.

        Returns:
            Draws `[n, ...]`.
        """
        return self.decode(state, self._noise(key, n))

    def decode(self, state: EnergyGANState, z: Float[Array, "... k"]) -> Float[Array, "..."]:
        """Return what the generator makes of noise `[..., k]`: `[..., *row]`, each row from its own noise alone."""
        return self._decoded(state.generator.params, state.generator.model_state, z)

    def energy(self, state: EnergyGANState, x: Float[Array, "n ..."]) -> Float[Array, " n"]:
        """Return the energy of rows `[n, ...]`, `[n]`: low where there are data, and defined up to a constant."""
        return self._energy(state.critic.params, x)

    def scores(self, state: EnergyGANState, x: Float[Array, "n ..."]) -> dict[str, Array]:
        """Score rows; higher is more out of distribution.

        Args:
            state: of one seed.
            x: rows `[n, ...]`.

        Returns:
            `energy`, and `score_norm`, the norm of its gradient by the row; `[n]` each.
        """
        steepness = losses.score_penalty(lambda rows: self.energy(state, rows), x)
        return {"energy": self.energy(state, x), "score_norm": jnp.sqrt(steepness)}

    @abc.abstractmethod
    def _judged(self, key: Key[Array, ""], energy: losses.Field, x: Array, made: Array) -> tuple[Array, Array]:
        """Return the energy of each row, and what the regulariser asks, `[n]` each."""

    def _negatives(
        self, key: Key[Array, ""], critic: Params, generator: Params, statistics: PyTree, rows: int
    ) -> tuple[Array, Metrics]:
        """Return the samples from which the critic learns to tell the data, and what to report of them."""
        made, _ = self._made(generator, statistics, self._noise(key, rows))
        return made, {}

    def _drawn(self, key: Key[Array, ""], x: Array) -> tuple[Params, PyTree]:
        """Return parameters of the generator and what learns with it, and the generator's variables."""
        drawn = dict(filled(self, self.generator).init(key, jnp.zeros((1, filled(self, self.latent_dim)))))
        return {"generator": {"params": drawn.pop("params")}}, drawn

    def _noise(self, key: Key[Array, ""], rows: int) -> Array:
        return jax.random.normal(key, (rows, filled(self, self.latent_dim)))

    def _energy(self, params: Params, x: Array) -> Array:
        return filled(self, self.critic).apply(params, x)[..., 0]

    def _decoded(self, params: Params, model_state: PyTree, z: Array) -> Array:
        return applied(filled(self, self.generator), params["generator"]["params"], model_state, z, train=False)[0]

    def _made(self, params: Params, model_state: PyTree, z: Array) -> tuple[Array, PyTree]:
        """Return samples normalised by their own batch, and the running statistics after it."""
        return applied(filled(self, self.generator), params["generator"]["params"], model_state, z, train=True)

    @property
    def _judging(self) -> GradientStep:
        schedule = self.learning_rate
        rate = (lambda count: schedule(count // self.n_critic)) if callable(schedule) else schedule
        return GradientStep(self.critic_loss, self.optimizer(rate), self.axis_name)

    @property
    def _generating(self) -> GradientStep:
        return GradientStep(self.generator_loss, self.optimizer(self.learning_rate), self.axis_name)
