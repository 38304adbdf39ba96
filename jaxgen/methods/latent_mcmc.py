"""Markov chains on a generator's noise, from its prior to where the energy is low."""

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
    """So many steps of a chain on each row of noise.

    Attributes:
        steps: of each chain.
        step_size: of the process.
        beta: multiplies the log-density.
        density: takes the energy of one row and the generator of one row, and returns a log-density over noise `[k]`:
            `samplers.latent_log_density`, the published one, or `samplers.tilted_log_density`, which keeps the prior.
        process: takes the log-density, the step size and beta, and returns a process whose state has a `position` and
            which reports an `acceptance`.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), section 4. Its abstract's claim is
        that such chains make the negatives of the training; the released code trains without any, and draws its best
        images with five steps, a step size of 0.01 and beta 0.2.
    """

    steps: int = 5
    step_size: float = 0.01
    beta: float = 1.0
    density: Callable[[Energy, Generator], LogDensity] = samplers.latent_log_density
    process: Callable[..., Process] = samplers.MALA

    def __post_init__(self) -> None:
        """Check the number of steps.

        Raises:
            ValueError: if there is none.
        """
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; make it 1 at least, or leave the chain out.")

    def __call__(
        self, key: Key[Array, ""], energy: Energy, generate: Generator, z: Float[Array, "n k"]
    ) -> tuple[Float[Array, "n k"], Float[Array, " n"]]:
        """Walk from each row of noise, on its own.

        Args:
            key: of all walks.
            energy: one row to a scalar.
            generate: one row of noise `[k]` to one row.
            z: where the walks begin, `[n, k]`.

        Returns:
            Where they end, `[n, k]`, and each walk's mean probability of acceptance, `[n]`.
        """
        chains = samplers.Chains(self.process(self.density(energy, generate), self.step_size, self.beta))
        places, moves = iterate(chains.step, key, chains.init(z), length=self.steps)
        return places.position, jnp.mean(moves.acceptance, 0)
