"""The Metropolis-adjusted Langevin algorithm: a gradient step, noise, and a rejection that makes the law exact."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxgen.types import Array, Float, Key, PyTree

__all__ = ["MALA", "MALAInfo", "MALAState"]


class MALAState(NamedTuple):
    """Where a chain stands, and what its next step needs."""

    position: PyTree
    log_density: Float[Array, ""]  # before `beta`; minus infinity where it or the score was not finite
    score: PyTree  # gradient of the log-density by the position; zero where one of the two was not finite


class MALAInfo(NamedTuple):
    """What became of one proposal."""

    acceptance: Float[Array, ""]  # probability with which it was accepted
    accepted: Array
    not_finite: Array  # whether its log-density or score was not, for which it was rejected


@dataclasses.dataclass(frozen=True)
class MALA:
    """One Markov chain whose law is a given density, as a process; `Chains` makes it many.

    Each step evaluates the log-density and its gradient once, at the proposal. A proposal where one of them is not
    finite counts as a place of density zero: it is rejected and reported. So does a start: the chain walks from there
    without a drift and takes the first finite proposal, and one that finds none reports every step.

    Attributes:
        log_density: one position, an array of any shape or a pytree, to a scalar `[]`, up to a constant: minus the
            energy in the space of the data; `latent_log_density` or `tilted_log_density` in a generator's.
        step_size: alpha, in squared units of the position: the drift is alpha times the score, the noise has standard
            deviation sqrt(2 alpha).
        beta: multiplies the log-density, so that the chain's law is density^beta: below 1 flatter, above 1 more
            peaked. The paper's code calls this inverse temperature its temperature, and samples images at 0.2.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), section 4, equations 9 to 11. The
        released code leaves the norm of equation 11 unsquared, which samples another law.
        Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete approximations (1996).
    """

    log_density: Callable[[PyTree], Float[Array, ""]]
    step_size: float | Float[Array, ""]
    beta: float | Float[Array, ""] = 1.0

    def __post_init__(self) -> None:
        for name in ("step_size", "beta"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}; make it positive and finite.")

    def init(self, position: PyTree) -> MALAState:
        """Return the state of a chain that starts at a position.

        Args:
            position: any shape, or a pytree of arrays.

        Returns:
            The position with its log-density and score.
        """
        place = self._look(position)
        finite = jnp.all(jnp.isfinite(ravel_pytree((place.log_density, place.score))[0]))
        score = jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0.0), place.score)
        return MALAState(position, jnp.where(finite, place.log_density, -jnp.inf), score)

    def step(self, key: Key[Array, ""], state: MALAState) -> tuple[MALAState, MALAInfo]:
        """Propose a place, and go there or stay.

        Args:
            key: of the noise and the decision.
            state: where the chain stands.

        Returns:
            The new state, and what became of the proposal.
        """
        key_noise, key_accept = jax.random.split(key)
        flat, restore = ravel_pytree(state.position)
        noise = jax.random.normal(key_noise, flat.shape, flat.dtype)
        return self.move(restore(noise), jax.random.uniform(key_accept, (), flat.dtype), state)

    def move(self, noise: PyTree, threshold: Float[Array, ""], state: MALAState) -> tuple[MALAState, MALAInfo]:
        """Do what `step` does with chance given.

        Args:
            noise: standard normal, of the position's structure.
            threshold: between 0 and 1; a proposal is accepted whose acceptance is above it.
            state: where the chain stands.

        Returns:
            The new state, and what became of the proposal.
        """
        (position, restore), (score, _), (e, _) = map(ravel_pytree, (state.position, state.score, noise))
        root = jnp.sqrt(self.step_size / 2)
        proposal = self._look(restore(position + self.step_size * self.beta * score + 2 * root * e))
        # Equation 11 in units of the noise: the way there took the noise e, the way back would take -(e + s), s being
        # the sum of both drifts over the noise's deviation. Half of |e|^2 - |e + s|^2, without the cancellation:
        s = root * self.beta * (score + ravel_pytree(proposal.score)[0])
        back_over_there = -jnp.sum(s * (e + s / 2))
        finite = jnp.isfinite(proposal.log_density + back_over_there)  # it holds every number of the proposal's score
        log_ratio = self.beta * (proposal.log_density - state.log_density) + back_over_there
        acceptance = jnp.where(finite, jnp.exp(jnp.minimum(log_ratio, 0.0)), 0.0)
        accepted = threshold < acceptance
        new = jax.tree.map(lambda there, here: jnp.where(accepted, there, here), proposal, state)
        return new, MALAInfo(acceptance, accepted, ~finite)

    def _look(self, position: PyTree) -> MALAState:
        return MALAState(position, *jax.value_and_grad(self.log_density)(position))
