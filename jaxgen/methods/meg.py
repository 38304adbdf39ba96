"""Maximum entropy generators: an energy, and samples of high entropy from which it learns what data are not."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen import losses, samplers
from jaxgen.methods._checks import check_scalar_output, check_weights
from jaxgen.methods._modules import filled
from jaxgen.methods.energy_gan import EnergyGAN, EnergyGANState, Loss, default_networks
from jaxgen.methods.latent_mcmc import LatentMCMC
from jaxgen.samplers.latent import LogDensity
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree

__all__ = ["MEG", "shuffled_columns", "shuffled_rows"]


def shuffled_rows(key: Key[Array, ""], z: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Shuffle the rows of noise, as the released code does, so that rows and noise are drawn apart.

    A shuffle leaves one row in place on average: give each device's update many.

    Args:
        key: of the shuffle.
        z: noise `[n, k]`.

    Returns:
        The same numbers in another order, `[n, k]`.

    Raises:
        ValueError: if there is one row, whose noise would stand for itself.
    """
    return jax.random.permutation(key, _several(z))


def shuffled_columns(key: Key[Array, ""], z: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Shuffle every dimension by itself, as algorithm 1 has it: the same law where dimensions are independent.

    Args:
        key: of the shuffle.
        z: noise `[n, k]`.

    Returns:
        The same numbers in another order, `[n, k]`.

    Raises:
        ValueError: if there is one row, whose noise would stand for itself.
    """
    return jax.random.permutation(key, _several(z), independent=True)


def _several(z: Array) -> Array:
    """Return noise of two rows or more as it is."""
    if len(z) < 2:
        raise ValueError(
            "the noise of one row cannot be shuffled; make the rows of a batch, shared among n_critic updates and all "
            "devices, 2 at least for each."
        )
    return z


@dataclasses.dataclass(frozen=True)
class MEG(EnergyGAN):
    """An energy that learns to tell data from a generator of high entropy.

    The critic is the energy. The generator descends on the energy of what it makes, less a lower bound on what its
    samples tell of their noise, which a third network, the statistic, learns to raise; without it the generator would
    collapse upon the lowest energy. This is algorithm 1 with the sign of its L_H mended.

    All attributes that are not listed, and what a step does with a minibatch, are those of `EnergyGAN`.

    Attributes:
        statistic: `x [..., *row], z [..., k] -> [..., 1]`.
        entropy: weight of the mutual information against the energy. Equation 8 has 1; the released code, whose loss is
            a mean over both kinds of pairs, has the half that is the default. The statistic's own gradient has the same
            factor, which Adam does not see.
        marginal: takes a key and noise `[n, k]`, and returns noise that tells nothing of the rows made of the first:
            `shuffled_rows` or `shuffled_columns`.
        latent_mcmc: moves the noise of the critic's negatives to where the energy is low; None takes them from the
            generator
            as they are, as the released code does.

    References:
        Kumar, Goyal, Courville and Bengio, Maximum entropy generators for energy-based models (2019), algorithm 1.
    """

    statistic: nn.Module | None = None
    entropy: float = 0.5
    marginal: Callable[[Key[Array, ""], Array], Array] = shuffled_rows
    latent_mcmc: LatentMCMC | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MEG":
        """Fill in the networks where they were left open.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        check_weights(entropy=self.entropy)
        method = super().resolve(*row_specs)
        shape, latent_dim = row_specs[0].shape, filled(method, method.latent_dim)
        statistic = self.statistic or default_networks(shape, latent_dim).statistic
        pair = [jax.ShapeDtypeStruct((2, *part), jnp.float32) for part in (shape, (latent_dim,))]
        check_scalar_output("statistic", statistic, *pair, gives="statistic of a row and its noise")
        return dataclasses.replace(method, statistic=statistic)

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, critic: Params, rows: int
    ) -> Loss:
        """Return the mean energy of samples, less the weighted mutual information of samples and noise.

        Args:
            key: of the noise and of its shuffling.
            params: of generator and statistic.
            model_state: of the generator.
            critic: parameters of the critic.
            rows: how many samples.

        Returns:
            The loss; `mutual_information`, as estimated, in nats; and the variables with this batch's statistics in
            them.
        """
        key_noise, key_marginal = jax.random.split(key)
        z = self._noise(key_noise, rows)
        made, model_state = self._made(params, model_state, z)
        told = lambda z: filled(self, self.statistic).apply(params["statistic"], made, z)[..., 0]
        strangers = self.marginal(key_marginal, z)
        information = losses.jsd_mutual_information(told(z), told(strangers), axis_name=self.axis_name)
        value = jnp.mean(self._energy(critic, made)) - self.entropy * information
        return value, ({"mutual_information": information}, model_state)

    def sample_by_chain(
        self, key: Key[Array, ""], state: EnergyGANState, n: int, *, chain: LatentMCMC
    ) -> Float[Array, "n ..."]:
        """Draw what the generator makes of noise that a chain has moved to where the energy is low.

        Args:
            key: of the noise and the chains.
            state: of one seed.
            n: how many, a chain to each.
            latent_mcmc: how far and by which steps.

        Returns:
            Draws `[n, ...]`.
        """
        key_noise, key_chain = jax.random.split(key)
        z, _ = chain(key_chain, *self._of_one_row(state), self._noise(key_noise, n))
        return self.decode(state, z)

    def latent_log_density(
        self,
        state: EnergyGANState,
        *,
        density: Callable[..., LogDensity] = samplers.latent_log_density,
    ) -> LogDensity:
        """Return a log-density over noise, for a chain in the generator's latent space.

        Args:
            state: of one seed.
            density: `samplers.latent_log_density` or `samplers.tilted_log_density`.

        Returns:
            A function of one row of noise `[k]` to `[]`.
        """
        return density(*self._of_one_row(state))

    def data_log_density(self, state: EnergyGANState) -> LogDensity:
        """Return minus the energy as a function of one row to `[]`, for a chain among the data."""
        energy, _ = self._of_one_row(state)
        return lambda x: -energy(x)

    def _judged(self, key: Key[Array, ""], energy: losses.Field, x: Array, made: Array) -> tuple[Array, Array]:
        return energy(x), self.regularizer(energy, x)

    def _negatives(
        self, key: Key[Array, ""], critic: Params, generator: Params, statistics: PyTree, rows: int
    ) -> tuple[Array, Metrics]:
        if self.latent_mcmc is None:
            return super()._negatives(key, critic, generator, statistics, rows)
        key_noise, key_chain = jax.random.split(key)
        energy = lambda x: self._energy(jax.lax.stop_gradient(critic), x)
        generate = lambda z: self._decoded(generator, statistics, z)
        z, acceptance = self.latent_mcmc(key_chain, energy, generate, self._noise(key_noise, rows))
        return generate(z), {"acceptance": jnp.mean(acceptance)}

    def _drawn(self, key: Key[Array, ""], x: Array) -> tuple[Params, PyTree]:
        key_generator, key_statistic = jax.random.split(key)
        params, model_state = super()._drawn(key_generator, x)
        noise = jnp.zeros((1, filled(self, self.latent_dim)))
        return params | {"statistic": filled(self, self.statistic).init(key_statistic, x, noise)}, model_state

    def _of_one_row(self, state: EnergyGANState) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """Return energy and generator as functions of one row."""
        return lambda x: self._energy(state.critic.params, x), lambda z: self.decode(state, z)
