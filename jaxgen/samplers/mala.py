"""Metropolis-adjusted Langevin algorithm (MALA)."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxgen.numerics.precision import promoted
from jaxgen.types import Array, Bool, Float, Key, PyTree

__all__ = ["MALA", "MALAInfo", "MALAState"]


class MALAState(NamedTuple):
    """State of one MALA chain."""

    position: PyTree
    log_density: Float[Array, ""]  # not multiplied by `beta`; minus infinity if it or the score is not finite
    score: PyTree  # gradient of the log-density; zero if it or the log-density is not finite


class MALAInfo(NamedTuple):
    """Outcome of one proposal."""

    acceptance: Float[Array, ""]  # acceptance probability
    accepted: Bool[Array, ""]
    not_finite: Bool[Array, ""]  # rejected because the log-density or score was not finite


@dataclasses.dataclass(frozen=True)
class MALA:
    """MALA process of one Markov chain; `Chains` vectorizes it.

    Each step evaluates the log-density and its gradient once, at the proposal. If one of them is not finite, the
    density counts as zero: the proposal is rejected and reported as `not_finite`. A start that is not finite also has
    density zero. From there the chain proposes without drift and accepts the first finite proposal; until then every
    step is reported.

    Attributes:
        log_density: function from one position (an array of any shape, or a pytree) to a scalar `[]`, up to a constant.
            Use minus the energy in data space, `latent_log_density` or `tilted_log_density` in latent space.
        step_size: alpha, in squared units of the position. The drift is alpha times the score, and the noise has
            standard deviation sqrt(2 alpha).
        beta: inverse temperature, which multiplies the log-density. The target distribution is density^beta: flatter
            below 1, more peaked above 1. The paper's code calls it temperature, and samples images at 0.2.

    References:
        Kumar et al., Maximum entropy generators for energy-based models (2019), section 4, equations 9 to 11. The
        released code does not square the norm of equation 11, and so samples another distribution.
        Roberts and Tweedie, Exponential convergence of Langevin distributions and their discrete approximations (1996).
    """

    log_density: Callable[[PyTree], Float[Array, ""]]
    step_size: float | Float[Array, ""]
    beta: float | Float[Array, ""] = 1.0

    def __post_init__(self) -> None:
        for name in ("step_size", "beta"):
            value = getattr(self, name)
            if isinstance(value, int | float) and not 0 < value < math.inf:
                raise ValueError(f"`{name}` must be positive and finite (got {value}); use for example 0.1.")

    def init(self, position: PyTree) -> MALAState:
        """Initial state of a chain.

        Args:
            position: starting point, an array of any shape or a pytree of arrays.

        Returns:
            The state with the log-density and score at the position.
        """
        state = self._evaluate(position)
        finite = jnp.all(jnp.isfinite(ravel_pytree((state.log_density, state.score))[0]))
        score = jax.tree.map(lambda leaf: jnp.where(finite, leaf, 0.0), state.score)
        return MALAState(position, jnp.where(finite, state.log_density, -jnp.inf), score)

    def step(self, key: Key[Array, ""], state: MALAState) -> tuple[MALAState, MALAInfo]:
        """One Langevin proposal, followed by its acceptance or rejection.

        Args:
            key: random key of the step.
            state: current state.

        Returns:
            The new state, and the outcome of the proposal.
        """
        key_noise, key_accept = jax.random.split(key)
        flat, restore = ravel_pytree(state.position)
        noise = jax.random.normal(key_noise, flat.shape, flat.dtype)
        # Not in half precision, in which a uniform number is 0 too often.
        threshold = jax.random.uniform(key_accept, (), jnp.promote_types(flat.dtype, jnp.float32))
        return self.move(restore(noise), threshold, state)

    def move(self, noise: PyTree, threshold: Float[Array, ""], state: MALAState) -> tuple[MALAState, MALAInfo]:
        """Deterministic part of `step`, with its random numbers as arguments.

        Args:
            noise: standard normal noise with the structure of the position.
            threshold: uniform number in [0, 1); a proposal is accepted if its acceptance probability is above it.
            state: current state.

        Returns:
            The new state, and the outcome of the proposal.
        """
        (position, restore), (score, _), (e, _) = map(ravel_pytree, (state.position, state.score, noise))
        kept = position.dtype
        position, score, e = promoted(position, score, e)
        step_size, beta = jnp.asarray(self.step_size, position.dtype), jnp.asarray(self.beta, position.dtype)
        root = jnp.sqrt(step_size / 2)
        proposal = self._evaluate(restore((position + step_size * beta * score + 2 * root * e).astype(kept)))
        # Equation 11 in units of the noise: the proposal used noise e; the reverse move would need -(e + s), where s is
        # the sum of both drifts over the noise's std. (|e|^2 - |e + s|^2) / 2 is written without cancellation.
        s = root * beta * (score + promoted(ravel_pytree(proposal.score)[0])[0])
        log_proposal_ratio = -jnp.sum(s * (e + s / 2))
        finite = jnp.isfinite(proposal.log_density + log_proposal_ratio)  # s contains the whole score
        log_ratio = beta * (proposal.log_density - state.log_density) + log_proposal_ratio
        acceptance = jnp.where(finite, jnp.exp(jnp.minimum(log_ratio, 0.0)), 0.0)
        accepted = threshold < acceptance
        new = jax.tree.map(lambda proposed, current: jnp.where(accepted, proposed, current), proposal, state)
        return new, MALAInfo(acceptance, accepted, ~finite)

    def _evaluate(self, position: PyTree) -> MALAState:
        return MALAState(position, *jax.value_and_grad(self.log_density)(position))
