"""Maximum entropy generators: an energy-based model trained with samples of a high-entropy generator."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen import losses, samplers
from jaxgen.methods._modules import required
from jaxgen.methods.energy_gan import EnergyGAN, EnergyGANState, Loss, default_networks
from jaxgen.methods.latent_mcmc import LatentMCMC
from jaxgen.nets.shapes import check_scalar_output
from jaxgen.samplers.latent import LogDensity
from jaxgen.types import Array, Float, Key, Metrics, Params, PyTree
from jaxgen.validation import check_weights

__all__ = ["MEG", "shuffled_columns", "shuffled_rows"]


def shuffled_rows(key: Key[Array, ""], z: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Shuffle the rows of noise, as the released code does, so that samples and noise are independent.

    On average one row stays in place, so use many rows for each update on a device.

    Args:
        key: of the shuffle.
        z: noise `[n, k]`.

    Returns:
        The rows in another order, `[n, k]`.

    Raises:
        ValueError: if there is only one row, which a shuffle leaves in place.
    """
    return jax.random.permutation(key, _at_least_two(z))


def shuffled_columns(key: Key[Array, ""], z: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """Shuffle each column of noise by itself, as in algorithm 1.

    The distribution is unchanged if dimensions are independent.

    Args:
        key: of the shuffle.
        z: noise `[n, k]`.

    Returns:
        The same numbers, each column in another order, `[n, k]`.

    Raises:
        ValueError: if there is only one row, which a shuffle leaves in place.
    """
    return jax.random.permutation(key, _at_least_two(z), independent=True)


def _at_least_two(z: Array) -> Array:
    """Return noise unchanged if it has at least two rows."""
    if len(z) < 2:
        raise ValueError(
            f"shuffling needs at least 2 rows of noise for each update on a device (got {len(z)}); use a batch_size of "
            "at least 2 times n_critic times the number of devices."
        )
    return z


@dataclasses.dataclass(frozen=True)
class MEG(EnergyGAN):
    """Maximum entropy generator: an energy-based model, and a generator of low energy and high entropy.

    The critic is the energy. The generator minimizes the energy of its samples, minus a lower bound on the
    Jensen-Shannon mutual information of samples and noise. A third network, the statistic, is trained to maximize the
    bound; without it the generator would collapse to the lowest energy. This is algorithm 1 with the sign of its L_H
    corrected.

    All attributes not listed here, and how a step uses a minibatch, are those of `EnergyGAN`.

    Columns are used as given. Scale them to a standard deviation near 1 first, for example by
    `sklearn.preprocessing.StandardScaler`.

    Attributes:
        statistic: `x [..., *row], z [..., k] -> [..., 1]`.
        entropy: weight of the mutual information relative to the energy. It is 1 in equation 8. The default is the half
            of the released code, whose loss is a mean over both kinds of pairs. The statistic's own gradient has the
            same factor, to which Adam is invariant.
        marginal: takes a key and noise `[n, k]`, and returns noise that is independent of the samples of the original
            noise: `shuffled_rows` or `shuffled_columns`.
        latent_mcmc: moves the noise of the critic's negative samples to low energy. None uses the generator's samples
            unchanged, as the released code does.

    References:
        Kumar, Goyal, Courville and Bengio, Maximum entropy generators for energy-based models (2019), algorithm 1.
    """

    statistic: nn.Module | None = None
    entropy: float = 0.5
    marginal: Callable[[Key[Array, ""], Array], Array] = shuffled_rows
    latent_mcmc: LatentMCMC | None = None

    def resolve(self, *row_specs: PyTree[jax.ShapeDtypeStruct]) -> "MEG":
        """Return the method with its networks filled in.

        Raises:
            TypeError: if the data are not one table of floating-point rows.
            ValueError: if there are no default networks for such rows, the networks do not fit them, or a number is out
                of range.
        """
        check_weights(entropy=self.entropy)
        method = super().resolve(*row_specs)
        shape, latent_dim = row_specs[0].shape, required(method, method.latent_dim)
        statistic = self.statistic or default_networks(shape, latent_dim).statistic
        pair = [jax.ShapeDtypeStruct((2, *part), jnp.float32) for part in (shape, (latent_dim,))]
        check_scalar_output("statistic", statistic, *pair, output="statistic of a sample and its noise")
        return dataclasses.replace(method, statistic=statistic)

    def generator_loss(
        self, key: Key[Array, ""], params: Params, model_state: PyTree, critic: Params, rows: int
    ) -> Loss:
        """Return the mean energy of samples, minus the weighted mutual information of samples and noise.

        Args:
            key: of the noise and of its shuffling.
            params: of the generator and the statistic.
            model_state: of the generator.
            critic: parameters of the critic.
            rows: number of samples.

        Returns:
            The loss; the metric `mutual_information`, the estimate in nats; and the model state, updated with this
            batch's statistics.
        """
        key_noise, key_marginal = jax.random.split(key)
        z = self._noise(key_noise, rows)
        samples, model_state = self._generate(params, model_state, z)
        statistic = lambda z: required(self, self.statistic).apply(params["statistic"], samples, z)[..., 0]
        joint, marginal = statistic(z), statistic(self.marginal(key_marginal, z))
        information = losses.jsd_mutual_information(joint, marginal, axis_name=self.axis_name)
        value = jnp.mean(self._energy(critic, samples)) - self.entropy * information
        return value, ({"mutual_information": information}, model_state)

    def sample_mcmc(
        self, key: Key[Array, ""], state: EnergyGANState, n: int, *, chain: LatentMCMC
    ) -> Float[Array, "n ..."]:
        """Draw samples from noise that Markov chains have moved to low energy.

        Args:
            key: of the noise and the chains.
            state: of one seed.
            n: number of samples, each with a chain of its own.
            chain: length and transition kernel of the chains.

        Returns:
            Samples `[n, ...]`.
        """
        key_noise, key_chain = jax.random.split(key)
        z, _ = chain(key_chain, *self._unbatched(state), self._noise(key_noise, n))
        return self.decode(state, z)

    def latent_log_density(
        self,
        state: EnergyGANState,
        *,
        density: Callable[..., LogDensity] = samplers.latent_log_density,
    ) -> LogDensity:
        """Return a log-density over noise, for Markov chains in the generator's latent space.

        Args:
            state: of one seed.
            density: `samplers.latent_log_density` or `samplers.tilted_log_density`.

        Returns:
            A function of one noise vector `[k]` to a scalar `[]`.
        """
        return density(*self._unbatched(state))

    def data_log_density(self, state: EnergyGANState) -> LogDensity:
        """Return the negative energy as a function of one row to a scalar `[]`, for chains in data space."""
        energy, _ = self._unbatched(state)
        return lambda x: -energy(x)

    def _energy_and_penalty(
        self, key: Key[Array, ""], energy: losses.Field, x: Array, samples: Array
    ) -> tuple[Array, Array]:
        return energy(x), self.regularizer(energy, x)

    def _negative_samples(
        self, key: Key[Array, ""], critic: Params, generator: Params, statistics: PyTree, rows: int
    ) -> tuple[Array, Metrics]:
        if self.latent_mcmc is None:
            return super()._negative_samples(key, critic, generator, statistics, rows)
        key_noise, key_chain = jax.random.split(key)
        energy = lambda x: self._energy(jax.lax.stop_gradient(critic), x)
        generate = lambda z: self._decode(generator, statistics, z)
        z, acceptance = self.latent_mcmc(key_chain, energy, generate, self._noise(key_noise, rows))
        return generate(z), {"acceptance": jnp.mean(acceptance)}

    def _init_generator(self, key: Key[Array, ""], x: Array) -> tuple[Params, PyTree]:
        key_generator, key_statistic = jax.random.split(key)
        params, model_state = super()._init_generator(key_generator, x)
        noise = jnp.zeros((1, required(self, self.latent_dim)), jnp.float32)
        return params | {"statistic": required(self, self.statistic).init(key_statistic, x, noise)}, model_state

    def _unbatched(self, state: EnergyGANState) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """Return energy and generator as functions of a single row."""
        critic = self._critic_step.params(state.critic)
        return lambda x: self._energy(critic, x), lambda z: self.decode(state, z)
