"""A step size found while warming up."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxgen.types import Any, Array, Float, Int, Key, Process, PyTree, State

__all__ = ["StepSizeAdaptation", "DualAveragingState"]


class DualAveragingState(NamedTuple):
    """Where a process stands, and what is known so far of its step size."""

    inner: State  # the process's own
    steps: Int[Array, ""]
    excess: Float[Array, ""]  # mean of target minus acceptance
    log_step_size: Float[Array, ""]  # the next step's
    log_average: Float[Array, ""]  # the one to keep

    @property
    def position(self) -> PyTree:
        """Return where the process stands."""
        return self.inner.position


@dataclasses.dataclass(frozen=True)
class StepSizeAdaptation:
    """A process that adapts its step size until proposals are accepted as often as they should be, as a process.

    Around `Chains` one step size is shared and follows the mean acceptance over all of them, which settles within
    short runs; around the process of one chain it follows that chain, and under `vmap` each finds its own. Draws made
    while the step size moves have not quite the right law: warm up, then go on with `frozen`.

    Attributes:
        process: makes the process with a step size `[]`: `lambda size: Chains(MALA(log_density, size))`. What it
            reports has an `acceptance`.
        step_size: the first; it may be wrong by orders of magnitude.
        target: the acceptance to reach. 0.574 is best for Langevin proposals in many dimensions.
        gamma: the larger, the further one step moves the logarithm of the step size.
        t0: in steps; damps the first of them.
        kappa: between 0.5 and 1; the step size to keep is a mean of the last `n ** kappa` of n steps.

    References:
        Hoffman and Gelman, The No-U-Turn sampler (2014), equation 6, without its pull to larger steps; after Nesterov,
        Primal-dual subgradient methods for convex problems (2009).
        Roberts and Rosenthal, Optimal scaling of discrete approximations to Langevin diffusions (1998).
    """

    process: Callable[[Any], Process]
    step_size: float | Float[Array, ""] = 0.1
    target: float = 0.574
    gamma: float = 20.0
    t0: float = 10.0
    kappa: float = 0.75

    def __post_init__(self) -> None:
        if not 0 < self.target < 1:
            raise ValueError(f"target is {self.target}; make it a probability between 0 and 1, such as 0.574.")
        if not 0.5 < self.kappa <= 1:
            raise ValueError(f"forgetting is {self.kappa}; make it above 0.5 and at most 1, such as 0.75.")
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"pace is {self.gamma}; make it positive and finite, such as 20.")
        if not 0 <= self.t0 < math.inf:
            raise ValueError(f"delay is {self.t0}; make it finite and not negative, such as 10.")

    def init(self, position: PyTree) -> DualAveragingState:
        """Return the state before the first step, from what the process itself starts from."""
        inner = self.process(self.step_size).init(position)
        return DualAveragingState(inner, jnp.zeros((), jnp.int32), jnp.zeros(()), self._start, self._start)

    def step(self, key: Key[Array, ""], state: DualAveragingState) -> tuple[DualAveragingState, Any]:
        """Let the process make one step, and correct the next one's size.

        Args:
            key: the process's own.
            state: where both stand.

        Returns:
            The new state, and what the process reports.
        """
        inner, info = self.process(jnp.exp(state.log_step_size)).step(key, state.inner)
        steps = state.steps + 1
        excess = state.excess + (self.target - jnp.mean(info.acceptance) - state.excess) / (steps + self.t0)
        log_step_size = self._start - self.gamma * jnp.sqrt(steps) * excess
        log_average = state.log_average + (log_step_size - state.log_average) * steps**-self.kappa
        return DualAveragingState(inner, steps, excess, log_step_size, log_average), info

    def frozen(self, state: DualAveragingState) -> Process:
        """Return the process with the step size that was found; `state.inner` is where it goes on.

        Raises:
            ValueError: if there are several step sizes, as many chains found that adapted apart; under `jax.vmap` each
                of them has one.
        """
        if state.log_average.ndim:
            raise ValueError(
                f"there are step sizes of shape {state.log_average.shape} and a process has one; call frozen for each "
                "chain under jax.vmap, or adapt all together as Adapted(Chains(...))."
            )
        return self.process(jnp.exp(state.log_average))

    @property
    def _start(self) -> Float[Array, ""]:
        return jnp.log(jnp.asarray(self.step_size, float))
