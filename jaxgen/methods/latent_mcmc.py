"""Markov chains in a generator's latent space, from the prior to low energy."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from jaxgen import samplers
from jaxgen.samplers.latent import Energy, Generator, LogDensity
from jaxgen.scan import iterate
from jaxgen.types import Array, Float, Key, Process

__all__ = ["LatentMCMC"]


@dataclasses.dataclass(frozen=True)
class LatentMCMC:
    """Markov chain Monte Carlo on noise vectors, with a fixed number of steps.

    Attributes:
        steps: of each chain.
        step_size: of the transition kernel.
        beta: inverse temperature, which multiplies the log-density.
        density: takes the energy of one row and the generator of one row, and returns a log-density over noise `[k]`:
            `samplers.latent_log_density`, the published one, or `samplers.tilted_log_density`, which includes the
            prior.
        process: takes the log-density, the step size and beta, and returns a transition kernel. Its state must have a
            `position`, and its info an `acceptance`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), section 4. According to its abstract,
        such chains give the negative samples in training. The released code trains without chains, and generates its
        best images with five steps, a step size of 0.01 and beta 0.2.
    """

    steps: int = 5
    step_size: float = 0.01
    beta: float = 1.0
    density: Callable[[Energy, Generator], LogDensity] = samplers.latent_log_density
    process: Callable[..., Process] = samplers.MALA

    def __post_init__(self) -> None:
        """Check the number of steps.

        Raises:
            ValueError: if it is below 1.
        """
        if self.steps < 1:
            raise ValueError(f"`steps` must be at least 1 (got {self.steps}); use latent_mcmc=None for no chain.")

    def __call__(
        self, key: Key[Array, ""], energy: Energy, generate: Generator, z: Float[Array, "n k"]
    ) -> tuple[Float[Array, "n k"], Float[Array, " n"]]:
        """Run an independent chain from each row of noise.

        Args:
            key: of all chains.
            energy: one row to a scalar.
            generate: one row of noise `[k]` to one row.
            z: initial positions `[n, k]`.

        Returns:
            The final positions `[n, k]`, and each chain's mean acceptance probability `[n]`.
        """
        chains = samplers.Chains(self.process(self.density(energy, generate), self.step_size, self.beta))
        states, infos = iterate(chains.step, key, chains.init(z), length=self.steps)
        return states.position, jnp.mean(infos.acceptance, 0)
